"""What a placement takes in memory, part by part, from shapes alone; the factors were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from ..metrics import family_metrics
from .curvature import PROBE_BYTES
from .differentials import SHARED_BYTES
from .loss import accumulator_dtype
from .seam import slab_weights

PROCESS_BYTES = 600 << 20
"""Interpreter, torch and transformers."""
SLAB_ENTRIES = 16
"""Temporary values of four bytes for each weight of a slab while it is scored and reduced."""


@dataclass(frozen=True)
class Sizes:
    """What decides how much memory a run takes; weights and widths are counts, not bytes.

    Attributes:
        size: bytes of a weight and of an activation.
        wide: bytes of an entry of a sum.
        weights: of the whole model.
        block: of the largest block.
        largest: of the largest tensor within a block.
        outside: outside the blocks, without embedding and head.
        ends: input and output width of every matrix of a block, added up.
        layers: blocks.
        hidden: width of the residual stream.
        heads: attention heads.
        eager: whether attention makes a matrix of its weights, for want of a fused kernel for the architecture.
        vocabulary: rows of embedding and head.
        tokens: of all texts.
        batch: padded tokens of a batch.
        widest: tokens of the longest text.
        rows: rows of the head at a time.
        kept_logits: whether the gradients of all logits are kept.
        probes: of the curvature pass.
        slab: weights that are scored together.
        analysed: of the largest analysed tensor.

    """

    size: int
    wide: int
    weights: int
    block: int
    largest: int
    outside: int
    ends: int
    layers: int
    hidden: int
    heads: int
    eager: bool
    vocabulary: int
    tokens: int
    batch: int
    widest: int
    rows: int
    kept_logits: bool
    probes: int
    slab: int
    analysed: int

    @property
    def scored(self) -> int:
        """Bytes of temporary results while scores are made and reduced."""
        return SLAB_ENTRIES * 4 * min(self.slab, self.weights)

    def dense(self, metrics: int) -> int:
        """Bytes in host memory of every score of two tensors by so many metrics: one is scored, one written."""
        return 2 * self.analysed * metrics * 4

    @property
    def graph(self) -> int:
        """Bytes of what a block holds for one batch: its inputs and output gradients, and what autograd keeps."""
        return int(2.0 * self.batch * (self.ends + 8 * self.hidden) * self.size)

    def attention(self, tokens: int) -> int:
        """Bytes of one layer's weights of attention for so many tokens, where no fused kernel does without them."""
        return tokens * self.heads * self.widest * max(self.size, 4)

    @property
    def logits(self) -> int:
        """Bytes of the logits' gradients that the block engines hold at a time."""
        return self.tokens * (self.vocabulary if self.kept_logits else self.rows) * max(self.size, 4)


def read_sizes(
    facts: Mapping[str, Any], lengths: Sequence[int], dtype: torch.dtype, device: torch.device, probes: int
) -> tuple[dict[str, int], int]:
    """Return the sizes that follow from the model and the texts, and the weights of the largest block."""
    by_layer: dict[int | None, int] = {}
    for tensor in facts["tensors"]:
        by_layer[tensor["layer"]] = by_layer.get(tensor["layer"], 0) + tensor["numel"]
    vocabulary, hidden = facts["vocab_size"] or 1, facts["hidden_size"] or 1
    inside = [t for t in facts["tensors"] if t["layer"] is not None]
    large = sum(t["numel"] for t in facts["tensors"] if t["layer"] is None and t["numel"] >= vocabulary * hidden)
    block = max((n for layer, n in by_layer.items() if layer is not None), default=0)
    found = {
        "size": dtype.itemsize,
        "wide": accumulator_dtype(dtype).itemsize,
        "weights": sum(by_layer.values()),
        "block": block,
        "largest": max((t["numel"] for t in inside), default=0),
        "outside": by_layer.get(None, 0) - large,
        "ends": sum(sum(t["shape"]) for t in inside if t["layer"] == 0 and len(t["shape"]) == 2),
        "layers": facts["n_layers"] or 1,
        "hidden": hidden,
        "heads": facts["n_heads"] or 1,
        "eager": is_eager(facts),
        "vocabulary": vocabulary,
        "tokens": sum(lengths),
        "widest": max(lengths, default=1),
        "probes": probes,
        "slab": slab_weights(device),
        "analysed": max((t["numel"] for t in facts["tensors"] if t["analysed"]), default=0),
    }
    return found, block


