"""Ranked lists in one numbering, and divided into groups of tensors: what overlap and agreement count in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..orders import Shorts, grouped, numbered_alike
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
        places: the places of its weights in the order of their numbers.

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

    def __len__(self) -> int:
        return len(self.score)

    def number_weights(self, starts: Ints, total: int, ids: Shorts, places: Shorts) -> None:
        """Number every weight, and divide the list by tensor.

        Args:
            starts: the number of each tensor's first weight, if all its weights are numbered.
            total: weights that any of the lists has.
            ids: of this list's weights the numbers among these, ascending.
            places: their places in this list.

        """
        self._starts, self._total, self._ids, self.places = starts, total, ids, places
        self.within = self.grouped(np.arange(len(self.named)), len(self.named))

    @cached_property
    def number(self) -> Ints:
        """The number of each weight among all weights of the tensors."""
        return self._starts[self.tensor] + self.index

    def grouped(self, group_of_tensor: Ints, n: int) -> Groups:
        """Divide the list into ``n`` groups of tensors (-1: left out)."""
        return Groups(self, self._known_to, self._known_within, group_of_tensor, n)

    @cached_property
    def whole(self) -> Groups:
        """The list as one group of all tensors."""
        return self.grouped(np.zeros(len(self.named), np.int64), 1)

    def shared_with(self, other: Listed) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which weights both hold, of this list's in the order of their numbers and of the other's likewise."""
        return other._has()[self._ids], self._has()[other._ids]

    def _has(self) -> NDArray[np.bool_]:
        held = np.zeros(self._total, bool)
        held[self._ids] = True
        return held


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
        self._tensor, self._score, self._places = listed.tensor, listed.score, listed.places
        self.group = group_of_tensor.astype(_Short)[listed.tensor]
        self.length = np.bincount(self.group[self.group >= 0], minlength=n)
        self._start = np.cumsum(self.length) - self.length
        if n == 1 and self.length[0] == len(listed):
            self._order = self.place = np.arange(len(listed), dtype=_Short)
        else:
            inside = np.flatnonzero(self.group >= 0).astype(_Short)
            self._order = inside[grouped(self.group[inside])]
            self.place = np.full(len(listed), -1, _Short)
            starts = np.repeat(self._start.astype(_Short), self.length)
            self.place[self._order] = np.arange(len(inside), dtype=_Short) - starts
        self.known = self.length.copy()
        tensors = np.bincount(group_of_tensor[group_of_tensor >= 0], minlength=n)
        for own, group in enumerate(group_of_tensor):
            if group < 0:
                continue
            if tensors[group] == 1:  # of a single tensor all that is listed is sure, wherever the list is cut
                self.known[group] = self.length[group] if known_within is None else known_within[own]
            else:
                places = self._order[self._start[group] : self._start[group] + self.length[group]]
                self.known[group] = min(self.known[group], np.searchsorted(places, _Short(known_to[own])))

    @cached_property
    def step(self) -> Shorts:
        """Of each weight, in the order of their numbers: its group times the number of k, and of its place the step.

        The step is the number of the first k that the place is below. Of a weight of two lists the larger of the two
        tells from which k on it is among the first k of both.
        """
        longest = int(self.length.max(initial=1))  # a weight of no group has a place too, which nobody asks for
        of_place = np.repeat(np.arange(len(KS), dtype=_Short), np.diff(np.minimum(KS, longest), prepend=0))
        step = of_place[self.place]
        step += self.group * _Short(len(KS))
        return step[self._places]

    def first(self, population: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Return how many weights each group gives at each k, and whether they are the population's first."""
        taken = np.minimum(KS, self.length[:, None])
        wanted = np.where(KS == UNLIMITED, taken, KS)
        last = self._start[:, None] + taken - 1
        positive = np.zeros(taken.shape, bool)
        positive[taken > 0] = self._score[self._order[last[taken > 0]]] > 0
        sure = (wanted <= self.known[:, None]) & positive
        return taken, sure | (taken == population[:, None])

    @cached_property
    def depth(self) -> Ints:
        """How many first weights of each group are sure and have a score above 0."""
        positive = self._score > 0
        above = np.bincount(self.group[positive & (self.group >= 0)], minlength=len(self.length))
        return np.minimum(self.known, above)

    def by_tensor(self, k: int, n: int) -> Ints:
        """Return how many of the first ``k`` weights of the groups each of the ``n`` tensors has."""
        first = [
            self._order[start : start + min(k, length)] for start, length in zip(self._start, self.length, strict=True)
        ]
        return np.bincount(self._tensor[np.concatenate(first)], minlength=n)


def in_one_numbering(lists: Mapping[str, RankedList]) -> tuple[list[str], dict[str, Listed]]:
    """Return the tensors of all lists, each list's in its order, and the lists with their weights numbered alike."""
    names = list(dict.fromkeys(name for ranked in lists.values() for name in ranked.names))
    listed = {label: Listed(ranked, names) for label, ranked in lists.items()}
    extent = np.max([one.extent for one in listed.values()], axis=0, initial=0)
    starts = np.cumsum(extent) - extent
    total, numbered = numbered_alike([starts[one.tensor] + one.index for one in listed.values()])
    for one, (ids, places) in zip(listed.values(), numbered, strict=True):
        one.number_weights(starts, total, ids, places)
    return names, listed
