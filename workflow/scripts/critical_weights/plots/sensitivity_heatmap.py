"""Where in the model the scores are high: block by component, over all weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from .cells import Cell, cells, components, panel
from .heat import heat, log_bar, write_numbers
from .save import Drawn
from .stats_file import population, selection_line
from .style import COLOUR_MAP, GREY, LABELS_ONLY, MUTED, new_axes, new_figure, styled, words
from .wording import count, scientific, short, unit_label

_CELL_HEIGHT = 0.25
_LEAST_HEIGHT = 1.3
"""Inches of a panel: what the words beside its colour bar need."""
_BLOCKS_WIDTH = 4.4
_WIDEST_CELL = 0.8
_NUMBER_WIDTH = 0.6
"""Inches that a number such as 3.2e-10, its power raised, takes in a cell."""
_MOST_BLOCK_LABELS = 16


def draw_cells(
    rows: Sequence[Cell], value: str, norm: LogNorm, ax: Axes | None = None, numbers: bool = False, hatch: str = "////"
) -> Axes:
    """Draw one panel: components down, blocks across (or a single column outside the blocks), log colours.

    A cell of 0 has no place on a log scale: it is grey and hatched. A cell without a tensor stays white.

    Args:
        rows: one panel of :func:`.cells.cells`.
        value: the column drawn: ``mean``, ``max`` or ``selected``.
        norm: log colour scale, shared by the panels of one value.
        ax: where to draw; a new figure if not given.
        numbers: write the value into each cell.
        hatch: hatching of cells of 0; "" for plain grey.

    """
    ax = ax if ax is not None else new_axes()
    grid, first = _grid(rows, value)
    positive = np.where(grid > 0, grid, np.nan)
    mesh = heat(ax, positive, norm)
    ax.set_xticks([])
    ax.set_yticks(np.arange(len(grid)) + 0.5, [short(name) for name in components(rows)])
    if numbers:
        write = (lambda x: count(int(x))) if value == "selected" else scientific
        texts = [[write(x) if x > 0 else "" for x in line] for line in grid]
        write_numbers(ax, mesh, positive, texts, size=7)
    for y, x in np.argwhere(grid == 0):
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor=GREY, edgecolor="white", hatch=hatch, linewidth=0.5))
    if first is not None:
        across = np.arange(0, grid.shape[1], -(-grid.shape[1] // _MOST_BLOCK_LABELS))
        ax.set_xticks(across + 0.5, [str(first + x) for x in across])
    return ax


def _grid(rows: Sequence[Cell], value: str) -> tuple[np.ndarray, int | None]:
    """Return a value by component and block, NaN where there is no tensor, and the first block (None outside)."""
    blocks = [row.layer for row in rows if row.layer is not None]
    first, width = (min(blocks), max(blocks) - min(blocks) + 1) if blocks else (None, 1)
    names = components(rows)
    grid = np.full((len(names), width), np.nan)
    for row in rows:
        grid[names.index(row.component), (row.layer or 0) - (first or 0)] = getattr(row, value)
    return grid, first


def build(stats: Mapping[str, Any], title: str | None = None) -> Drawn:
    """Draw the figure: mean score above; below, the selected weights of each cell.

    Where the selection takes the same number of every tensor, counting it would say nothing: the highest score
    stands there instead.
    """
    table = cells(stats)
    second = "max" if stats["selection"]["mode"] == "perlayer" else "selected"
    units = stats["units"]
    labels = {
        "mean": unit_label(f"mean {stats['metric']}", units),
        "max": unit_label(f"highest {stats['metric']}", units),
        "selected": "selected weights",
    }
    inside, outside = panel(table, "blocks"), panel(table, "outside")
    rows = max(len(components(inside)), len(components(outside)))
    with styled():
        figure = new_figure(2.2 + 2 * (0.45 + max(_CELL_HEIGHT * rows, _LEAST_HEIGHT)))
        grid, width = _layout(figure, inside, len(outside))
        for line, value in enumerate(("mean", second)):
            positive = [x for row in table if (x := getattr(row, value)) > 0]
            norm = _norm(positive)
            hatch = "" if value == "selected" else "////"
            draw = {"value": value, "norm": norm, "numbers": width >= _NUMBER_WIDTH, "hatch": hatch}
            axes = []
            if len(inside):
                axes.append(draw_cells(inside, ax=figure.add_subplot(grid[line, 0]), **draw))
                axes[0].set_xlabel("transformer block" if line else "")
            if len(outside):
                axes.append(_draw_outside(outside, figure.add_subplot(grid[line, 1]), draw, rows))
            for ax in axes:
                ax.set_ylim(rows, 0)
            if positive:
                bar = figure.add_subplot(grid[line, 2])
                log_bar(figure, norm, COLOUR_MAP, labels[value], cax=bar)
        _legend(figure, table, inside, second)
        words(figure, f"{_HEADINGS['mean']} and {_HEADINGS[second]} by block and component",
              [f"Over {population(stats)}.", selection_line(stats)], title)  # fmt: skip
    return Drawn(figure, table)


_HEADINGS = {"mean": "mean score", "max": "highest score", "selected": "selected weights"}


def _layout(figure: Figure, inside: Sequence[Cell], n_outside: int) -> tuple[Any, float]:
    """Return a grid of two lines (blocks, outside, colour bar, empty rest) and the width of a cell, inches."""
    blocks = _grid(inside, "mean")[0].shape[1] if inside else 0
    width = min(_WIDEST_CELL, _BLOCKS_WIDTH / max(blocks, 1))
    side = max(width, 0.3) if n_outside else 0.01
    rest = max(_BLOCKS_WIDTH - blocks * width, 0.01)
    return figure.add_gridspec(2, 4, width_ratios=[max(blocks * width, 0.01), side, 0.13, rest]), width


def _draw_outside(rows: Sequence[Cell], ax: Axes, draw: Mapping[str, Any], height: int) -> Axes:
    draw_cells(rows, ax=ax, **draw)
    ax.yaxis.tick_right()
    ax.tick_params(**LABELS_ONLY)
    ax.set_title("outside", color=MUTED, size=8, loc="center")
    return ax


def _norm(positive: Sequence[float]) -> LogNorm:
    """Return the log scale of positive values; a lone value gets a factor 2 to each side."""
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    return LogNorm(low, high) if high > low else LogNorm(low / 2, high * 2)


def _legend(figure: Figure, table: Sequence[Cell], inside: Sequence[Cell], second: str) -> None:
    """Explain the cells without a colour, those that occur."""
    handles: list[Patch] = []
    if any(row.mean == 0 for row in table):
        handles.append(Patch(facecolor=GREY, edgecolor="white", hatch="////", label="all scores are 0"))
    if second == "selected" and any(row.selected == 0 for row in table):
        handles.append(Patch(facecolor=GREY, label="none selected"))
    if inside and np.isnan(_grid(inside, "weights")[0]).any():
        handles.append(Patch(facecolor="white", edgecolor=MUTED, linewidth=0.5, label="no such tensor in this block"))
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
