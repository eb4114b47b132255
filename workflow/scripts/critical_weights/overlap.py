"""How many of their first weights two ranked lists share, how many chance would, and where the lists can say so."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .chance import chance_of_sharing
from .log import logger
from .ranked_lists import RankedList
from .tables import OVERLAP

log = logger(__name__)

LADDER = (10, 30, 100, 300, 1000, 3000, 10000)
ALL = "all"
_UNLIMITED = np.iinfo(np.int64).max
_KS = np.array([*LADDER, _UNLIMITED])


def overlap_table(lists: Mapping[str, RankedList], population: Mapping[str, int] | None) -> pd.DataFrame:
    """Compare all pairs of lists, over all tensors that both name and within each of them.

    For every k of :data:`LADDER` the first k of each list are compared, fewer where a list ends before, and for
    ``all`` both whole lists. ``share`` is shared / the smaller of the two numbers compared. ``expected`` and ``p``
    are those of two independent draws of these sizes from all weights (of the tensors compared), without replacement;
    p is 0 where it is below the smallest float64. Only of a complete row are they a fair comparison: lists cut tensor
    by tensor share more by their make, above all in small tensors.

    ``complete`` says that what is compared are exactly the first k of the population: neither list is cut before its
    place k (its end, for ``all``), and the score there is not 0, unless everything is compared. Scores of exactly 0
    are ordered by index alone, which any two lists have in common, so sharing them is no evidence.

    Args:
        lists: by name; pairs come in this order.
        population: the number of weights of each tensor; None where it is not known: then ``expected`` and ``p`` are
            empty and no list counts as holding everything.

    Returns:
        The columns of :data:`critical_weights.tables.OVERLAP`.

    """
    if population is None:
        log.info("expected and p are left empty: the number of weights of each tensor is not known")
    names = list(dict.fromkeys(name for ranked in lists.values() for name in ranked.names))
    sizes = np.array([population[name] if population else _UNLIMITED for name in names], np.int64)
    listed = {label: _Listed(ranked, names) for label, ranked in lists.items()}
    extent = np.max([one.extent for one in listed.values()], axis=0, initial=0)
    for one in listed.values():
        one.number_weights(np.concatenate([[0], np.cumsum(extent)[:-1]]))
    columns = [column.name for column in OVERLAP.columns]
    parts = [pd.DataFrame(columns=columns)]
    for a, b in combinations(listed, 2):
        both = listed[a].named & listed[b].named
        if (listed[a].named | listed[b].named).sum() > both.sum():
            log.info("%s and %s are compared over the %d tensors that both have", a, b, both.sum())
        shared = _shared(listed[a], listed[b])
        total = sizes[both].sum(keepdims=True) if population else np.array([_UNLIMITED])
        everything = [listed[label].grouped(np.where(both, 0, -1), 1) for label in (a, b)]
        parts.append(_compare(everything, shared, total).assign(scope="global", tensor="", a=a, b=b))
        within = _compare([listed[a].within, listed[b].within], shared, sizes)
        parts.append(within.assign(scope="tensor", tensor=[names[i] for i in within["group"]], a=a, b=b))
    return pd.concat(parts).astype({c.name: c.dtype for c in OVERLAP.columns})[columns].reset_index(drop=True)


class _Listed:
    """A ranked list in the terms of all lists: tensors numbered alike, weights findable by one number."""

    def __init__(self, ranked: RankedList, names: list[str]) -> None:
        number = {name: place for place, name in enumerate(names)}
        own = np.array([number[name] for name in ranked.names], np.int64)
        self._ranked = ranked
        self._tensor = own[ranked.tensor]
        self._known_to = np.zeros(len(names), np.int64)
        self._known_to[own] = ranked.known_to
        self.named = np.isin(np.arange(len(names)), own)
        self.extent = np.zeros(len(names), np.int64)
        np.maximum.at(self.extent, self._tensor, ranked.index + 1)
        self.within = self.grouped(np.arange(len(names)), len(names))

    def number_weights(self, starts: NDArray[np.int64]) -> None:
        """Number every weight, given the number of each tensor's first one."""
        numbers = starts[self._tensor] + self._ranked.index
        self.order = np.argsort(numbers)
        self.numbers = numbers[self.order]

    def grouped(self, group_of_tensor: NDArray[np.int64], n: int) -> _Groups:
        """Divide the list into ``n`` groups of tensors (-1: left out)."""
        return _Groups(self._ranked, self._tensor, self._known_to, group_of_tensor, n)


