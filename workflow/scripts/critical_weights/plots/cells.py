"""The table behind the figures by block: one row for each component of each block, or outside the blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from ..tables.rows import grouped, unique

Row = TypeVar("Row")
"""A :class:`Cell`, or what a figure keeps of one."""


class Cell(NamedTuple):
    """A component of a block.

    Attributes:
        panel: blocks or outside.
        layer: block; None outside.
        component: its name.
        tensors: how many; usually one.
        weights: of all its tensors.
        mean: score over all its weights, units of the metric.
        max: likewise.
        selected: selected weights.

    """

    panel: str
    layer: int | None
    component: str
    tensors: int
    weights: int
    mean: float
    max: float
    selected: int


def cells(stats: Mapping[str, Any]) -> list[Cell]:
    """Return one row a (block, component).

    Args:
        stats: checked ``sensitivity_stats.json``.

    Returns:
        The rows: components in the model's order, each from the first block to the last, those outside the blocks at
        the end. Where a block has several tensors of one component, ``mean`` is over all their weights.

    """
    tensors = grouped(stats["tensors"].values(), lambda entry: (entry["component"], entry["layer"]))
    order = {name: place for place, name in enumerate(unique(component for component, _ in tensors))}
    rows = []
    for (component, layer), entries in tensors.items():
        weights = sum(entry["num_weights"] for entry in entries)
        total = math.fsum(entry["mean"] * entry["num_weights"] for entry in entries)
        highest = float(max(entry["max"] for entry in entries))
        selected = sum(entry["selected"] for entry in entries)
        where = "outside" if layer is None else "blocks"
        rows.append(Cell(where, layer, component, len(entries), weights, total / max(weights, 1), highest, selected))
    return sorted(rows, key=lambda row: (row.panel, order[row.component], row.layer or 0))


def panel(rows: Iterable[Row], name: str) -> list[Row]:
    """Return the rows of one panel: ``blocks`` or ``outside``."""
    return [row for row in rows if row.panel == name]


def components(rows: Iterable[Row]) -> list[str]:
    """Return the components of rows, each once, in their order."""
    return unique(row.component for row in rows)
