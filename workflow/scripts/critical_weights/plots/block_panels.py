"""Block by component heat maps of all metrics on one colour scale, which the three figures of this kind share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from ..tables.rows import grouped, unique
from .heat import heat
from .save import Drawn
from .small_multiples import COLUMNS, blocks_of, finish, in_and_outside, panels, ratio_bar
from .style import COLOUR_MAP, GREY, LABELS_ONLY, new_axes, styled
from .wording import short

_CELL = 0.15
_LABELS = 0.45
"""Inches of the labels below the lowest panels, which all panels of a column give room to."""
_GAPS_TO = 16
"""Blocks up to which white lines part the cells; where there are more, the lines would take their place."""
_GAP = 0.4
"""Rows between the blocks' components and those outside."""


def draw_blocks(
    rows: Sequence[Any],
    components: Sequence[str],
    norm: LogNorm,
    blocks: range,
    ax: Axes | None = None,
    names: bool = True,
    numbers: bool = True,
) -> Axes:
    """Draw one metric: components down, blocks across; below, components outside the blocks as bars of one colour.

    A value of 0 has no place on a log scale: its cell is grey. A cell without a tensor stays white.

    Args:
        rows: ``layer`` (empty outside the blocks), ``component``, ``value``.
        components: those of all panels, in the model's order.
        norm: log colour scale, the same in all panels.
        blocks: those of all panels; empty for none.
        ax: where to draw; a new figure if not given.
        names: write the components' names beside the panel.
        numbers: write the blocks' numbers below it.

    """
    ax = ax if ax is not None else new_axes()
    inside, outside = in_and_outside(rows)
    has = {row.component for row in inside}
    lines = [name for name in components if name in has]
    width = max(len(blocks), 1)
    gap = 0.5 if width <= _GAPS_TO else 0.0
    y = 0.0
    if lines:
        grid = np.full((len(lines), width), np.nan)
        for row in inside:
            grid[lines.index(row.component), row.layer - blocks[0]] = row.value
        heat(ax, np.where(grid > 0, grid, np.nan), norm, gap=gap)
        for row, column in np.argwhere(grid == 0):
            ax.add_patch(Rectangle((column, row), 1, 1, facecolor=GREY, edgecolor="white", linewidth=gap))
        y = len(lines) + _GAP
    places = [row + 0.5 for row in range(len(lines))]
    mapped = ScalarMappable(norm, COLOUR_MAP)
    for row in outside:
        colour = mapped.to_rgba(row.value) if row.value > 0 else GREY
        ax.add_patch(Rectangle((0, y), width, 1, facecolor=colour, edgecolor="white", linewidth=0.5))
        lines.append(row.component)
        places.append(y + 0.5)
        y += 1
    labelled = blocks[:: -(-width // 8)] if numbers else range(0)
    ax.set_xticks([block - blocks[0] + 0.5 for block in labelled], [str(block) for block in labelled])
    ax.set_xlim(0, width)
    ax.set_ylim(max(y, 1), 0)
    if names:
        ax.set_yticks(places, [short(name, 16) for name in lines])
    ax.yaxis.set_visible(names)
    ax.tick_params(labelsize=7.5, **LABELS_ONLY)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def build_panels(
    table: Sequence[Any], heading: str, bar: str, lines: Sequence[str], title: str | None, zero: str
) -> Drawn:
    """Draw a panel for each ``panel`` of the table, with one colour bar.

    Args:
        table: ``panel, layer, component, value`` and whatever else the drawn data tells.
        heading: what is shown.
        bar: label of the colour bar.
        lines: population and n.
        title: what it is of (model, phase).
        zero: what a grey cell means.

    """
    by_panel = grouped(table, lambda row: row.panel)
    components = unique(row.component for row in table)
    blocks = blocks_of(table)
    positive = [row.value for row in table if row.value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    norm = LogNorm(low, high) if high > low else LogNorm(low / 2, high * 2)
    with styled():
        height = 0.5 + _CELL * (len(components) + 0.5) + _LABELS / -(-len(by_panel) // COLUMNS)
        made = panels(list(by_panel), max(height, 1.1), foot=0.13)
        for place, (ax, rows) in enumerate(zip(made.axes, by_panel.values(), strict=True)):
            bottom = made.at_bottom(place)
            draw_blocks(rows, components, norm, blocks, ax, names=made.at_left(place), numbers=bottom)
            ax.set_xlabel("transformer block" if bottom and blocks else "")
        if positive:
            ratio_bar(made, norm, COLOUR_MAP, bar)
        notes = [f"Grey: {zero}."] if any(row.value == 0 for row in table) else []
        if any(row.layer is None for row in table):
            notes.append("Rows below the gap: tensors outside the blocks, one value each.")
        return finish(made, table, heading, lines, title, notes)
