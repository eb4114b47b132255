"""Exact self-checks: conservation laws that the signed a = g * w obeys on Llama-type models, whatever the texts.

They follow from symmetries of the network (SynFlow, 2006.05467): scaling a hidden unit up and its reader down changes
nothing. They catch wrong axes, lost tokens, dropped tensors, tied gradients counted twice and streaming errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .reduce import LineSums, by_line

MODEL_TYPES = ("llama", "mistral")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 5e-2}
"""Allowed error relative to the L1 norm of what is summed; a wrong axis gives errors near 1."""
EPSILON_TOLERANCE = 1e-3
"""Least tolerance of the law over the residual stream: a norm's epsilon breaks it where the stream is small."""
LAWS = (
    "rows of up_proj = columns of down_proj",
    "rows of v_proj = columns of o_proj, added over each key-value group",
    "rows of q_proj per rotary pair, added over each group = rows of k_proj",
    "input_layernorm = columns of q_proj + k_proj + v_proj",
    "post_attention_layernorm = columns of gate_proj + up_proj",
    "final norm = columns of lm_head",
    "sum over embedding, every o_proj and every down_proj = 0",
)


@dataclass(frozen=True)
class SignedSums:
    """The signed a = g * w of one tensor, summed: ``row``, ``col`` (or ``row`` alone for 1-D), total and L1 norm."""

    row: Tensor
    col: Tensor | None
    total: float
    l1: float


def signed_sums(sums: LineSums, axes: tuple[str, ...]) -> SignedSums | None:
    """Name the sums of a tensor's a = g * w, or of a slab of it, by lines; None for tensors without rows."""
    if sums.last is None:
        return SignedSums(sums.first, None, sums.total, sums.l1)
    lines = by_line(sums.first, sums.last, axes)
    if not lines or len(axes) != 2:
        return None
    return SignedSums(lines["row"], lines["col"], sums.total, sums.l1)


def join_sums(first: SignedSums | None, second: SignedSums, axes: tuple[str, ...]) -> SignedSums:
    """Join the sums of two slabs of a tensor, which follow each other along its first axis."""
    if first is None:
        return second

    def join(line: str, one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one, other]) if axes[0] == line else one + other

    row = join("row", first.row, second.row)
    col = None if first.col is None or second.col is None else join("col", first.col, second.col)
    return SignedSums(row, col, first.total + second.total, first.l1 + second.l1)


def check_laws(sums: Mapping[str, SignedSums], facts: Mapping[str, Any], dtype: torch.dtype) -> list[dict[str, Any]]:
    """Check every law that holds for this architecture.

    Args:
        sums: by tensor name, 1-D tensors included.
        facts: the model's facts (``model.json``).
        dtype: the model's dtype, which sets the tolerance.

    Returns:
        One entry a law: ``law``, ``status`` (``passed``, ``failed`` or ``not applicable``), ``error`` (the largest,
        relative to the L1 norm of what is summed), ``tolerance``, ``n`` (places checked) and ``reason``.

    """
    reason = _not_applicable(facts)
    if reason:
        return [_entry(law, "not applicable", reason=reason) for law in LAWS]
    layers = range(facts["n_layers"])
    by_place = {(t["layer"], t["component"]): sums[t["name"]] for t in facts["tensors"]}
    tied = any(t["tied_to"] for t in facts["tensors"])
    heads, kv_heads = facts["n_heads"], facts["n_kv_heads"]
    errors: dict[str, list[float]] = {law: [] for law in LAWS}
    writers = [by_place[None, "embed_tokens"]]
    for layer in layers:
        part = {c: by_place[layer, c] for _, c in by_place if (layer, c) in by_place}
        q, k, v, o = (part[f"{x}_proj"] for x in "qkvo")
        gate, up, down = (part[f"{x}_proj"] for x in ("gate", "up", "down"))
        writers += [o, down]
        errors[LAWS[0]].append(_error(up.row, down.col, (up, down)))
        per_head = o.col.reshape(kv_heads, heads // kv_heads, -1).sum(1).reshape(-1)
        errors[LAWS[1]].append(_error(v.row, per_head, (v, o)))
        # A rotation mixes dimension i of a head with i + half: only their sum is conserved.
        q_pairs = q.row.reshape(kv_heads, heads // kv_heads, 2, -1).sum((1, 2))
        k_pairs = k.row.reshape(kv_heads, 2, -1).sum(1)
        errors[LAWS[2]].append(_error(q_pairs, k_pairs, (q, k)))
        first, second = part["input_layernorm"], part["post_attention_layernorm"]
        errors[LAWS[3]].append(_error(first.row, _added(q.col, k.col, v.col), (first, q, k, v)))
        errors[LAWS[4]].append(_error(second.row, _added(gate.col, up.col), (second, gate, up)))
    if not tied:
        head, norm = by_place[None, "lm_head"], by_place[None, "norm"]
        errors[LAWS[5]].append(_error(norm.row, head.col, (norm, head)))
        errors[LAWS[6]].append(abs(sum(w.total for w in writers)) / sum(w.l1 for w in writers))
    return [_judge(law, found, dtype) for law, found in errors.items()]


def _not_applicable(facts: Mapping[str, Any]) -> str | None:
    if facts["model_type"] not in MODEL_TYPES:
        return f"not derived for {facts['model_type']}; known for {', '.join(MODEL_TYPES)}"
    if biased := [t["name"] for t in facts["tensors"] if t["kind"] == "bias"]:
        return f"biases change the laws ({len(biased)} of them, first {biased[0]})"
    return None


def _error(left: Tensor, right: Tensor, summed: tuple[SignedSums, ...]) -> float:
    if left.numel() != right.numel():  # so it is when an axis is taken for another
        return math.inf
    norm = sum(s.l1 for s in summed)
    return (left.reshape(-1) - right.reshape(-1)).abs().sum().item() / norm if norm else 0.0


def _added(*lines: Tensor) -> Tensor:
    """Add lines up; an empty one where their lengths differ, which then equals nothing."""
    return sum(lines[1:], lines[0]) if len({len(line) for line in lines}) == 1 else lines[0][:0]


def _judge(law: str, found: list[float], dtype: torch.dtype) -> dict[str, Any]:
    if not found:
        return _entry(law, "not applicable", reason="the head is tied to the embedding")
    tolerance = TOLERANCE[dtype]
    if law == LAWS[6]:
        tolerance = max(tolerance, EPSILON_TOLERANCE)
    if not all(map(math.isfinite, found)):
        reason = "the sums are not finite, or of unequal length"
        return _entry(law, "failed", tolerance=tolerance, n=len(found), reason=reason)
    worst = max(found)
    status = "passed" if worst <= tolerance else "failed"
    return _entry(law, status, error=worst, tolerance=tolerance, n=len(found))


def _entry(
    law: str,
    status: str,
    *,
    error: float | None = None,
    tolerance: float | None = None,
    n: int = 0,
    reason: str | None = None,
) -> dict[str, Any]:
    return {"law": law, "status": status, "error": error, "tolerance": tolerance, "n": n, "reason": reason}
