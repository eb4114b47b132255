"""The whole row, column and neuron that a weight lies in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..validation.weight_sets import Places, WeightSet
from .tensor_roles import neurons_of


def lines_of_weight(metric: str, mode: str, facts: Mapping[str, Any], name: str, flat: int) -> list[WeightSet]:
    """Return the row, the column and, in an MLP, the neuron of a weight, as far as there are such.

    A neuron is a row of what leads into the MLP's hidden layer and the column of what leads out of it, in every tensor
    of the block's MLP (of its own expert, where there are some).

    Args:
        metric: whose top weight it is.
        mode: the ranking mode.
        facts: the model's.
        name: the weight's tensor.
        flat: its index in storage order.

    """
    tensors = {tensor["name"]: tensor for tensor in facts["tensors"]}
    tensor = tensors[name]
    at = dict(zip(tensor["axes"], np.unravel_index(flat, tuple(tensor["shape"])), strict=True))
    expert = at.get("expert")
    sets = []
    for line in ("row", "col"):
        if len(tensor["shape"]) > 1 and line in at:
            where = f"{name} {line} {at[line]}" + ("" if expert is None else f" of expert {expert}")
            places = {name: _line(tensor, line, np.array([at[line]]), expert)}
            sets.append(WeightSet(metric, mode, line, 1, places, name=where))
    found = neurons_of(tensor, dict(facts)) if tensor["layer"] is not None else None
    if found is not None:
        axis, neurons = found
        neuron = neurons[at[axis]]
        places = _neuron(facts, tensor["layer"], neuron, expert, _mlp(name))
        where = f"block {tensor['layer']} neuron {neuron}" + ("" if expert is None else f" of expert {expert}")
        sets.append(WeightSet(metric, mode, "neuron", 1, places, name=where))
    return sets


def _mlp(name: str) -> str:
    """Return the module path that a neuron's tensors share: some models name an MLP's tensors by expert."""
    path = name.removesuffix(".weight").removesuffix(".bias")
    return path.rpartition(".")[0]


def _neuron(facts: Mapping[str, Any], layer: int, neuron: int, expert: int | None, mlp: str) -> Places:
    places = {}
    for tensor in facts["tensors"]:
        found = neurons_of(tensor, dict(facts)) if tensor["layer"] == layer else None
        if found is not None and _mlp(tensor["name"]) == mlp:
            axis, neurons = found
            places[tensor["name"]] = _line(tensor, axis, np.flatnonzero(neurons == neuron), expert)
    return places


def _line(tensor: Mapping[str, Any], axis: str, lines: np.ndarray, expert: int | None) -> np.ndarray:
    """Return the flat indices of some lines of one axis (within one expert), ascending."""
    index = np.arange(tensor["numel"]).reshape(tensor["shape"])
    if expert is not None:
        index = np.take(index, [expert], axis=list(tensor["axes"]).index("expert"))
    return np.sort(np.take(index, lines, axis=list(tensor["axes"]).index(axis)).reshape(-1)).astype(np.int64)
