"""Resampled texts, and which weights are the first k of each resample."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..overlap.chance import log_probability

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]


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


def first_of_rows(scores: Scores, threshold: Scores, k: int) -> NDArray[np.uint8]:
    """Return which weights are the k largest of each row, of equal ones the first columns, as ``np.packbits`` packs it.

    Args:
        scores: (rows, weights); the columns are in tensor order and by flat index, as ties are decided.
        threshold: (rows,) the k-th largest score of each row.
        k: at most the number of weights.

    """
    bits = np.packbits(scores >= threshold[:, None], axis=1)
    surplus = count(bits) - k
    for row in np.flatnonzero(surplus):
        inside = scores[row] >= threshold[row]
        inside[np.flatnonzero(scores[row] == threshold[row])[-surplus[row] :]] = False
        bits[row] = np.packbits(inside)
    return bits


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
