"""How the mean score of each component changes from block to block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .cells import cells, panel
from .save import Drawn
from .stats_file import population
from .style import MUTED, line_styles, new_axes, new_figure, short, styled, unit_label, words

_ZERO_MARK = "all scores are 0"


def layer_table(stats: Mapping[str, Any]) -> pd.DataFrame:
    """Return what is drawn: ``panel, layer, component, tensors, weights, mean``; see :func:`.cells.cells`."""
    return cells(stats)[["panel", "layer", "component", "tensors", "weights", "mean"]]


def draw_blocks(rows: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a line a component over the blocks, log y; a cell of zeros is a mark on the lower edge.

    Args:
        rows: the panel ``blocks`` of :func:`layer_table`.
        styles: colour, line style and marker of each component.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    for component, line in rows.groupby("component", sort=False):
        x, y = line["layer"].to_numpy(dtype=float), line["mean"].to_numpy(dtype=float)
        style = styles[component]
        # NaN breaks the line where a score has no place on a log axis.
        ax.plot(x, pd.Series(y).where(y > 0), label=short(component), markersize=4, linewidth=1.3, **style)
        _mark_zeros(ax, x[y == 0], style)
    ax.set_xlabel("transformer block")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    first, last = int(rows["layer"].min()), int(rows["layer"].max())
    ax.set_xlim(first - 0.5, last + 0.5)
    return ax


def draw_outside(rows: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a point a component outside the blocks; arguments as for :func:`draw_blocks`."""
    ax = ax if ax is not None else new_axes()
    for x, (component, mean) in enumerate(zip(rows["component"], rows["mean"], strict=True)):
        style = {**styles[component], "linestyle": "none"}
        if mean > 0:
            ax.plot([x], [mean], markersize=6, **style)
        else:
            _mark_zeros(ax, [x], style)
    ax.set_xticks(range(len(rows)), [short(name) for name in rows["component"]], rotation=40, ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.7, len(rows) - 0.3)
    return ax


def _mark_zeros(ax: Axes, x: Any, style: Mapping[str, Any]) -> None:
    if len(x):
        ax.plot(x, [0.02] * len(x), transform=ax.get_xaxis_transform(), clip_on=False, markersize=5,
                fillstyle="none", **{**style, "linestyle": "none"}, label="_zeros")  # fmt: skip


def build(stats: Mapping[str, Any], title: str | None = None) -> Drawn:
    """Draw the figure: blocks at the left, the tensors outside them in a narrow panel of the same scale."""
    table = layer_table(stats)
    inside, outside = panel(table, "blocks"), panel(table, "outside")
    styles = line_styles(table["component"].unique())
    with styled():
        n_lines = inside["component"].nunique()
        figure = new_figure(max(4.6, 1.8 + 0.19 * n_lines))
        axes = _panels(figure, len(inside), len(outside))
        if len(inside):
            draw_blocks(inside, styles, axes[0])
        if len(outside):
            draw_outside(outside, styles, axes[-1])
            axes[-1].set_title("outside the blocks", color=MUTED, size=8, loc="center")
        axes[0].set_ylabel(unit_label(f"mean {stats['metric']} score", stats["units"]))
        for ax in axes:
            ax.set_yscale("log")
            ax.grid(True, axis="y")
        handles, labels = axes[0].get_legend_handles_labels() if len(inside) else ([], [])
        notes = []
        if (table["mean"] == 0).any():
            handles.append(Line2D([], [], color=MUTED, marker="o", fillstyle="none", linestyle="none"))
            labels.append(_ZERO_MARK)
            notes.append("Hollow marks on the lower edge: every score of the tensor is exactly 0.")
        if handles:
            figure.legend(handles, labels, loc="outside right upper", title="component", alignment="left")
        words(figure, "mean score by block and component",
              [f"Mean over {population(stats)}, a point a tensor."], title, notes)  # fmt: skip
    return Drawn(figure, table)


def _panels(figure: Any, n_inside: int, n_outside: int) -> list[Axes]:
    if n_inside and n_outside:
        narrow = min(0.45, 0.09 * (1 + n_outside))
        return list(figure.subplots(1, 2, sharey=True, width_ratios=[1, narrow]))
    return [figure.subplots()]
