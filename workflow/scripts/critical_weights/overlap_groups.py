"""Ranked lists in one numbering, and divided into groups of tensors: what overlap and agreement count in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .orders import ascending, grouped
from .ranked_lists import RankedList

LADDER = (10, 30, 100, 300, 1000, 3000, 10000)
ALL = "all"
UNLIMITED = np.iinfo(np.int64).max
KS = np.array([*LADDER, UNLIMITED])
"""The k of a comparison; the last one stands for ``all``."""

Ints = NDArray[np.int64]
_Short = np.int32
"""Of what there is one number a weight: tensors, groups and places; millions of weights need not twice the memory."""


class Listed:
    """A ranked list in the terms of all lists: tensors numbered alike, weights findable by one number.

    Attributes:
        tensor: number of each weight's tensor.
        score: the weights' scores, best first.
        named: by tensor, whether the list may name it.
        within: the list divided by tensor.

    """

    def __init__(self, ranked: RankedList, names: list[str]) -> None:
        number = {name: place for place, name in enumerate(names)}
        own = np.array([number[name] for name in ranked.names], np.int64)
        self.tensor = own.astype(_Short)[ranked.tensor]
        self.score = ranked.score
        self.index = ranked.index
        self._known_to = np.zeros(len(names), np.int64)
        self._known_to[own] = ranked.known_to
        self._known_within: Ints | None = None
        if ranked.known_within is not None:
            self._known_within = np.zeros(len(names), np.int64)
            self._known_within[own] = ranked.known_within
        self.named = np.isin(np.arange(len(names)), own)
        self.extent = np.zeros(len(names), np.int64)
        np.maximum.at(self.extent, self.tensor, ranked.index + 1)
        self.within = self.grouped(np.arange(len(names)), len(names))

    def __len__(self) -> int:
        return len(self.score)

    def number_weights(self, starts: Ints) -> None:
        """Number every weight, given the number of each tensor's first one."""
        self.number = starts[self.tensor] + self.index
        self._sorted, order = ascending(self.number)
        self._order = order.astype(_Short)

    def grouped(self, group_of_tensor: Ints, n: int) -> Groups:
        """Divide the list into ``n`` groups of tensors (-1: left out)."""
        return Groups(self, self._known_to, self._known_within, group_of_tensor, n)

    @cached_property
    def whole(self) -> Groups:
        """The list as one group of all tensors."""
        return self.grouped(np.zeros(len(self.named), np.int64), 1)

    def shared_with(self, other: Listed) -> tuple[Ints, Ints]:
        """Return the places in this list and in the other of the weights that both hold."""
        at = np.searchsorted(self._sorted, other._sorted)
        found = np.flatnonzero(np.append(self._sorted, -1)[at] == other._sorted)
        return self._order[at[found]], other._order[found]


class Groups:
    """A list divided into groups, each in ranking order.

    Attributes:
        group: group of each weight of the list, -1 for none.
        place: its place within the group, from 0.
        length: weights of each group.
        known: how many first weights of each group are sure to be the population's first.

    """

    def __init__(
        self, listed: Listed, known_to: Ints, known_within: Ints | None, group_of_tensor: Ints, n: int
    ) -> None:
        self._tensor = listed.tensor
        self.group = group_of_tensor.astype(_Short)[listed.tensor]
        inside = np.flatnonzero(self.group >= 0)
        order = inside[grouped(self.group[inside])]
        self.length = np.bincount(self.group[inside], minlength=n)
        self._start = np.cumsum(self.length) - self.length
        self.place = np.full(len(listed), -1, _Short)
        self.place[order] = np.arange(len(order)) - np.repeat(self._start, self.length)
        self._score = np.append(listed.score[order], np.float32(0))
        self.known = self.length.copy()
        tensors = np.bincount(group_of_tensor[group_of_tensor >= 0], minlength=n)
        for own, group in enumerate(group_of_tensor):
            if group < 0:
                continue
            if tensors[group] == 1:  # of a single tensor all that is listed is sure, wherever the list is cut
                self.known[group] = self.length[group] if known_within is None else known_within[own]
            else:
                places = order[self._start[group] : self._start[group] + self.length[group]]
                self.known[group] = min(self.known[group], np.searchsorted(places, known_to[own]))

    def first(self, population: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Return how many weights each group gives at each k, and whether they are the population's first."""
        taken = np.minimum(KS, self.length[:, None])
        wanted = np.where(KS == UNLIMITED, taken, KS)
        last = np.where(taken > 0, self._start[:, None] + taken - 1, len(self._score) - 1)
        sure = (wanted <= self.known[:, None]) & (self._score[last] > 0)
        return taken, sure | (taken == population[:, None])

    def depth(self) -> Ints:
        """Return how many first weights of each group are sure and have a score above 0."""
        positive = np.append(np.cumsum(self._score[:-1] > 0), 0)
        before = np.append(0, positive)
        above = before[self._start + self.length] - before[self._start]
        return np.minimum(self.known, above)

    def by_tensor(self, k: int, n: int) -> Ints:
        """Return how many of the first ``k`` weights of the groups each of the ``n`` tensors has."""
        return np.bincount(self._tensor[(self.place >= 0) & (self.place < k)], minlength=n)


def in_one_numbering(lists: Mapping[str, RankedList]) -> tuple[list[str], dict[str, Listed]]:
    """Return the tensors of all lists, each list's in its order, and the lists with their weights numbered alike."""
    names = list(dict.fromkeys(name for ranked in lists.values() for name in ranked.names))
    listed = {label: Listed(ranked, names) for label, ranked in lists.items()}
    extent = np.max([one.extent for one in listed.values()], axis=0, initial=0)
    for one in listed.values():
        one.number_weights(np.cumsum(extent) - extent)
    return names, listed