class _Groups:
    """A list divided into groups, each in ranking order.

    Attributes:
        group: group of each weight of the list, -1 for none.
        place: its place within the group, from 0.
        length: weights of each group.
        known: how many first weights of each group are sure to be the population's first.

    """

    def __init__(
        self,
        ranked: RankedList,
        tensor: NDArray[np.int64],
        known_to: NDArray[np.int64],
        group_of_tensor: NDArray[np.int64],
        n: int,
    ) -> None:
        self.group = group_of_tensor[tensor]
        inside = np.flatnonzero(self.group >= 0)
        order = inside[np.argsort(self.group[inside], kind="stable")]
        self.length = np.bincount(self.group[inside], minlength=n)
        self._start = np.concatenate([[0], np.cumsum(self.length)[:-1]])
        self.place = np.full(len(ranked), -1)
        self.place[order] = np.arange(len(order)) - np.repeat(self._start, self.length)
        self._score = np.append(ranked.score[order], np.float32(0))
        self.known = self.length.copy()
        for own, group in enumerate(group_of_tensor):
            if group >= 0:
                places = order[self._start[group] : self._start[group] + self.length[group]]
                self.known[group] = min(self.known[group], np.searchsorted(places, known_to[own]))

    def first(self, population: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return how many weights each group gives at each k, and whether they are the population's first."""
        taken = np.minimum(_KS, self.length[:, None])
        wanted = np.where(_KS == _UNLIMITED, taken, _KS)
        last = np.where(taken > 0, self._start[:, None] + taken - 1, len(self._score) - 1)
        sure = (wanted <= self.known[:, None]) & (self._score[last] > 0)
        return taken, sure | (taken == population[:, None])


def _shared(a: _Listed, b: _Listed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places in both lists of the weights that both hold."""
    at = np.searchsorted(a.numbers, b.numbers)
    found = np.flatnonzero(np.append(a.numbers, -1)[at] == b.numbers)
    return a.order[at[found]], b.order[found]


def _compare(
    sides: list[_Groups], shared: tuple[NDArray[np.int64], NDArray[np.int64]], population: NDArray[np.int64]
) -> pd.DataFrame:
    """Return one row for each group with weights in both lists, and k."""
    group = sides[0].group[shared[0]]
    deeper = np.maximum(sides[0].place[shared[0]], sides[1].place[shared[1]])[group >= 0]
    # A weight is among the first k of both lists where its deeper place is below k.
    step = np.searchsorted(_KS, deeper, side="right")
    counted = np.bincount(group[group >= 0] * len(_KS) + step, minlength=len(population) * len(_KS))
    both = np.cumsum(counted.reshape(-1, len(_KS)), axis=1)
    (taken_a, sure_a), (taken_b, sure_b) = (side.first(population) for side in sides)
    expected = p = np.full(both.shape, np.nan)
    if (population < _UNLIMITED).all():
        total = np.broadcast_to(population[:, None], both.shape)
        expected, p = taken_a * (taken_b / total), chance_of_sharing(both, total, taken_a, taken_b)
    frame = pd.DataFrame(
        {
            "group": np.repeat(np.arange(len(population)), len(_KS)),
            "k": [*map(str, LADDER), ALL] * len(population),
            "shared": both.ravel(),
            "share": (both / np.maximum(np.minimum(taken_a, taken_b), 1)).ravel(),
            "jaccard": (both / np.maximum(taken_a + taken_b - both, 1)).ravel(),
            "expected": expected.ravel(),
            "p": p.ravel(),
            "complete": (sure_a & sure_b).ravel(),
        }
    )
    return frame[(np.minimum(taken_a, taken_b) > 0).ravel()]
