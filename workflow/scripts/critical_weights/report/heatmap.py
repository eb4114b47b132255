"""Heatmaps of blocks by components: how a metric's score, or a selection, is spread over the model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..run_manifest import read_stats
from ..tables.structure import SENSITIVITY
from . import show
from .rows import Row, read_if_there, records

LEVELS = 9
"""Steps of the colour scale: half a power of ten each, the middle one around an even share."""
OUTSIDE = "outside"


@dataclass(frozen=True)
class Cell:
    """One place of the model: the text in it, what the pointer tells, and its step on the colour scale."""

    text: str
    tip: str
    level: int


@dataclass(frozen=True)
class Heatmap:
    """One map: a row a block (and one for what lies outside), a column a component; None where there is no tensor."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    corner: str = "block"


def heatmaps(folder: Path, facts: Mapping[str, Any]) -> dict[str, Heatmap]:
    """Return a map of each metric's score, and of each experiment's selection, by what it shows.

    A cell is its share of the score (of the selected weights) over its share of the weights, on one scale for all.

    Args:
        folder: ``results/{phase}/{model}``.
        facts: the report's facts.

    """
    found: dict[str, Heatmap] = {}
    table = read_if_there(folder / "analysis" / SENSITIVITY.name, SENSITIVITY)
    if table is not None:
        parts = dict(list(table[table["scope"] == "tensor"].groupby("metric", sort=False)))
        for metric in [*facts["metrics"], *parts]:
            if metric in parts:  # in the order of the experiments: the first is what a reader sees
                rows = records(parts.pop(metric))
                found[f"score: {metric}"] = _map(f"Score by {metric}, by block and component", rows, _score)
    for label in facts["experiments"]:
        tensors = read_stats(folder / label / "sensitivity_stats.json")["tensors"]
        total, n = (sum(own[key] for own in tensors.values()) for key in ("num_weights", "selected"))
        rows = [
            {"tensor": name, "layer": own["layer"], "component": own["component"], "selected": own["selected"],
             "weights": own["num_weights"], "share": own["selected"] / n if n else 0.0,
             "weight_share": own["num_weights"] / total}
            for name, own in tensors.items()
        ]  # fmt: skip
        found[f"selected: {label}"] = _map(f"Weights selected by {label}, by block and component", rows, _selected)
    return found


def _score(rows: list[Row], ratio: float) -> tuple[str, str]:
    share, weight_share = (sum(row[key] or 0.0 for row in rows) for key in ("share", "weight_share"))
    largest = max(row["max"] for row in rows)
    tip = f"{show.share(share)} of the score, {show.share(weight_share)} of the weights; largest {show.real(largest)}"
    return show.real(ratio, 2), tip


def _selected(rows: list[Row], ratio: float) -> tuple[str, str]:
    selected, weights = (sum(row[key] for row in rows) for key in ("selected", "weights"))
    return show.count(selected), f"{show.count(selected)} of {show.count(weights)} weights selected"


def _map(caption: str, rows: list[Row], words: Any) -> Heatmap:
    columns = tuple(dict.fromkeys(row["component"] for row in rows))
    layers = sorted({row["layer"] for row in rows if row["layer"] is not None})
    places: dict[tuple[int | None, str], list[Row]] = {}
    for row in rows:
        places.setdefault((row["layer"], row["component"]), []).append(row)

    def cells(layer: int | None) -> Iterable[Cell | None]:
        for component in columns:
            own = places.get((layer, component))
            yield _cell(own, words) if own else None

    outside = [None] if any(row["layer"] is None for row in rows) else []
    return Heatmap(caption, columns, tuple(
        (OUTSIDE if layer is None else str(layer), tuple(cells(layer))) for layer in (*layers, *outside)
    ))  # fmt: skip


def _cell(rows: list[Row], words: Any) -> Cell:
    share, weight_share = (sum(row[key] or 0.0 for row in rows) for key in ("share", "weight_share"))
    ratio = share / weight_share if weight_share else 0.0
    text, tip = words(rows, ratio)
    names = show.listed([row["tensor"] for row in rows[:3]]) + (" and others" if len(rows) > 3 else "")
    return Cell(text, f"{names}: {tip}; {show.times(float(f'{ratio:.3g}'))} its share of the weights", level(ratio))


def level(ratio: float) -> int:
    """Return the step of the colour scale, from 0 (a hundredth or less) over 4 (even) to 8 (a hundredfold or more)."""
    if ratio <= 0:
        return 0
    return max(0, min(LEVELS - 1, round(2 * math.log10(ratio)) + LEVELS // 2))
