"""How sure a mean damage per token is: texts drawn again, the same draws for every condition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stability.resampling import bootstrap_multiplicities

Floats = NDArray[np.float64]
LEVELS = (0.025, 0.975)
"""Quantiles of the draws that bound an interval."""


def per_token(change: Floats, predicted: NDArray[np.int64], times: Floats) -> Floats:
    """Return (conditions, draws): the change of the mean negative log-likelihood per token, sum_s c_s / sum_s T_s.

    Args:
        change: (conditions, texts) change of each text's summed loss; a text that is not finite in a condition is left
            out of it, with its tokens.
        predicted: T_s of each text.
        times: (draws, texts) how often a draw has each text; ones for the plain mean.

    Returns:
        NaN where a draw has no text that is finite.

    """
    finite = np.isfinite(change)
    total = np.where(finite, change, 0.0) @ times.T
    tokens = (finite * predicted) @ times.T
    return np.divide(total, tokens, out=np.full(total.shape, np.nan), where=tokens > 0)


def intervals(change: Floats, predicted: NDArray[np.int64], draws: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return mean, 2.5 % and 97.5 % quantile of the change per token of each condition, over bootstrap draws of texts.

    Args:
        change: see :func:`per_token`.
        predicted: T_s of each text.
        draws: number of draws (Efron 1979, percentile interval).
        seed: of the draws; the same texts are drawn for every condition, so that conditions can be compared.

    Returns:
        The bounds are NaN where fewer than two texts are finite: one text tells nothing of how much they differ.

    """
    mean = per_token(change, predicted, np.ones((1, len(predicted))))[:, 0]
    drawn = per_token(change, predicted, bootstrap_multiplicities(len(predicted), draws, seed))
    with np.errstate(invalid="ignore"):
        low, high = quantiles(drawn)
    several = np.isfinite(change).sum(1) > 1
    return mean, np.where(several, low, np.nan), np.where(several, high, np.nan)


def quantiles(drawn: Floats) -> tuple[Floats, Floats]:
    """Return the bounds of each row, draws that are NaN left out; NaN where all are."""
    known = np.isfinite(drawn).any(1)
    bounds = np.full((2, len(drawn)), np.nan)
    if known.any():
        bounds[:, known] = np.nanquantile(drawn[known], LEVELS, axis=1)
    return bounds[0], bounds[1]
