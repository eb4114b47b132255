"""Which rows and columns of the attention matrices belong to which head, also where q, k and v lie in one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor_roles import ATTENTION_OUT

FUSED = ("qkv_proj", "query_key_value", "c_attn")
Q_THEN_K_THEN_V = ("gpt2", "phi3")
"""Model types whose fused tensor holds all of q, then all of k, then all of v."""
GROUP_BY_GROUP = ("gpt_neox", "bloom", "falcon")
"""Those that go key-value head by key-value head: the query heads of its group, its k, its v."""


@dataclass(frozen=True)
class Heads:
    """The heads of one tensor.

    Attributes:
        axis: ``row`` or ``col``: the axis that is divided.
        part: ``q``, ``k``, ``v`` or ``o`` of each line of that axis.
        head: head of each line; of k and v a key-value head, which several query heads may share.

    """

    axis: str
    part: NDArray[np.str_]
    head: NDArray[np.int64]


def heads_of(tensor: dict[str, Any], facts: dict[str, Any]) -> Heads | str | None:
    """Return the heads of an attention matrix; None for any other tensor.

    Args:
        tensor: the tensor's facts.
        facts: the model's (``n_heads, n_kv_heads, head_dim, hidden_size, model_type``).

    Returns:
        The heads, or why they cannot be told apart.

    """
    component, axes = tensor["component"], list(tensor["axes"])
    parts = {"q_proj": "q", "k_proj": "k", "v_proj": "v", **dict.fromkeys(ATTENTION_OUT, "o"), **dict.fromkeys(FUSED)}
    if component not in parts or sorted(axes) != ["col", "row"]:
        return None
    part = parts[component]
    axis = "col" if part == "o" else "row"
    lines = tensor["shape"][axes.index(axis)]
    heads, kv_heads, size = _sizes(facts)
    if not heads or not size:
        return "the model's facts name no number of heads"
    if part is None:
        return _fused(lines, heads, kv_heads, size, facts["model_type"])
    count = kv_heads if part in ("k", "v") else heads
    if lines != count * size:
        return f"{lines} {axis}s are not {count} heads of {size}"
    return Heads(axis, np.full(lines, part), np.arange(lines) // size)


def _sizes(facts: dict[str, Any]) -> tuple[int, int, int]:
    heads = facts.get("n_heads") or 0
    size = facts.get("head_dim") or ((facts.get("hidden_size") or 0) // heads if heads else 0)
    return heads, facts.get("n_kv_heads") or heads, size


def _fused(lines: int, heads: int, kv_heads: int, size: int, model_type: str) -> Heads | str:
    if model_type not in Q_THEN_K_THEN_V + GROUP_BY_GROUP:
        return f"in what order {model_type} stores q, k and v is not known here"
    if lines != (heads + 2 * kv_heads) * size or kv_heads < 1 or heads % kv_heads:
        return f"{lines} rows are not {heads} heads of {size} with their keys and values"
    queries, keys = np.arange(heads), np.arange(kv_heads)
    if model_type in Q_THEN_K_THEN_V:
        part = np.repeat(["q", "k", "v"], [heads, kv_heads, kv_heads])
        head = np.concatenate([queries, keys, keys])
    else:
        group = heads // kv_heads
        part = np.tile(["q"] * group + ["k", "v"], kv_heads)
        head = np.concatenate([queries.reshape(kv_heads, group), keys[:, None], keys[:, None]], axis=1).ravel()
    return Heads("row", np.repeat(part, size), np.repeat(head, size))