def is_eager(facts: Mapping[str, Any]) -> bool:
    """Return whether transformers has no fused attention (SDPA) for an architecture; it takes that where it can."""
    architecture = getattr(transformers, facts.get("architecture") or "", None)
    return not getattr(architecture, "_supports_sdpa", True)


def resident_parts(family: str, s: Sizes, by_text: bool) -> dict[str, int]:
    """Return what the whole model with all its sums takes: what it is for -> bytes."""
    parts = {
        "weights": s.weights * s.size,
        "sums": s.weights * _sums(family) * s.wide,
        "activations": s.graph * s.layers,
        "logits": 3 * s.batch * s.vocabulary * max(s.size, 4),
        "scores of one tensor": s.wide * max(s.largest, s.vocabulary * s.hidden) + s.scored,
    }
    if family == "curvature":  # text by text; no fused attention has a second derivative
        parts["attention"] = s.attention(s.widest) * (4 + (15 if s.eager else 7) * s.layers)
    elif s.eager:  # a graph keeps two or three of them a layer
        parts["attention"] = s.attention(s.batch) * (4 + (3 * s.layers if family == "gradient" else 0))
    if by_text:
        caught = s.layers * s.ends * s.size + s.vocabulary * max(s.size, 4)
        parts["caught for single texts"] = s.tokens * caught
    if family == "curvature":
        probe = s.weights * (s.size + s.wide)
        parts["probes"] = max(probe, min(s.probes * probe, PROBE_BYTES))
        parts["activations"] = 4 * parts["activations"]  # a graph of the graph, and its products
    return parts


def block_parts(placement: str, family: str, s: Sizes, by_text: bool) -> dict[str, int]:
    """Return what the sums of one block at a time take, the weights in memory (``blocks``) or not (``streamed``)."""
    sums = _sums(family) * s.wide
    kept = (s.layers + 1) * s.tokens * s.hidden * s.size
    chunk = s.rows * s.hidden
    resident = s.weights * s.size if placement == "blocks" else 0
    parts = {
        "weights": resident,
        "kept inputs": kept,
        "scores of one tensor": s.wide * max(s.largest, chunk) + s.scored,
    }
    head = chunk * (s.size + sums) + s.logits + s.batch * s.rows * 4
    body = s.block * sums + s.graph + (0 if placement == "blocks" else s.block * s.size)
    body += 5 * s.attention(s.batch) if s.eager else 0
    if by_text:
        parts["caught for single texts"] = s.tokens * s.ends * s.size
    if family == "curvature":
        parts["kept derivatives"] = kept * s.probes
        body += s.block * s.size + min(
            s.probes * s.block * (s.size + s.wide), max(s.block * (s.size + s.wide), SHARED_BYTES)
        )
        body += s.largest * s.wide + s.graph + 12 * s.attention(s.batch)
        head += chunk * 2 * (s.size + s.wide) + 6 * s.batch * s.rows * s.wide
        head += s.probes * s.tokens * s.hidden * (s.wide + 2 * s.size)
        rows = min(s.tokens, s.vocabulary) * s.hidden + s.outside
        parts["both ends"] = (s.probes + 2) * rows * s.wide + (s.probes + 1) * s.tokens * s.hidden * s.size
    return parts | {"one block, or a chunk of the head": max(body, head)}


def _sums(family: str) -> int:
    """Return how many sums of a weight's size a family keeps: one a statistic."""
    if family == "forward":
        return 0  # its statistics have the size of one line of a matrix
    return len({need for metric in family_metrics(family) for need in metric.needs})
