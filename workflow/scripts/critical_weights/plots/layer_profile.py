"""Mean, 99th percentile and largest score over depth, a line a component; a row of panels a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..tables.rows import grouped, unique
from .save import Drawn
from .score_runs import Run, by_metric, component_order, population_of
from .small_multiples import (
    block_ticks,
    blocks_of,
    finish,
    in_and_outside,
    legend,
    legend_inches,
    on_log_axis,
    options,  # fmt: skip
    panels,
)
from .style import MUTED, line_styles, log_axis, new_axes, styled
from .wording import short

QUANTITIES = {"mean": "mean", "p99": "99th percentile", "max": "highest"}
_LEGEND_COLUMNS = 6
_LABELS = 0.5
"""Inches of the labels below the lowest row and of the titles above the first, which all rows give room to."""


class Level(NamedTuple):
    """A figure of a component of a block.

    Attributes:
        metric: full name.
        component: its name.
        layer: block; None outside.
        quantity: one of :data:`QUANTITIES`.
        score: units of the metric.
        value: score / the metric's mean over all weights; 0 where every score is 0.

    """

    metric: str
    component: str
    layer: int | None
    quantity: str
    score: float
    value: float


def profile_table(runs: Sequence[Run]) -> list[Level]:
    """Return the score's figures by block and component, in multiples of the metric's mean over all weights.

    Args:
        runs: the experiments; the first of each metric is read.

    Returns:
        The rows. A component of several tensors in a block has no percentile of its own.

    """
    table = []
    for metric, run in by_metric(runs).items():
        tensors = run.stats["tensors"].values()
        cells = grouped(tensors, lambda entry: (entry["component"], entry["layer"]))
        sums = {cell: math.fsum(t["mean"] * t["num_weights"] for t in own) for cell, own in cells.items()}
        overall = math.fsum(sums.values()) / max(sum(entry["num_weights"] for entry in tensors), 1)
        figures = {
            "mean": {cell: sums[cell] / max(sum(t["num_weights"] for t in own), 1) for cell, own in cells.items()},
            "p99": {cell: own[0].get("p99") if len(own) == 1 else None for cell, own in cells.items()},
            "max": {cell: float(max(t["max"] for t in own)) for cell, own in cells.items()},
        }
        for quantity in QUANTITIES:
            for (component, layer), score in figures[quantity].items():
                if score is not None:
                    value = score / overall if overall > 0 else 0.0
                    table.append(Level(metric, component, layer, quantity, float(score), value))
    return table


def draw_profile(
    rows: Sequence[Level],
    styles: Mapping[str, Mapping[str, Any]],
    blocks: range,
    ax: Axes | None = None,
    numbers: bool = True,
) -> Axes:
    """Draw a line a component over the blocks, log y, and a mark for each one outside, right of a thin line.

    Args:
        rows: those of one metric and quantity.
        styles: colour, line style and marker of each component.
        blocks: those of all panels; empty for none.
        ax: where to draw; a new figure if not given.
        numbers: write the blocks' numbers below.

    """
    ax = ax if ax is not None else new_axes()
    inside, outside = in_and_outside(rows)
    first, last = (blocks[0], blocks[-1]) if blocks else (0, 0)
    few = last - first < 16
    for component, own in grouped(inside, lambda row: row.component).items():
        look = styles[component] if few else {**styles[component], "marker": ""}
        ax.plot([row.layer for row in own], on_log_axis(row.value for row in own), **options(linewidth=1, **look))
    step = max(1.0, (last - first + 1) / 12)
    x = float(last)
    for row in outside:
        x += step
        if row.value > 0:
            ax.plot([x], [row.value], **options(markersize=5, **{**styles[row.component], "linestyle": "none"}))
    if blocks and outside:
        ax.axvline(last + step / 2, color=MUTED, linewidth=0.6)
    if blocks and numbers:
        block_ticks(ax, first, last, 6)
    else:
        ax.set_xticks([])
    ax.set_xlim(first - step / 2, x + step / 2)
    ax.margins(y=0.15)  # so that no mark is cut
    log_axis(ax.yaxis, 4)
    ax.grid(True, axis="y")
    return ax


def build(runs: Sequence[Run], title: str | None = None) -> Drawn:
    """Draw the figure: a row of three panels a metric."""
    table = profile_table(runs)
    rows = grouped(table, lambda row: (row.metric, row.quantity))
    metrics, blocks = unique(row.metric for row in table), blocks_of(table)
    components = component_order(runs)
    styles = line_styles(components)
    with styled():
        names = [quantity for _ in metrics for quantity in QUANTITIES]
        height, foot = 1.18 + _LABELS / max(len(metrics), 1), legend_inches(len(components), _LEGEND_COLUMNS)
        made = panels(names, height, foot=foot, share={"sharey": "column"})
        for place, ax in enumerate(made.axes):
            metric, quantity = metrics[place // 3], names[place]
            draw_profile(rows.get((metric, quantity), []), styles, blocks, ax, numbers=made.at_bottom(place))
            ax.set_title(f"{QUANTITIES[quantity]} score" if place < 3 else "")
            if made.at_left(place):
                ax.set_ylabel(short(metric, 16))
            if made.at_bottom(place):
                ax.set_xlabel("transformer block")
        handles = [Line2D([], [], **styles[name], **options()) for name in components]
        legend(made, handles, [short(name) for name in components], _LEGEND_COLUMNS)
        lines = ["Each point: a component of a block, in multiples of the metric's mean score over all weights (1); "
                 f"over {population_of(list(by_metric(runs).values()))}."]  # fmt: skip
        outside = any(row.layer is None for row in table)
        notes = ["Right of the thin line: tensors outside the blocks."] if outside else []
        return finish(made, table, "scores over depth, by component", lines, title, notes)
