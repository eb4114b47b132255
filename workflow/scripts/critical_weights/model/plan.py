"""What models need, from their configs alone: tensors, weights, bytes, and the memory of each placement."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..errors import ModelError, near_names
from ..log import logger
from ..scoring.memory_plan import PLACEMENTS, USABLE, plan_memory
from .facts import build_empty, describe_tensors
from .read_config import read_config
from .sizes import sizes_of
from .source import RESOURCES

CONFIGS = RESOURCES / "configs"
"""What decides the shapes of the known models, by the name that the config has for them."""
UNLIMITED = 1 << 60
"""Bytes of a machine on which every plan fits."""


def find_config(given: str) -> tuple[str, Path]:
    """Return the name and the folder of a model: of a folder, of its ``config.json``, or of a known model.

    Raises:
        ModelError: it is none of them.

    """
    path = Path(given).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        return path.resolve().name, path
    if path.is_file():
        return (path.resolve().parent.name if path.name == "config.json" else path.stem), path
    known = sorted(file.stem for file in CONFIGS.glob("*.json"))
    if given in known:
        return given, CONFIGS / f"{given}.json"
    raise ModelError(
        f"there is no config at {given}",
        near=near_names(given, known),
        fix=f"Give a config.json, the folder that holds one, or one of {', '.join(known)}",
    )


def facts_of_config(path: Path, name: str, *, include_1d: bool = False) -> dict[str, Any]:
    """Return what :func:`critical_weights.scoring.memory_plan.plan_memory` needs of a model; no weight is read.

    Args:
        path: its folder or ``config.json``.
        name: what messages call it.
        include_1d: whether tensors of one dimension are analysed.

    Raises:
        ModelError: the config cannot be read or used.

    """
    config = read_config(path)
    model = build_empty(config, name)
    tensors = describe_tensors(model, include_1d=include_1d)
    return {
        "architecture": type(model).__name__,
        **sizes_of(config),
        "tensors": tensors,
    }


def plan_table(
    given: Sequence[str], *, family: str, lengths: Sequence[int], dtype: torch.dtype, device: torch.device
) -> pd.DataFrame:
    """Return one row a model: what is analysed, the bytes of its weights, and what each placement takes.

    Each placement has two figures: what it takes on a machine with room for all that it can keep, and the least, with
    the gradients of single texts left out (so that nothing is known of stability) and the blocks' inputs on disk.

    Args:
        given: what :func:`find_config` takes.
        family: of metrics.
        lengths: tokens of each text.
        dtype: of weights and activations.
        device: where to compute; no such device is needed.

    """
    rows = []
    log = logger("memory_plan")
    before = log.level
    log.setLevel(logging.WARNING)  # each plan would tell of itself
    try:
        for name, path in map(find_config, given):
            facts = facts_of_config(path, name)
            analysed = [tensor for tensor in facts["tensors"] if tensor["analysed"]]
            weights = sum(tensor["numel"] for tensor in facts["tensors"])
            memory = {}
            for placement in PLACEMENTS:

                def plan(available: int, placement: str = placement, facts: dict[str, Any] = facts) -> int:
                    return plan_memory(
                        family, facts, lengths, dtype, device, placement=placement, available=available
                    ).total

                memory[placement] = plan(UNLIMITED)
                memory[f"least_{placement}"] = _least(plan, memory[placement])
            rows.append(
                {
                    "model": name,
                    "architecture": facts["architecture"],
                    "analysed_tensors": len(analysed),
                    "analysed_weights": sum(tensor["numel"] for tensor in analysed),
                    "weights": weights,
                    "weight_bytes": weights * dtype.itemsize,
                    **memory,
                }
            )
    finally:
        log.setLevel(before)
    return pd.DataFrame(rows)


def _least(plan: Callable[[int], int], most: int) -> int:
    """Return what a plan takes at the least: that of ever less memory, until none fits."""
    while True:
        try:
            most = plan(int((most - 1) / USABLE))
        except ModelError:
            return most


def to_markdown(table: pd.DataFrame) -> str:
    """Return the table of :func:`plan_table` for people: counts with commas, bytes in GB."""
    heads = ["Model", "Architecture", "Tensors", "Analysed weights", "All weights", "Weights, GB",
             *(f"{placement}, GB" for placement in PLACEMENTS)]  # fmt: skip
    lines = [_line(heads), _line(["---"] * 2 + ["---:"] * (len(heads) - 2))]
    for row in table.to_dict("records"):
        counts = [f"{row[key]:,}" for key in ("analysed_tensors", "analysed_weights", "weights")]
        sizes = [_range(row[f"least_{placement}"], row[placement]) for placement in PLACEMENTS]
        weights = f"{row['weight_bytes'] / 1e9:.2f}"
        lines.append(_line([row["model"], row["architecture"], *counts, weights, *sizes]))
    return "\n".join(lines) + "\n"


def _range(least: int, most: int) -> str:
    ends = [f"{least / 1e9:.1f}", f"{most / 1e9:.1f}"]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
