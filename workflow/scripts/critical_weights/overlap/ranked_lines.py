"""Ranked lists of lines instead of weights: the rows and columns of each tensor, the neurons of each MLP.

A line ranks by its largest score, which is the first place that one of its weights has in a list. So one definition
serves score stores, which know the largest score of every line (``row_max``, ``col_max``), and lists of weights.
A sum over the line would need every score. Equal lines of a store are in order of their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..log import logger
from ..store.read import open_store
from .ranked_lists import RankedList, list_of_all

log = logger(__name__)

LINES = ("row", "col", "neuron")
_INTO = ("up_proj", "gate_proj", "fc1", "c_fc", "fc_in", "dense_h_to_4h", "w1", "w3")
_OUT_OF = ("down_proj", "fc2", "c_proj", "fc_out", "dense_4h_to_h", "w2")
Facts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class LineGroup:
    """The lines of one tensor, or the neurons of one MLP.

    Attributes:
        name: the tensor's, or that of the module that holds the MLP's tensors.
        count: number of lines; those of a 3-D tensor are numbered expert by expert.
        members: by tensor name, whether its ``row`` or its ``col`` is the line.

    """

    name: str
    count: int
    members: dict[str, str]


def line_groups(facts: Facts, line: str) -> list[LineGroup]:
    """Return the groups of lines of a model, in its order.

    A ``neuron`` is a hidden unit of an MLP: a row of ``up_proj`` and ``gate_proj`` and a column of ``down_proj``. Only
    MLPs whose tensors lie side by side under a name that says so, and whose sizes agree, have them; one with a fused
    ``gate_up_proj`` has none, because the facts do not say how its rows are interleaved.

    Args:
        facts: by tensor name at least ``shape`` and ``axes``.
        line: ``row``, ``col`` or ``neuron``.

    """
    if line != "neuron":
        return [
            LineGroup(name, _count(tensor, line), {name: line})
            for name, tensor in facts.items()
            if {"row", "col"} <= set(tensor["axes"])
        ]
    modules: dict[str, dict[str, str]] = {}
    for name, tensor in facts.items():
        module, _, leaf = name.removesuffix(".weight").rpartition(".")
        if {"row", "col"} <= set(tensor["axes"]) and leaf in (*_INTO, *_OUT_OF):
            modules.setdefault(module, {})[name] = "row" if leaf in _INTO else "col"
    groups = []
    for module, members in modules.items():
        counts = {_count(facts[name], own) for name, own in members.items()}
        if list(members.values()).count("col") == 1 and len(members) > 1 and len(counts) == 1:
            groups.append(LineGroup(module, counts.pop(), members))
    return groups


def lines_of_stores(paths: Sequence[str | Path]) -> dict[str, tuple[dict[str, RankedList], dict[str, int]]]:
    """Rank every line of score stores of one model.

    Returns:
        By kind of line (:data:`LINES`) the lists by metric, with a group in place of a tensor; and the number of lines
        of each group.

    """
    found: dict[str, tuple[dict[str, RankedList], dict[str, int]]] = {line: ({}, {}) for line in LINES}
    for path in paths:
        with open_store(path) as store:
            facts = {name: store.tensor_attributes(name, ("shape", "axes")) for name in store.names}
            largest = {name: store.lines(name, ("row_max", "col_max")) for name in store.names}
        for line, (lists, population) in found.items():
            groups = line_groups(facts, line)
            scores = []
            for group in groups:
                sides = [largest[name][f"{own}_max"].reshape(-1) for name, own in group.members.items()]
                scores.append(np.maximum.reduce(sides) if len(sides) > 1 else sides[0])
            population |= {group.name: group.count for group in groups}
            lists[store.attributes["metric"]] = list_of_all([group.name for group in groups], scores)
    return found


def lines_of_list(ranked: RankedList, facts: Facts, line: str) -> tuple[RankedList, dict[str, int]]:
    """Rank the lines in which the weights of a list lie, by the first of them.

    Args:
        ranked: a list of weights.
        facts: by tensor name ``shape`` and ``axes``, of the list's tensors.
        line: ``row``, ``col`` or ``neuron``.

    Returns:
        The list of lines, with a group in place of a tensor; and the number of lines of each group.

    """
    groups = line_groups({name: facts[name] for name in ranked.names}, line)
    number = {name: place for place, name in enumerate(ranked.names)}
    group_of = np.full(len(ranked.names), -1)
    index = np.zeros(len(ranked), np.int64)
    for place, group in enumerate(groups):
        for name, own in group.members.items():
            group_of[number[name]] = place
            inside = np.flatnonzero(ranked.tensor == number[name])
            index[inside] = _line_of(facts[name], own, ranked.index[inside])
    group = group_of[ranked.tensor]
    listed = np.flatnonzero(group >= 0)
    keys = np.stack([group[listed], index[listed]])
    first = listed[np.sort(np.unique(keys, axis=1, return_index=True)[1])] if len(listed) else listed
    # What the list is sure to hold of all of a group's tensors, in places of weights, turned into places of lines.
    sure_to = np.array([min(ranked.known_to[number[name]] for name in group.members) for group in groups], np.int64)
    within = np.bincount(group[first], minlength=len(groups)).astype(np.int64)
    for place, members in enumerate(groups):
        if len(members.members) > 1:
            within[place] = (first[group[first] == place] < sure_to[place]).sum()
    lines = RankedList(
        tuple(group.name for group in groups), group[first], index[first], ranked.score[first],
        np.searchsorted(first, sure_to), within,
    )  # fmt: skip
    return lines, {group.name: group.count for group in groups}


def _count(tensor: Mapping[str, Any], line: str) -> int:
    sizes = dict(zip(tensor["axes"], tensor["shape"], strict=True))
    return int(sizes[line] * sizes.get("expert", 1))


def _line_of(tensor: Mapping[str, Any], line: str, flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the line that each weight lies in."""
    places = dict(zip(tensor["axes"], np.unravel_index(flat, tuple(tensor["shape"])), strict=True))
    sizes = dict(zip(tensor["axes"], tensor["shape"], strict=True))
    return places.get("expert", 0) * sizes[line] + places[line]
