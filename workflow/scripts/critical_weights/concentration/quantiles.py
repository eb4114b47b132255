"""Quantiles of scores: exact where the scores at that rank are known, else from the histogram with its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..store.histogram import quantile_from_histogram

QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99}
EXACT_LIMIT = 50_000_000
"""Most weights whose scores are put together in memory for a figure over several tensors (200 MB of float32)."""


@dataclass(frozen=True)
class Quantiles:
    """The quantiles of one population, and how far off the worst of them may be (0.0: exact)."""

    values: dict[str, float]
    relative_error: float


def exact_quantiles(scores: NDArray[np.float32]) -> Quantiles:
    """Return the quantiles of known scores: the smallest score s with at least q of all scores <= s."""
    ranks = {name: _rank(q, len(scores)) - 1 for name, q in QUANTILES.items()}
    ordered = np.partition(scores, sorted(ranks.values()))
    return Quantiles({name: float(ordered[rank]) for name, rank in ranks.items()}, 0.0)


def estimated_quantiles(
    counts: NDArray[np.int64], zeros: int, low: float, high: float, top: NDArray[np.float32]
) -> Quantiles:
    """Return the quantiles of scores known by their histogram and, from the top, by a few exact ones.

    Args:
        counts: scores a bin of the store's histogram, zeros not among them.
        zeros: number of scores that are exactly 0.
        low: the smallest score.
        high: the largest score.
        top: the largest scores, best first; a quantile that lies among them is exact.

    """
    total = int(counts.sum()) + zeros
    values: dict[str, float] = {}
    worst = 0.0
    for name, q in QUANTILES.items():
        from_top = total - _rank(q, total)
        if from_top < len(top):
            values[name] = float(top[from_top])
            continue
        _, lower, upper = quantile_from_histogram(counts, zeros, q)
        lower, upper = max(lower, low), min(upper, high)
        values[name] = float(np.sqrt(lower * upper))
        if lower > 0:
            worst = max(worst, values[name] / lower - 1)  # the geometric middle is as far from either end
    return Quantiles(values, float(np.ceil(worst * 1e4) / 1e4))


def _rank(q: float, total: int) -> int:
    return max(1, int(np.ceil(q * total)))
