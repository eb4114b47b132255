"""How a model is placed in memory for scoring, planned from its shapes before anything large is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..errors import ModelError, unknown
from ..log import choice, logger
from .blockwise import BlockPlan
from .memory_limit import free_host_memory
from .memory_parts import PROCESS_BYTES, Sizes, block_parts, read_sizes, resident_parts

PLACEMENTS = ("resident", "blocks", "streamed")
"""Whole model with all sums, nothing run twice; whole model, sums of one block; one block, read from disk."""
USABLE = 0.9
"""Share of the free memory that a plan may take."""
DENSE_ON_HOST = "dense scores in host memory"
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
        elsewhere: what is kept in host memory or on disk -> bytes.

    """

    placement: str
    blocks: BlockPlan
    parts: dict[str, int]
    available: int
    elsewhere: dict[str, int] = field(default_factory=dict)

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
        line = f"{self.placement}: {self.total / 1e9:.2f} GB of {self.available / 1e9:.2f} GB free ({parts})"
        return line + "".join(f", {what} {size / 1e9:.2f} GB" for what, size in self.elsewhere.items())


def plan_memory(
    family: str,
    facts: Mapping[str, Any],
    lengths: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    *,
    placement: str = "auto",
    available: int | None = None,
    probes: int = 10,
    dense: int = 0,
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
        probes: of the curvature pass.
        dense: metrics of the family whose every score is kept.

    Raises:
        ModelError: no placement fits, or the one that was asked for does not; the message says what would.

    """
    log = logger(__name__)
    if placement not in ("auto", *PLACEMENTS):
        raise unknown("placement", placement, ("auto", *PLACEMENTS), ModelError)
    available = available or free_memory(device)
    plans = {name: _plan(name, family, facts, lengths, dtype, device, available, probes, dense) for name in PLACEMENTS}
    fitting = [name for name in PLACEMENTS if plans[name].fits]
    fewer = "fewer or shorter texts (max_samples, max_length)" + (
        ", no dense scores (scoring: dense: false)" if dense else ""
    )
    waiting = plans[PLACEMENTS[0]].elsewhere.get(DENSE_ON_HOST, 0)
    if waiting > USABLE * (free := free_host_memory()):
        raise ModelError("host memory does not hold the dense scores of two tensors", got=f"{free / 1e9:.2f} GB free",
                         expected=f"{waiting / 1e9:.2f} GB", fix="Use fewer dense scores (scoring: dense)")  # fmt: skip
    if placement == "auto":
        if not fitting:
            smallest = min(plans.values(), key=lambda plan: plan.total)
            raise ModelError(f"the model fits in no placement; the smallest is {smallest.describe()}",
                             fix=f"Use {fewer} or more memory")  # fmt: skip
        chosen = plans[fitting[0]]
        reason = (
            "the fastest that fits" if fitting[0] == PLACEMENTS[0] else f"{PLACEMENTS[0]} would take more than is free"
        )
        choice("placement", chosen.describe(), reason, log)
        return _told(chosen, family)
    chosen = plans[placement]
    if not chosen.fits:
        fix = f"These would fit: {', '.join(fitting)}" if fitting else f"Use {fewer}"
        raise ModelError(f"placement does not fit: {chosen.describe()}", fix=fix)
    choice("placement", chosen.describe(), "as configured", log)
    return _told(chosen, family)


def largest_share(dealt: Sequence[Sequence[int]]) -> list[int]:
    """Return lengths of texts that take as much memory as any process's share: a plan is made for all of them.

    One process may have the most tokens and another the longest text, so these have both.

    Args:
        dealt: tokens of each text of each process.

    """
    tokens = max(map(sum, dealt))
    widest = max((length for own in dealt for length in own), default=0)
    return [widest] * (tokens // widest) + [tokens % widest] if widest else []


def _told(plan: MemoryPlan, family: str) -> MemoryPlan:
    """Say when what single texts do is not kept."""
    if family == "gradient" and not plan.blocks.by_text:
        choice("gradients of single texts", "not kept", "they would take more than is free: no stability by texts",
               logger(__name__))  # fmt: skip
    return plan


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU, or of host memory: the machine's, or what is left of the batch job's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_host_memory()


def _plan(
    placement: str,
    family: str,
    facts: Mapping[str, Any],
    lengths: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    available: int,
    probes: int,
    dense: int,
) -> MemoryPlan:
    """Plan one placement; what single texts need is left out where only then the rest fits."""
    found, block = read_sizes(facts, lengths, dtype, device, probes)
    vocabulary, hidden, tokens = found["vocabulary"], found["hidden"], found["tokens"]
    # Each further batch reads and writes all sums once more; a GPU has the memory for few large ones.
    batch_tokens = max(2048 if device.type == "cpu" else 16384, found["widest"])
    # Chunks of head and embedding are an eighth of a block, so that they never take more than a block does.
    whole = vocabulary * hidden <= max(block // 8, 1 << 22)
    rows = None if whole else max(256, block // 8 // hidden)
    kept_logits = tokens * vocabulary * 4 <= LOGITS_BYTES
    sizes = Sizes(**found, batch=min(tokens, batch_tokens), rows=rows or vocabulary, kept_logits=kept_logits)

    def plan(by_text: bool) -> MemoryPlan:
        if placement == "resident":
            parts = resident_parts(family, sizes, by_text)
        else:
            parts = block_parts(placement, family, sizes, by_text)
        blocks = BlockPlan(batch_tokens, rows, kept_logits, by_text)
        waiting, elsewhere = sizes.dense(dense), {}
        if "both ends" in parts:  # the state behind a block is written before the one before it goes
            elsewhere["what a later run starts from, on disk"] = 2 * parts["both ends"]
        if device.type == "cpu":
            parts["dense scores"] = waiting
        elif waiting:
            elsewhere[DENSE_ON_HOST] = waiting
        return MemoryPlan(placement, blocks, {"process": PROCESS_BYTES} | parts, available, elsewhere)

    if family != "gradient":
        return plan(False)
    tries = [plan(True), plan(False)]
    if placement != "resident":
        places = ("disk",) if device.type == "cpu" else ("host", "disk")
        tries += [_keep_inputs(one, place) for place in places for one in tries[:2]]
    return next((one for one in tries if one.fits), tries[-1])


def _keep_inputs(plan: MemoryPlan, place: str) -> MemoryPlan:
    """Lay the inputs of the blocks where they take nothing on the device; what host memory lacks does not fit."""
    parts = dict(plan.parts)
    size = parts.pop("kept inputs")
    if place == "host" and size + plan.elsewhere.get(DENSE_ON_HOST, 0) > USABLE * free_host_memory():
        return plan
    name = {"host": "kept inputs in host memory", "disk": "kept inputs on disk"}[place]
    elsewhere = plan.elsewhere | {name: size}
    return replace(plan, blocks=replace(plan.blocks, inputs=place), parts=parts, elsewhere=elsewhere)
