"""Which matrix of each block is its ``down_proj``: the last one of the MLP, that writes into the residual stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..structure.tensor_roles import MLP_OUT, role_of


def down_projections(facts: Mapping[str, Any]) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Find the MLP's last matrix of each block, by place and shape, whatever its name.

    It is the last Linear or Conv1D of the block outside attention whose output has the hidden size: ``down_proj``,
    ``mlp.c_proj``, ``dense_4h_to_h``, ``fc2``, or a shared expert's. One with such a name goes before others: behind
    the MLP of Gemma-3n stands a ``per_layer_projection``. Experts that are one 3-D tensor are left out: their inputs
    are tokens in the order of routing, which have no position in a text.

    Args:
        facts: the model's ``model.json``.

    Returns:
        The tensor's facts by block, and for the other blocks why they have none.

    """
    found: dict[int, dict[str, Any]] = {}
    experts: set[int] = set()
    known: set[int] = set()  # blocks whose tensor has a name that says so
    for tensor in facts["tensors"]:
        layer = tensor["layer"]
        if layer is None:
            continue
        if tensor["kind"] == "experts":
            experts.add(layer)
        if tensor["kind"] in ("linear", "conv1d") and len(tensor["shape"]) == 2 and not _in_attention(tensor["name"]):
            outputs = tensor["shape"][tensor["axes"].index("row")]
            named = role_of(tensor["name"]) in MLP_OUT
            if outputs == facts["hidden_size"] and (named or layer not in known):
                found[layer] = tensor
                known |= {layer} if named else set()
    why = {
        layer: "its experts are one tensor, and the tokens that are routed to them have no position"
        if layer in experts
        else "no matrix outside attention has outputs of the hidden size"
        for layer in range(facts["n_layers"])
        if layer not in found
    }
    return dict(sorted(found.items())), why


def _in_attention(name: str) -> bool:
    return any("attn" in part or "attention" in part for part in name.split("."))


def storage_index(tensor: Mapping[str, Any], row: int, col: int) -> tuple[int, int]:
    """Return the index of a weight in storage order: Conv1D stores (in, out), a Linear (out, in)."""
    first, second = ({"row": row, "col": col}[axis] for axis in tensor["axes"])
    return first, second


def flat_index(tensor: Mapping[str, Any], row: int, col: int) -> int:
    """Return the flat index of a weight in storage order."""
    return int(np.ravel_multi_index(storage_index(tensor, row, col), tuple(tensor["shape"])))
