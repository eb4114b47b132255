"""How a model is placed in memory for scoring, planned from its shapes before anything large is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from ..errors import ModelError, unknown
from ..log import choice, logger
from ..metrics import family_metrics
from .blockwise import BlockPlan
from .loss import accumulator_dtype
from .seam import SLAB_WEIGHTS

PLACEMENTS = ("resident", "blocks", "streamed")
"""Whole model with all sums, nothing run twice; whole model, sums of one block; one block, read from disk."""
PROCESS_BYTES = 600 << 20
"""Interpreter, torch and transformers, measured."""
SLAB_BYTES = 16 * 4 * SLAB_WEIGHTS
"""Temporary results while a slab is scored and reduced."""
USABLE = 0.9
"""Share of the free memory that a plan may take."""
LOGITS_BYTES = 1 << 30
"""Gradients of logits are kept up to this, computed again beyond."""


@dataclass(frozen=True)
class MemoryPlan:
    """A placement and what it takes.

    Attributes:
        placement: one of :data:`PLACEMENTS`.
        blocks: what bounds the block engine.
        parts: what takes memory -> bytes.
        available: bytes free on the device.

    """

    placement: str
    blocks: BlockPlan
    parts: dict[str, int]
    available: int

    @property
    def total(self) -> int:
        """Bytes planned in all."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether the plan stays within the usable share of the free memory."""
        return self.total <= USABLE * self.available

    def describe(self) -> str:
        """Return the plan in one line."""
        parts = ", ".join(f"{what} {size / 1e9:.2f}" for what, size in self.parts.items() if size >= 5e6)
        return f"{self.placement}: {self.total / 1e9:.2f} GB of {self.available / 1e9:.2f} GB free ({parts})"


def plan_memory(
    family: str,
    facts: Mapping[str, Any],
    lengths: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    *,
    placement: str = "auto",
    available: int | None = None,
) -> MemoryPlan:
    """Choose a placement and log the plan.

    Args:
        family: of metrics; it decides how many sums of a weight's size are kept.
        facts: the model's ``model.json``.
        lengths: tokens of each text.
        dtype: of weights and activations.
        device: where to compute.
        placement: one of :data:`PLACEMENTS`, or ``auto``: the first of them that fits.
        available: bytes to plan with; by default what is free on the device.

    Raises:
        ModelError: no placement fits, or the one that was asked for does not; the message says what would.

    """
    log = logger(__name__)
    if placement not in ("auto", *PLACEMENTS):
        raise unknown("placement", placement, ("auto", *PLACEMENTS), ModelError)
    available = available or free_memory(device)
    plans = {name: _plan(name, family, facts, lengths, dtype, available) for name in PLACEMENTS}
    fitting = [name for name in PLACEMENTS if plans[name].fits]
    if placement == "auto":
        if not fitting:
            smallest = min(plans.values(), key=lambda plan: plan.total)
            raise ModelError(f"the model fits in no placement; the smallest is {smallest.describe()}",
                             fix="Use fewer or shorter texts (max_samples, max_length) or more memory")  # fmt: skip
        chosen = plans[fitting[0]]
        reason = (
            "the fastest that fits" if fitting[0] == PLACEMENTS[0] else f"{PLACEMENTS[0]} would take more than is free"
        )
        choice("placement", chosen.describe(), reason, log)
        return chosen
    chosen = plans[placement]
    if not chosen.fits:
        fix = f"These would fit: {', '.join(fitting)}" if fitting else "Use fewer or shorter texts"
        raise ModelError(f"placement does not fit: {chosen.describe()}", fix=fix)
    choice("placement", chosen.describe(), "as configured", log)
    return chosen


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU, or of the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _plan(
    placement: str,
    family: str,
    facts: Mapping[str, Any],
    lengths: Sequence[int],
    dtype: torch.dtype,
    available: int,
) -> MemoryPlan:
    size, wide = dtype.itemsize, accumulator_dtype(dtype).itemsize
    by_layer: dict[int | None, int] = {}
    for tensor in facts["tensors"]:
        by_layer[tensor["layer"]] = by_layer.get(tensor["layer"], 0) + tensor["numel"]
    weights = sum(by_layer.values())
    block = max((n for layer, n in by_layer.items() if layer is not None), default=0)
    vocabulary, hidden = facts["vocab_size"] or 1, facts["hidden_size"] or 1
    tokens = sum(lengths)
    widest = max(lengths, default=1)
    blocks = _block_plan(block, vocabulary, hidden, tokens, widest)
    batch = min(tokens, max(blocks.batch_tokens, widest))
    sums = len({need for metric in family_metrics(family) for need in metric.needs}) * wide
    # What a block holds for one batch: each Linear's input and output gradient, and what autograd keeps beside them.
    ends = sum(sum(t["shape"]) for t in facts["tensors"] if t["layer"] == 0 and len(t["shape"]) == 2)
    graph = int(2.0 * batch * (ends + 8 * hidden) * size)
    largest = max((t["numel"] for t in facts["tensors"] if t["layer"] is not None), default=0)
    rows = blocks.chunk_rows or vocabulary
    chunk = rows * hidden
    parts = {"process": PROCESS_BYTES}
    if placement == "resident":
        parts |= {
            "weights": weights * size,
            "sums": weights * sums,
            "activations": graph * (facts["n_layers"] or 1),
            "logits": 3 * batch * vocabulary * max(size, 4),
            "scores of one tensor": wide * max(largest, vocabulary * hidden) + SLAB_BYTES,
        }
    else:
        logits = tokens * vocabulary if blocks.keep_logits else 2 * batch * rows
        head = chunk * (size + sums) + logits * max(size, 4) + batch * rows * 4
        body = block * sums + graph + (0 if placement == "blocks" else block * size)
        parts |= {
            "weights": weights * size if placement == "blocks" else 0,
            "kept inputs": ((facts["n_layers"] or 1) + 1) * tokens * hidden * size,
            "one block, or a chunk of the head": max(body, head),
            "scores of one tensor": wide * max(largest, chunk) + SLAB_BYTES,
        }
    return MemoryPlan(placement, blocks, parts, available)


def _block_plan(block: int, vocabulary: int, hidden: int, tokens: int, widest: int) -> BlockPlan:
    """Bound chunks of head and embedding by an eighth of a block, so that they never take more than a block does."""
    batch_tokens = max(2048, widest)
    whole = vocabulary * hidden <= max(block // 8, 1 << 22)
    rows = None if whole else max(256, block // 8 // hidden)
    return BlockPlan(batch_tokens, rows, keep_logits=tokens * vocabulary * 4 <= LOGITS_BYTES)
