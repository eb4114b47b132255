"""The scores of many resamples, a tensor apart, and the few of their columns that may be among the first k of some row.

A tensor's columns lie together, and no array holds those of all tensors: it would take as much memory again while it is
put together, and rows so long are slow to go through.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Ints = NDArray[np.int64]

_MANY = 4


class Columns:
    """Scores (rows, n) of n weights, tensor by tensor.

    Attributes:
        first: (n,) row 0.
        highest: (n,) the largest score of each weight.

    Args:
        parts: of each tensor (rows, m); where m is 0 the rows need not be as many.

    """

    def __init__(self, parts: Sequence[Scores]) -> None:
        self._parts = parts
        self._rows = max(map(len, parts))
        self._bounds = np.cumsum([0, *(part.shape[1] for part in parts)])

    @cached_property
    def first(self) -> Scores:
        """Row 0 of all weights."""
        return np.concatenate([part[0] for part in self._parts])

    @cached_property
    def highest(self) -> Scores:
        """The largest score of each weight."""
        return np.concatenate([part.max(axis=0) for part in self._parts])

    def take(self, columns: Ints) -> Scores:
        """Return (rows, columns) of some weights, given in ascending order; not to be written to."""
        cuts = np.searchsorted(columns, self._bounds)
        touched = np.flatnonzero(np.diff(cuts))
        if len(touched) == 1 and len(columns) == self._parts[touched[0]].shape[1]:
            return self._parts[touched[0]]
        found = np.empty((self._rows, len(columns)), np.float32)
        for t in touched:
            inside = slice(cuts[t], cuts[t + 1])
            if cuts[t + 1] - cuts[t] == self._parts[t].shape[1]:
                found[:, inside] = self._parts[t]
            else:
                found[:, inside] = np.take(self._parts[t], columns[inside] - self._bounds[t], axis=1)
        return found


def columns_that_matter(scores: Columns, columns: Ints, ks: Sequence[int]) -> tuple[Ints, Scores, Scores]:
    """Return the weights that may be among the first k of some row, and from which score on they are.

    No other one reaches any row's k-th score.

    Args:
        scores: of these and other weights.
        columns: weights that compete, ascending.
        ks: ascending numbers of first places, the last at most the number of weights.

    Returns:
        The weights that matter at the last k, ascending; their scores (rows, weights); and (ks, rows) the k-th score of
        each row.

    """
    k = ks[-1]
    near = columns
    if len(columns) > _MANY * k:
        # The k-th score of a few columns is no larger than that of all, so that what is below it cannot matter.
        some = np.argpartition(-scores.first[columns], 2 * k)[: 2 * k]
        lowest = _nth_largest(scores.take(np.sort(columns[some])), [k]).min()
        near = columns[scores.highest[columns] >= lowest]
    joined = scores.take(near)
    thresholds = _nth_largest(joined, ks)
    few = np.flatnonzero(scores.highest[near] >= thresholds[-1].min())
    return near[few], np.take(joined, few, axis=1), thresholds


def _nth_largest(scores: Scores, ks: Sequence[int]) -> Scores:
    """Return (ks, rows) the k-th largest score of each row."""
    found = np.empty((len(ks), len(scores)), np.float32)
    for place in reversed(range(len(ks))):  # the first k of few are among the first k of more
        scores = np.partition(scores, scores.shape[1] - ks[place], axis=1)[:, scores.shape[1] - ks[place] :]
        found[place] = scores[:, 0]
    return found
