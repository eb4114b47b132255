"""The tail index of scores: how heavy the upper tail is, by Hill's estimator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HILL_KS = (30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
LARGEST_PART = 0.1
"""Beyond this part of all scores they are no tail."""


def hill(top: NDArray[np.floating], k: int) -> float:
    """Return Hill's estimate of the tail index alpha, of P(score > s) ~ s^(-alpha), from the ``k`` largest scores.

    alpha = k / sum over i <= k of log(s_i / s_(k + 1)), the s sorted from the largest. Its standard error is
    alpha / sqrt(k) where the tail follows the power law and the scores are independent. Below 2 the variance is
    infinite, below 1 the mean: then few weights hold most, whatever the number of weights. Source: Hill 1975, A simple
    general approach to inference about the tail of a distribution.

    Args:
        top: the largest scores, best first, more than ``k`` of them and these above 0.
        k: number of scores above the threshold.

    Returns:
        NaN where the ``k + 1`` largest scores are all equal.

    """
    logs = np.log(top[: k + 1].astype(np.float64))
    excess = float((logs[:k] - logs[k]).sum())
    return k / excess if excess > 0 else float("nan")


def hill_estimates(top: NDArray[np.floating], n: int) -> list[tuple[int, float]]:
    """Return (k, alpha) for each k of :data:`HILL_KS` that the known scores allow.

    Args:
        top: the largest of all scores, best first, as far as they are known.
        n: number of all scores.

    """
    known = int((top > 0).sum())
    ks = [k for k in HILL_KS if k < known and k <= LARGEST_PART * n]
    estimates = ((k, hill(top, k)) for k in ks)
    return [(k, alpha) for k, alpha in estimates if not np.isnan(alpha)]
