"""What the rows and columns of a model's matrices mean: residual channels, neurons of an MLP, tensors of a list.

A residual channel c is an input (column) of what reads the residual stream, such as q, k, v, gate, up and the head, an
output (row) of what writes it, such as o and down, and a column of the embedding. A neuron of a block is a row of what
leads into the MLP's hidden layer and a column of what leads out of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..log import logger
from ..ranking.addresses import POSITION_COMPONENTS

log = logger(__name__)

ATTENTION_IN = ("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv")
ATTENTION_OUT = ("o_proj", "out_proj", "attn.c_proj", "dense")
MLP_IN = ("gate_proj", "up_proj", "gate_up_proj", "c_fc", "fc1", "fc_in", "dense_h_to_4h", "w1", "w3")
MLP_OUT = ("down_proj", "mlp.c_proj", "fc2", "fc_out", "dense_4h_to_h", "w2")
OUTSIDE_BLOCKS = ("embed_tokens", "wte", "embed_in", "word_embeddings", "lm_head", "embed_out")
GATE_UP_HALVES = (
    "phi3", "mixtral", "phimoe", "olmoe", "qwen2_moe", "qwen3_moe", "qwen3_next", "deepseek_v2", "deepseek_v3",
    "glm4_moe", "llama4", "llama4_text", "minimax",
)  # fmt: skip
"""Model types that store all gates before all ups in ``gate_up_proj``: neuron n is row n and row n + half."""
GATE_UP_TURNS = ("gpt_oss",)
"""Those that store them by turns: neuron n is rows 2 n and 2 n + 1."""
_CONV1D = ("c_attn", "c_fc", "attn.c_proj", "mlp.c_proj")
# StarCoder2's blocks are called otherwise, GPT-Neo's attention has one module more. GPTBigCode has Linear modules of
# just these names and cannot be told by them, nor can GPT-Neo where a list names none of its attention.
_OF_GPT2, _OF_GPT_NEO = re.compile(r"(?:transformer\.)?h\.\d+\."), ".attn.attention."
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block|layer)\.(\d+)\.")


def residual_axis(tensor: dict[str, Any], facts: dict[str, Any]) -> str | None:
    """Return the axis of a tensor (``row`` or ``col``) that is the residual stream; None where it has none.

    A tensor of an unknown name has none, nor has an axis whose length is not the model's hidden size. Norms, biases
    and a router's output are no lines of a matrix and have none either.

    Args:
        tensor: the tensor's facts.
        facts: the model's; ``hidden_size`` may be missing in what :func:`facts_of_names` returns.

    """
    component, axes = role_of(tensor["name"]), list(tensor["axes"])
    if component in ATTENTION_OUT + MLP_OUT:
        axis = "row"
    elif component in ATTENTION_IN + MLP_IN + OUTSIDE_BLOCKS + POSITION_COMPONENTS:
        axis = "col"
    else:
        return None
    if not {"row", "col"} <= set(axes):
        return None
    size = facts.get("hidden_size")
    fits = tensor["shape"] is None or size is None or tensor["shape"][axes.index(axis)] == size
    return axis if fits else None


def neurons_of(tensor: dict[str, Any], facts: dict[str, Any]) -> tuple[str, NDArray[np.int64]] | None:
    """Return the axis of a tensor that is the MLP's hidden layer, and the neuron of each of its lines.

    None where there is none, where the shape is unknown, or where gate and up lie in one tensor in an unknown order.
    """
    component, axes = role_of(tensor["name"]), list(tensor["axes"])
    axis = "row" if component in MLP_IN else "col" if component in MLP_OUT else None
    if axis is None or tensor["shape"] is None or not {"row", "col"} <= set(axes):
        return None
    lines = np.arange(tensor["shape"][axes.index(axis)])
    if component != "gate_up_proj":
        return axis, lines
    if facts.get("model_type") in GATE_UP_HALVES:
        return axis, lines % (len(lines) // 2)
    return (axis, lines // 2) if facts.get("model_type") in GATE_UP_TURNS else None


def facts_of_names(names: Iterable[str], dimensions: dict[str, int]) -> dict[str, Any]:
    """Return what tensor names alone tell, in the form of a model's facts; for lists made without a model at hand.

    Shapes and sizes are None, and a tensor's position is its place among ``names``. Matrices count as (row, col) but
    for the names of GPT-2, whose Conv1D stores (in, out), which is a guess and logged; three dimensions count as
    (expert, row, col).

    Args:
        names: tensor names.
        dimensions: number of indices of each tensor's weights.

    """
    names = list(names)
    conv1d = _named_as_conv1d(names)
    if conv1d:
        log.info("%d tensors, first %s, are taken as GPT-2's Conv1D, which stores (in, out): a guess by their names; "
                 "with the model named its facts say it", len(conv1d), min(conv1d))  # fmt: skip
    tensors = []
    for position, name in enumerate(names):
        found = _LAYER.search(name)
        component = role_of(name)
        axes = ("col", "row") if name in conv1d else ("row", "col")
        axes = {1: ("row",), 2: axes, 3: ("expert", *axes)}.get(dimensions[name], ())
        tensors.append(
            {
                "name": name,
                "position": position,
                "shape": None,
                "numel": None,
                "layer": int(found.group(1)) if found else None,
                "component": component,
                "axes": list(axes),
                "analysed": True,
            }
        )
    return {"model": None, "model_type": None, "hidden_size": None, "n_layers": None, "tensors": tensors}


def _named_as_conv1d(names: Collection[str]) -> set[str]:
    if any(_OF_GPT_NEO in name for name in names):
        return set()
    return {name for name in names if _OF_GPT2.match(name) and role_of(name) in _CONV1D}


def role_of(name: str) -> str:
    """Return the last word of a name before ``weight``; GPT-2's two ``c_proj`` with the word before it.

    It tells the role whatever else lies in the block: the facts name a component by two words where two tensors of a
    block end alike, as the ``down_proj`` of experts and of a shared expert, and a lone ``c_proj`` by one.
    """
    bias = name.endswith(".bias")
    words = name.removesuffix(".weight").removesuffix(".bias").split(".")
    word = ".".join(words[-2:]) if words[-1] == "c_proj" else words[-1]
    return f"{word}_bias" if bias else word
