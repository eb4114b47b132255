"""Where in the model the scores are high: block by component, over all weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from .cells import cells, panel
from .save import Drawn
from .stats_file import population, selection_line
from .style import COLOUR_MAP, GREY, MUTED, heat, log_bar, new_axes, new_figure, styled, words, write_numbers
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
    rows: pd.DataFrame, value: str, norm: LogNorm, ax: Axes | None = None, numbers: bool = False, hatch: str = "////"
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
    grid = _grid(rows, value)
    mesh = heat(ax, grid.where(grid > 0), norm)
    ax.set_xticks([])
    ax.set_yticks(np.arange(len(grid)) + 0.5, [short(name) for name in grid.index])
    if numbers:
        write = (lambda x: count(int(x))) if value == "selected" else scientific
        texts = [[write(x) if x > 0 else "" for x in line] for line in grid.to_numpy()]
        write_numbers(ax, mesh, grid.where(grid > 0), texts, size=7)
    for y, x in np.argwhere(grid.to_numpy() == 0):
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor=GREY, edgecolor="white", hatch=hatch, linewidth=0.5))
    if rows["layer"].notna().all():
        step = -(-grid.shape[1] // _MOST_BLOCK_LABELS)
        ax.set_xticks(np.arange(0, grid.shape[1], step) + 0.5, [str(block) for block in grid.columns[::step]])
    return ax


def _grid(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    outside = rows["layer"].isna().all()
    across = pd.Series(0, index=rows.index) if outside else rows["layer"].astype("int64")
    grid = rows.assign(across=across).pivot(index="component", columns="across", values=value)
    columns = range(int(across.min()), int(across.max()) + 1)
    return grid.reindex(index=rows["component"].unique(), columns=columns).astype(float)


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
    rows = max(inside["component"].nunique(), outside["component"].nunique())
    with styled():
        figure = new_figure(2.2 + 2 * (0.45 + max(_CELL_HEIGHT * rows, _LEAST_HEIGHT)))
        grid, width = _layout(figure, inside, len(outside))
        for line, value in enumerate(("mean", second)):
            norm = _norm(table[value])
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
            if (table[value] > 0).any():
                bar = figure.add_subplot(grid[line, 2])
                log_bar(figure, norm, COLOUR_MAP, labels[value], cax=bar)
        _legend(figure, table, inside, second)
        words(figure, f"{_HEADINGS['mean']} and {_HEADINGS[second]} by block and component",
              [f"Over {population(stats)}.", selection_line(stats)], title)  # fmt: skip
    return Drawn(figure, table)


_HEADINGS = {"mean": "mean score", "max": "highest score", "selected": "selected weights"}


def _layout(figure: Figure, inside: pd.DataFrame, n_outside: int) -> tuple[Any, float]:
    """Return a grid of two lines (blocks, outside, colour bar, empty rest) and the width of a cell, inches."""
    blocks = int(inside["layer"].max() - inside["layer"].min()) + 1 if len(inside) else 0
    width = min(_WIDEST_CELL, _BLOCKS_WIDTH / max(blocks, 1))
    side = max(width, 0.3) if n_outside else 0.01
    rest = max(_BLOCKS_WIDTH - blocks * width, 0.01)
    return figure.add_gridspec(2, 4, width_ratios=[max(blocks * width, 0.01), side, 0.13, rest]), width


def _draw_outside(rows: pd.DataFrame, ax: Axes, draw: Mapping[str, Any], height: int) -> Axes:
    draw_cells(rows, ax=ax, **draw)
    ax.yaxis.tick_right()
    ax.tick_params(length=0)
    ax.set_title("outside", color=MUTED, size=8, loc="center")
    return ax


def _norm(values: pd.Series) -> LogNorm:
    """Return the log scale of the positive values; a lone value gets a factor 2 to each side."""
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    return LogNorm(low, high) if high > low else LogNorm(low / 2, high * 2)


def _legend(figure: Figure, table: pd.DataFrame, inside: pd.DataFrame, second: str) -> None:
    """Explain the cells without a colour, those that occur."""
    handles: list[Patch] = []
    if (table["mean"] == 0).any():
        handles.append(Patch(facecolor=GREY, edgecolor="white", hatch="////", label="all scores are 0"))
    if second == "selected" and (table["selected"] == 0).any():
        handles.append(Patch(facecolor=GREY, label="none selected"))
    if len(inside) and _grid(inside, "weights").isna().to_numpy().any():
        handles.append(Patch(facecolor="white", edgecolor=MUTED, linewidth=0.5, label="no such tensor in this block"))
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
