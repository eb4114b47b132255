"""How the scores of all weights are spread over the orders of magnitude, and where the selection begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from ..metrics import METRICS
from .cells import components
from .heat import log_bar
from .save import Drawn
from .stats_file import population, selection_line
from .style import COLOUR_MAP, DARK, LABELS_ONLY, log_axis, new_axes, new_figure, styled, words
from .wording import count, percent, scientific, short, unit_label

ALL = "all weights"
_FILL = "#9dbcd4"
_SELECTION = "#D55E00"


class Bin(NamedTuple):
    """A bin of a component's histogram.

    Attributes:
        component: its name, or "all weights".
        low: lower edge, units of the metric; 0 for scores of exactly 0.
        high: upper edge, likewise.
        weights: that score so.
        weights_per_octave: differs from ``weights`` only in the bin of the subnormal numbers, which is 23 octaves
            wide; None for zeros.

    """

    component: str
    low: float
    high: float
    weights: int
    weights_per_octave: float | None


def distribution_table(stats: Mapping[str, Any]) -> list[Bin]:
    """Return the histogram of all scores in whole octaves (factors of 2).

    The finer bins of the statistics are summed: in an octave a single weight of the tail still counts 1, and some
    fifty steps can be read where four hundred cannot.

    Args:
        stats: checked ``sensitivity_stats.json``.

    Returns:
        The bins of all weights, then those of each component: zeros first, then from the lowest up.

    """
    histogram = stats["histogram"]
    edges = np.asarray(histogram["edges"], dtype=float)
    counts = {name: np.asarray(values, dtype=np.int64) for name, values in histogram["counts"].items()}
    zeros = {name: int(histogram["zeros"][name]) for name in counts}
    counts = {ALL: np.sum(list(counts.values()), axis=0, dtype=np.int64), **counts}
    zeros = {ALL: sum(zeros.values()), **zeros}
    # The exponent's bits say the octave exactly; a logarithm could miss an edge by rounding.
    octave = np.frexp(edges[:-1])[1] - 1
    starts = np.flatnonzero(np.diff(octave, prepend=np.nan) != 0)
    low = np.ldexp(1.0, octave[starts])
    high = np.maximum(np.append(low[1:], 0.0), np.maximum.reduceat(edges[1:], starts) if len(starts) else 0.0)
    high = np.maximum(high, 2 * low)
    table = []
    for name, values in counts.items():
        merged = np.add.reduceat(values, starts) if len(starts) else np.empty(0, dtype=np.int64)
        columns = (low, high, merged, merged / np.log2(high / low))
        table.append(Bin(name, 0.0, 0.0, zeros[name], None))
        table += [Bin(name, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return table


def draw_histogram(table: Sequence[Bin], ax: Axes | None = None) -> Axes:
    """Draw the histogram of all weights as a step, both axes log, so that single weights of the tail are visible.

    Args:
        table: see :func:`distribution_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    edges, values = _steps(table, ALL)
    ax.set_ylabel("weights per octave\n(factor 2 of score)")
    if not len(values):
        ax.text(0.5, 0.5, "every score is exactly 0", transform=ax.transAxes, ha="center")
        ax.set(xticks=[], yticks=[])
        return ax
    ax.stairs(values, edges, fill=True, color=_FILL, label=ALL)
    ax.stairs(values, edges, color=DARK, linewidth=0.8, label="_outline")
    log_axis(ax.xaxis, 8)
    log_axis(ax.yaxis)
    ax.set_xlim(edges[0] / 2, edges[-1] * 2)
    ax.set_ylim(0.5, 3 * float(values.max()))
    ax.grid(True)
    return ax


def draw_components(table: Sequence[Bin], selected: Mapping[str, int], ax: Axes | None = None) -> Axes:
    """Draw a strip a component, its colour the weights per octave; zeros and selected weights as numbers beside it.

    Args:
        table: see :func:`distribution_table`.
        selected: number of selected weights of each component.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    names = [name for name in components(table) if name != ALL]
    edges = _steps(table, ALL)[0]
    values = np.stack([_steps(table, name)[1] for name in names])
    if values.size:
        top = max(float(values.max()), 2.0)
        ax.pcolormesh(edges, np.arange(len(names) + 1), np.ma.masked_equal(values, 0), cmap=COLOUR_MAP,
                      norm=LogNorm(min(1.0, float(values[values > 0].min())), top))  # fmt: skip
        ax.hlines(range(1, len(names)), 0, 1, transform=ax.get_yaxis_transform(), color="white", linewidth=1.5)
        log_axis(ax.xaxis, 8)
    ax.set_ylim(len(names), 0)
    ax.set_yticks(np.arange(len(names)) + 0.5, [short(name) for name in names])
    ax.tick_params(axis="y", **LABELS_ONLY)
    _column(ax, 1.09, "zeros", [percent(_zero_share(table, name)) for name in names])
    _column(ax, 1.2, "selected", [count(int(selected.get(name, 0))) for name in names])
    return ax


def _steps(table: Sequence[Bin], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of a component's bins above 0, and its weights per octave in each."""
    rows = [row for row in table if row.component == name and row.high > 0]
    edges = [row.low for row in rows] + [row.high for row in rows[-1:]]
    return np.array(edges), np.array([row.weights_per_octave for row in rows], dtype=float)


def _zeros(table: Sequence[Bin], name: str) -> tuple[int, int]:
    """Return how many weights of a component score exactly 0, and how many have a finite score."""
    rows = [row for row in table if row.component == name]
    return sum(row.weights for row in rows if row.high == 0), sum(row.weights for row in rows)


def _zero_share(table: Sequence[Bin], name: str) -> float:
    zeros, finite = _zeros(table, name)
    return zeros / max(finite, 1)


def _column(ax: Axes, x: float, head: str, texts: Sequence[str]) -> None:
    place = ax.get_yaxis_transform()
    ax.text(x, -0.25, head, transform=place, ha="right", va="bottom", size=8, color=DARK, style="italic")
    for y, text in enumerate(texts):
        ax.text(x, y + 0.5, text, transform=place, ha="right", va="center", size=8, color=DARK)


def build(stats: Mapping[str, Any], title: str | None = None) -> Drawn:
    """Draw the figure: all weights above, a strip a component below, one score axis."""
    table = distribution_table(stats)
    selection = stats["selection"]
    selected = {name: entry["num_weights"] for name, entry in selection["by_component"].items()}
    rows = max(len(components(table)) - 1, 1)
    strips = 0.45 + 0.21 * rows
    with styled():
        figure = new_figure(1.5 + 2.2 + strips)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, strips])
        draw_histogram(table, upper)
        draw_components(table, selected, lower)
        notes = _mark_selection(selection, (upper, lower))
        if lower.collections:
            upper.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, borderaxespad=0)
            log_bar(figure, lower.collections[0].norm, COLOUR_MAP, "weights per octave; white: none", ax=lower,
                    location="bottom", aspect=50, pad=0.02)  # fmt: skip
        lower.set_xlabel(unit_label(f"{stats['metric']} score", stats["units"]).replace("\n", " "))
        words(figure, "distribution of the scores", [_population(stats, table), selection_line(stats)], title, notes)
    return Drawn(figure, table)


def _mark_selection(selection: Mapping[str, Any], axes: Sequence[Axes]) -> list[str]:
    """Draw where the selection begins; return what to say where that cannot be drawn."""
    threshold = float(selection["threshold"])
    if threshold <= 0:
        return ["The lowest selected score is 0, which has no place on a log axis."]
    whole = selection["mode"] == "global"
    label = f"selected: from {scientific(threshold)} up" if whole else f"lowest selected score: {scientific(threshold)}"
    for ax in axes:
        ax.axvline(threshold, color=_SELECTION, linewidth=1.3, linestyle="-" if whole else (0, (4, 2)), label=label)
    return []


def _population(stats: Mapping[str, Any], table: Sequence[Bin]) -> str:
    zeros, finite = _zeros(table, ALL)
    zero = f"{count(zeros)} ({percent(_zero_share(table, ALL))}) score exactly 0" if zeros else "none scores exactly 0"
    metric = METRICS.get(stats["metric"])
    if zeros and metric and metric.clipped:
        zero += f", as {metric.clipped} do"
    line = f"{population(stats).capitalize()}; {zero}"
    missing = stats["overall"]["num_weights"] - finite
    return f"{line}; {count(missing)} have no finite score." if missing > 0 else f"{line}."
