"""How the mean score of each component changes from block to block."""

from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .cells import Cell, cells, components, panel
from .save import Drawn
from .stats_file import population
from .style import MUTED, line_styles, log_axis, new_axes, new_figure, styled, words
from .wording import short, unit_label

_ZERO_MARK = "all scores are 0"
_MOST_BLOCK_LABELS = 16

Mean = namedtuple("Mean", Cell._fields[: Cell._fields.index("mean") + 1])
"""What is drawn of a cell."""


def draw_blocks(rows: Sequence[Cell], styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a line a component over the blocks, log y; a cell of zeros is a mark on the lower edge.

    Args:
        rows: cells of the panel ``blocks``.
        styles: colour, line style and marker of each component.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    stacked: Counter[float] = Counter()
    for component in components(rows):
        x, y = np.array([(row.layer, row.mean) for row in rows if row.component == component], dtype=float).T
        style = styles[component]
        # NaN breaks the line where a score has no place on a log axis.
        ax.plot(x, np.where(y > 0, y, np.nan), label=short(component), markersize=4, linewidth=1.3, **style)
        for block in x[y == 0]:
            _mark_zero(ax, block, stacked[block], style)
            stacked[block] += 1
    ax.set_xlabel("transformer block")
    blocks = [row.layer for row in rows if row.layer is not None]
    first, last = min(blocks), max(blocks)
    ax.set_xticks(range(first, last + 1, -(-(last - first + 1) // _MOST_BLOCK_LABELS)))
    ax.set_xlim(first - 0.5, last + 0.5)
    return ax


def draw_outside(rows: Sequence[Cell], styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a point a component outside the blocks; arguments as for :func:`draw_blocks`."""
    ax = ax if ax is not None else new_axes()
    for x, row in enumerate(rows):
        style = {**styles[row.component], "linestyle": "none"}
        if row.mean > 0:
            ax.plot([x], [row.mean], markersize=6, **style)
        else:
            _mark_zero(ax, x, 0, style)
    ax.set_xticks(
        range(len(rows)), [short(row.component) for row in rows], rotation=40, ha="right", rotation_mode="anchor"
    )
    ax.set_xlim(-0.7, len(rows) - 0.3)
    return ax


def _mark_zero(ax: Axes, x: float, below: int, style: Mapping[str, Any]) -> None:
    """Draw the mark of a mean of 0, on top of those that stand on the lower edge already."""
    ax.plot([x], [0.02 + 0.035 * below], transform=ax.get_xaxis_transform(), clip_on=False, markersize=5,
            fillstyle="none", **{**style, "linestyle": "none"}, label="_zero")  # fmt: skip


def build(stats: Mapping[str, Any], title: str | None = None) -> Drawn:
    """Draw the figure: blocks at the left, the tensors outside them in a narrow panel of the same scale."""
    table = cells(stats)
    inside, outside = panel(table, "blocks"), panel(table, "outside")
    styles = line_styles(components(table))
    with styled():
        figure = new_figure(max(4.6, 1.8 + 0.19 * len(components(inside))))
        axes = _panels(figure, len(inside), len(outside))
        if len(inside):
            draw_blocks(inside, styles, axes[0])
        if len(outside):
            draw_outside(outside, styles, axes[-1])
            axes[-1].set_title("outside the blocks", color=MUTED, size=8, loc="center")
        axes[0].set_ylabel(unit_label(f"mean {stats['metric']} score", stats["units"]))
        for ax in axes:
            ax.grid(True, axis="y")
            if any(row.mean > 0 for row in table):
                log_axis(ax.yaxis)
            else:
                ax.set_yticks([])
        handles, labels = axes[0].get_legend_handles_labels() if len(inside) else ([], [])
        notes = []
        if any(row.mean == 0 for row in table):
            handles.append(Line2D([], [], color=MUTED, marker="o", fillstyle="none", linestyle="none"))
            labels.append(_ZERO_MARK)
            notes.append("Hollow marks on the lower edge: every score of the tensor is exactly 0.")
        if handles:
            axes[-1].legend(
                handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.03), title="component", alignment="left"
            )
        words(figure, "mean score by block and component", [_population(stats, table)], title, notes)
    return Drawn(figure, [Mean(*cell[: len(Mean._fields)]) for cell in table])


def _population(stats: Mapping[str, Any], table: Sequence[Cell]) -> str:
    most = max(row.tensors for row in table)
    point = "a tensor" if most == 1 else f"a component of a block (up to {most} tensors)"
    return f"Each point: mean over every weight of {point}. Drawn: {population(stats)}."


def _panels(figure: Any, n_inside: int, n_outside: int) -> list[Axes]:
    if n_inside and n_outside:
        narrow = min(0.45, max(0.25, 0.09 * (1 + n_outside)))
        return list(figure.subplots(1, 2, sharey=True, width_ratios=[1, narrow]))
    return [figure.subplots()]
