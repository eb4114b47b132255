"""Which matrix of each block is its ``down_proj``: the last one of the MLP, that writes into the residual stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..structure.tensor_roles import MLP_OUT, role_of

_OF_MIXERS = ("o_proj", "out_proj")
"""Ends of attention and of Mamba mixers, in modules of any name. Not ``dense``: MLPs of BERT's kind end so too."""


def down_projections(facts: Mapping[str, Any]) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Find the MLP's last matrix of each block, by place and shape, whatever its name.

    It is the last Linear or Conv1D of the block outside attention and mixers whose output has the hidden size:
    ``down_proj``, ``mlp.c_proj``, ``dense_4h_to_h``, ``fc2``, or a shared expert's. In a model that has such names
    nothing else counts: behind the MLP of Gemma-3n stands a ``per_layer_projection``, and blocks of hybrids have no
    MLP, but a ``q_proj`` (Nemotron-H) or a ``linear`` (Zamba) of that shape. Experts that are one 3-D tensor are left
    out: their inputs are tokens in the order of routing, which have no position in a text.

    Args:
        facts: the model's ``model.json``.

    Returns:
        The tensor's facts by block, and for the other blocks why they have none.

    """
    named: dict[int, dict[str, Any]] = {}
    others: dict[int, dict[str, Any]] = {}
    experts: set[int] = set()
    for tensor in facts["tensors"]:
        layer = tensor["layer"]
        if layer is None:
            continue
        if tensor["kind"] == "experts":
            experts.add(layer)
        if tensor["kind"] in ("linear", "conv1d") and len(tensor["shape"]) == 2 and not _in_mixer(tensor["name"]):
            outputs = tensor["shape"][tensor["axes"].index("row")]
            if outputs == facts["hidden_size"]:
                (named if role_of(tensor["name"]) in MLP_OUT else others)[layer] = tensor
    found = named or others
    why = {
        layer: "its experts are one tensor, and the tokens that are routed to them have no position"
        if layer in experts
        else "no matrix of an MLP has outputs of the hidden size"
        for layer in range(facts["n_layers"])
        if layer not in found
    }
    return dict(sorted(found.items())), why


def _in_mixer(name: str) -> bool:
    in_attention = any("attn" in part or "attention" in part for part in name.split("."))
    return in_attention or role_of(name) in _OF_MIXERS


def storage_index(tensor: Mapping[str, Any], row: int, col: int) -> tuple[int, int]:
    """Return the index of a weight in storage order: Conv1D stores (in, out), a Linear (out, in)."""
    first, second = ({"row": row, "col": col}[axis] for axis in tensor["axes"])
    return first, second


def flat_index(tensor: Mapping[str, Any], row: int, col: int) -> int:
    """Return the flat index of a weight in storage order."""
    return int(np.ravel_multi_index(storage_index(tensor, row, col), tuple(tensor["shape"])))
