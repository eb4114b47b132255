"""How a total score is spread: the cumulative sum from the largest score down, exact or between guaranteed bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROUNDING = 1e-9
"""Bounds are widened by this much of themselves, for the rounding of float64 sums over billions of scores."""


class _Steps:
    """The cumulative sum of a multiset of values, largest first."""

    def __init__(self, values: Floats, counts: Floats) -> None:
        order = np.argsort(-values, kind="stable")
        self._values, counts = values[order], counts[order]
        self.counts = np.concatenate([[0.0], np.cumsum(counts)])
        self.sums = np.concatenate([[0.0], np.cumsum(self._values * counts)])

    def value(self, m: int) -> float:
        """Return the ``m``-th largest value, m from 1."""
        return float(self._values[np.searchsorted(self.counts, m) - 1])

    def at(self, m: Floats) -> Floats:
        """Return the sum of the ``m`` largest values."""
        return np.interp(m, self.counts, self.sums)


class ScoreCurve:
    """Scores known as runs: ``counts`` scores each between ``low`` and ``high``, together ``total``.

    With every score at its low (or high) end, the sum of the m largest is as small (large) as the runs allow, and so
    is that of the others, which are ``total`` without them. The tighter of the two is the bound: it is the extremum of
    a linear programme whose solution raises the largest scores first (for the upper bound), so the upper bounds of all
    m, and with them the Gini coefficient's, hold at once. The figure between the bounds raises every score by the same
    part of its run, which gives the right total.

    Attributes:
        n: number of scores.
        exact: whether every score is known.
        mismatch: by how much ``total`` lies outside what the runs allow.

    Args:
        low: smallest value of each run's scores.
        high: largest value of each run's scores; equal to ``low`` where a score is known.
        counts: scores in each run.
        total: the sum of all scores, within rounding between what all low and all high ends give.

    """

    def __init__(self, low: Floats, high: Floats, counts: Floats, total: float) -> None:
        self.n = float(counts.sum())
        self.exact = bool((low == high).all())
        self._low = _Steps(low, counts)
        self._high = self._low if self.exact else _Steps(high, counts)
        self._room = float(self._high.sums[-1] - self._low.sums[-1])
        missing = total - float(self._low.sums[-1])
        self.mismatch = max(-missing, missing - self._room, 0.0)
        self._raise = min(max(missing, 0.0), self._room)
        self.total = float(self._low.sums[-1]) + self._raise
        part = self._raise / self._room if self._room else 0.0
        self._middle = self._low if self.exact else _Steps(low + part * (high - low), counts)

    def top_share(self, m: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the share of the total that the ``m`` largest scores hold: (figure, lower bound, upper bound)."""
        value = self._middle.at(m) / self.total
        if self.exact:
            return value, value, value
        lower = np.maximum(self._low.at(m), self.total - self._high.sums[-1] + self._high.at(m)) / self.total
        upper = np.minimum(self._high.at(m), self._low.at(m) + self._raise) / self.total
        upper = np.minimum(upper * (1 + _ROUNDING), 1)
        return value, np.minimum(value, lower * (1 - _ROUNDING)), np.maximum(value, upper)

    def mean_of_top(self, m: int) -> tuple[float, float, float]:
        """Return the mean of the ``m`` largest scores: (figure, lower bound, upper bound)."""
        value, low, high = (float(share) * self.total / m for share in self.top_share(np.array(m, np.float64)))
        return value, low, high

    def at_rank(self, m: int) -> tuple[float, float, float]:
        """Return the ``m``-th largest score: (figure, lower bound, upper bound).

        The m-th largest of all low ends is no larger than it, and that of all high ends no smaller.
        """
        value, low, high = (steps.value(m) for steps in (self._middle, self._low, self._high))
        return value, low, high

    def gini(self) -> tuple[float, float, float]:
        """Return the Gini coefficient of the scores: (figure, lower bound, upper bound).

        It is twice the area between the Lorenz curve and the diagonal: 0 where all scores are equal, 1 - 1/n where one
        weight holds everything.
        """
        if self.exact:
            points = self._low.counts
        else:
            points = _distinct(self._low.counts, self._high.counts, self._middle.counts)
            # Both bounds are piecewise linear between these points, but for the kink where one half takes over.
            gap = np.maximum.accumulate(self._high.at(points) - self._low.at(points))
            kinks = np.interp([self._raise, self._room - self._raise], gap, points)
            points = _distinct(points, np.sort(kinks))
        areas = [float(np.trapezoid(share, points)) for share in self.top_share(points)]
        value, low, high = (min(max(2 * area / self.n - 1, 0.0), 1 - 1 / self.n) for area in areas)
        return value, low, high


def _distinct(*ascending: Floats) -> Floats:
    """Return the numbers of several ascending arrays, not all empty, ascending, each once."""
    joined = np.sort(np.concatenate(ascending), kind="stable")  # which merges what is in order; np.unique sorts anew
    return joined[np.append(True, joined[1:] > joined[:-1])]
