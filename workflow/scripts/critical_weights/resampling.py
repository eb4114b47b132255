"""Resampled texts, and which weights are the first k of each resample."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .chance import log_probability

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]

_CHUNK = 1 << 22
_MANY = 4


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
    highest = scores.max(axis=0)
    near = np.arange(scores.shape[1])
    if len(near) > _MANY * k:
        # The k-th score of a few columns is no larger than that of all, so that what is below it cannot matter.
        some = np.argpartition(-scores[0], 2 * k)[: 2 * k]
        near = np.flatnonzero(highest >= _lowest(np.take(scores, some, axis=1), k))
        scores = np.take(scores, near, axis=1)
    return near[highest[near] >= _lowest(scores, k)]


def _lowest(scores: Scores, k: int) -> np.float32:
    """Return the smallest of the rows' k-th scores."""
    rows = max(1, _CHUNK // scores.shape[1])
    place = scores.shape[1] - k
    return min(
        np.partition(scores[start : start + rows], place, axis=1)[:, place].min()
        for start in range(0, len(scores), rows)
    )


def first_of_rows(scores: Scores, ranked: Scores, k: int) -> NDArray[np.bool_]:
    """Return (rows, weights): which weights are the k largest of each row; of equal ones the first columns.

    Args:
        scores: (rows, weights); the columns are in tensor order and by flat index, as ties are decided.
        ranked: the same, each row sorted upwards.
        k: at most the number of weights.

    """
    threshold = ranked[:, ranked.shape[1] - k]
    inside = scores >= threshold[:, None]
    surplus = count(np.packbits(inside, axis=1)) - k
    for row in np.flatnonzero(surplus):
        last = np.flatnonzero(scores[row] == threshold[row])[-surplus[row] :]
        inside[row, last] = False
    return inside


def count(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many bits of each row are set, as ``np.packbits`` packs them."""
    return np.bitwise_count(bits).sum(axis=1, dtype=np.int64)


@cache
def chance_overlap(weights: int, k: int) -> tuple[float, float]:
    """Return the mean share and the mean Jaccard index of two independent draws of k of so many weights."""
    shared = np.arange(max(0, 2 * k - weights), k + 1)
    if len(shared) == 1:  # one of the draws is of everything or of nothing
        return k / weights, float(shared[0] / (2 * k - shared[0]))
    # Not scipy.stats.hypergeom.pmf: to load scipy.stats takes as long as a small stage.
    probability = np.exp(
        log_probability(*np.broadcast_arrays(*(np.asarray(v, float) for v in (shared, weights, k, k))))
    )
    return k / weights, float(probability @ (shared / (2 * k - shared)))
