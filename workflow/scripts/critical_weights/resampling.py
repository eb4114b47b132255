"""Resampled texts, and which weights are the first k of each resample."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]

_CHUNK = 1 << 22


def bootstrap_multiplicities(n_texts: int, draws: int, seed: int) -> Floats:
    """Return (draws, n_texts): how often each text is drawn in N draws with replacement (Efron 1979)."""
    rng = np.random.default_rng([seed, 1])
    return rng.multinomial(n_texts, np.full(n_texts, 1 / n_texts), draws).astype(np.float64)


def half_multiplicities(n_texts: int, splits: int, seed: int) -> tuple[Floats, Floats]:
    """Return two (splits, n_texts) of zeros and ones: random disjoint halves of the texts, n_texts // 2 each.

    Of an odd number one text, another each time, is in neither.
    """
    rng = np.random.default_rng([seed, 2])
    order = rng.permuted(np.tile(np.arange(n_texts), (splits, 1)), axis=1)
    half = n_texts // 2
    return (order < half).astype(np.float64), ((order >= half) & (order < 2 * half)).astype(np.float64)


def columns_that_matter(scores: Scores, k: int) -> NDArray[np.int64]:
    """Return the columns that may be among the first k of some row: no other one reaches any row's k-th score.

    Args:
        scores: (rows, weights), k at most the number of weights.
        k: first places of each row.

    """
    rows = max(1, _CHUNK // scores.shape[1])
    place = scores.shape[1] - k
    lowest = min(
        np.partition(scores[start : start + rows], place, axis=1)[:, place].min()
        for start in range(0, len(scores), rows)
    )
    return np.flatnonzero(scores.max(axis=0) >= lowest)


def first_of_rows(scores: Scores, ranked: Scores, k: int) -> NDArray[np.bool_]:
    """Return (rows, weights): which weights are the k largest of each row; of equal ones the first columns.

    Args:
        scores: (rows, weights); the columns are in tensor order and by flat index, as ties are decided.
        ranked: the same, each row sorted upwards.
        k: at most the number of weights.

    """
    threshold = ranked[:, ranked.shape[1] - k]
    inside = scores >= threshold[:, None]
    surplus = inside.sum(axis=1) - k
    for row in np.flatnonzero(surplus):
        last = np.flatnonzero(scores[row] == threshold[row])[-surplus[row] :]
        inside[row, last] = False
    return inside


@cache
def chance_overlap(weights: int, k: int) -> tuple[float, float]:
    """Return the mean share and the mean Jaccard index of two independent draws of k of so many weights."""
    shared = np.arange(max(0, 2 * k - weights), k + 1)
    return k / weights, float(hypergeom.pmf(shared, weights, k, k) @ (shared / (2 * k - shared)))
