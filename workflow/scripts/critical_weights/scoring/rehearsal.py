"""Checked before the hours: a few texts in two batches are scored twice, and once more text by text.

The model is cut down to its first blocks for it, so that it costs little beside the run itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..model.facts import find_blocks
from .engine import Placed, start_run
from .processes import Processes

TEXTS, TOKENS, BLOCKS = 3, 16, 2
"""Texts of the rehearsal, tokens of each at most, and blocks of the model."""
TENSORS = 8
"""Tensors compared: the first ones that the engine finishes."""
SAMPLE = 1 << 16
"""Entries of a tensor compared between packings, evenly spread."""
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.2}
"""Allowed norm-relative difference between packings: rounding differs, and wrong masks give differences near 1."""


@dataclass(frozen=True)
class _Print:
    """What is remembered of a statistic of one tensor: a checksum of all its bits, and some of its entries."""

    checksum: int
    sample: Tensor


def rehearse(
    family: str, model: PreTrainedModel, texts: Sequence[Sequence[int]], analysed: Collection[str], placed: Placed
) -> dict[str, Any]:
    """Score a few texts twice and compare; see the module's docstring.

    Args:
        family: of metrics.
        model: in eval mode.
        texts: token ids of each text; the shortest ones are taken.
        analysed: names of the analysed tensors.
        placed: where the model lies.

    Returns:
        ``status`` (``passed``, ``failed`` or ``not applicable``), ``reason``, ``texts``, ``tensors`` (compared),
        ``differing`` (statistics of tensors whose bits differ between two equal runs), ``packing_error`` (the largest
        norm-relative difference between two batches and a text a batch) and its ``tolerance``.

    """
    if family != "gradient" or len(texts) < 2:
        reason = "it is for gradients" if family != "gradient" else "there are fewer than two texts"
        return {"status": "not applicable", "reason": reason}
    few = [list(ids)[:TOKENS] for ids in sorted(texts, key=len)[:TEXTS]]
    half = max(map(len, few)) * -(-len(few) // 2)

    def prints(tokens: int) -> dict[tuple[str, str], _Print]:
        plan = replace(placed.plan, batch_tokens=tokens, by_text=False, inputs="device")
        alone = replace(placed, plan=plan, processes=Processes())
        return _prints(family, model, few, analysed, alone)

    with _first_blocks(model):
        first, second, one_by_one = prints(half), prints(half), prints(1)
    differing = sum(first[key].checksum != second[key].checksum for key in first)
    error = max(_difference(first[key].sample, one_by_one[key].sample) for key in first)
    tolerance = TOLERANCE[next(model.parameters()).dtype]
    passed = not differing and error <= tolerance
    return {
        "status": "passed" if passed else "failed",
        "reason": None,
        "texts": len(few),
        "tensors": len({name for name, _ in first}),
        "differing": differing,
        "packing_error": error,
        "tolerance": tolerance,
    }


@contextmanager
def _first_blocks(model: PreTrainedModel) -> Iterator[None]:
    """Cut a model down to its first blocks for a while."""
    prefix, blocks = find_blocks(model)
    path, _, attribute = prefix.rpartition(".")
    parent, config = model.get_submodule(path), model.config.get_text_config()
    count = config.num_hidden_layers
    setattr(parent, attribute, nn.ModuleList(list(blocks)[:BLOCKS]))
    config.num_hidden_layers = min(count, BLOCKS)
    try:
        yield
    finally:
        setattr(parent, attribute, blocks)
        config.num_hidden_layers = count


def _prints(
    family: str, model: PreTrainedModel, texts: list[list[int]], analysed: Collection[str], placed: Placed
) -> dict[tuple[str, str], _Print]:
    run = iter(start_run(family, model, texts, analysed, placed, seed=0, probes=2))
    found: dict[tuple[str, str], _Print] = {}
    seen: set[str] = set()
    for item in run:
        if item.name not in seen and len(seen) == TENSORS:
            break
        seen.add(item.name)
        for statistic, values in item.statistics.items():
            found.setdefault((item.name, statistic), _print(values))  # of a tensor in slabs the first one
    run.close()
    return found


def _print(values: Tensor) -> _Print:
    flat = values.contiguous().reshape(-1)
    bits = flat.view(torch.int64 if flat.dtype == torch.float64 else torch.int32)
    return _Print(int(bits.sum(dtype=torch.int64)), flat[:: max(1, len(flat) // SAMPLE)].double().cpu())


def _difference(a: Tensor, b: Tensor) -> float:
    norm = float(torch.linalg.norm(a))
    return float(torch.linalg.norm(a - b)) / norm if norm else float(torch.linalg.norm(b) > 0)
