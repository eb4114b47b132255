"""Spearman's and Kendall's correlation of two scores, as scipy.stats has them.

To load scipy.stats takes as long as a small stage, and each of its calls several times as long as the sums below.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def rank_correlations(a: NDArray[np.floating], b: NDArray[np.floating]) -> tuple[float, float]:
    """Return Spearman's rho and Kendall's tau-b; NaN where there are fewer than two scores or one side's are all equal.

    Rho is the correlation of the ranks, equal scores having the mean of their ranks. Tau-b is (c - d) /
    sqrt((p - t) (p - u)) of c concordant and d discordant pairs of all p, of which t are equal in ``a`` and u in ``b``.

    Args:
        a: one score of each weight.
        b: the other.

    """
    values_a, x, of_a = np.unique(a, return_inverse=True, return_counts=True)
    values_b, y, of_b = np.unique(b, return_inverse=True, return_counts=True)
    if len(values_a) < 2 or len(values_b) < 2:
        return float("nan"), float("nan")
    rho = float(np.corrcoef(_mean_ranks(of_a)[x], _mean_ranks(of_b)[y])[1, 0])
    both = x * len(values_b) + y
    order = np.argsort(both)
    ends = np.flatnonzero(np.diff(both[order], append=-1))
    pairs, equal = len(a) * (len(a) - 1) // 2, _pairs(np.diff(ends, prepend=-1))
    equal_a, equal_b = _pairs(of_a), _pairs(of_b)
    # Weights of equal a are in the order of b: what is left out of order is discordant.
    surplus = pairs - equal_a - equal_b + equal - 2 * inversions(y[order])
    tau = float(surplus / np.sqrt(pairs - equal_a) / np.sqrt(pairs - equal_b))
    return rho, min(1.0, max(-1.0, tau))


def inversions(values: Ints) -> int:
    """Return how many pairs of numbers have the larger one first; meant for some 10,000 numbers at most."""
    found, earlier = 0, []
    for value in values.tolist():
        place = bisect_right(earlier, value)
        found += len(earlier) - place
        earlier.insert(place, value)
    return found


def _mean_ranks(times: Ints) -> NDArray[np.float64]:
    """Return the mean rank, from 1, of each value that comes so many times, the values ascending."""
    return np.cumsum(times) - (times - 1) / 2


def _pairs(times: Ints) -> int:
    return int((times * (times - 1) // 2).sum())
