"""How the scores of all weights are spread over the orders of magnitude, and where the selection begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from .save import Drawn
from .stats_file import population, selection_line
from .style import COLOUR_MAP, DARK, log_axis, log_bar, new_axes, new_figure, styled, words
from .wording import count, percent, scientific, short, unit_label

ALL = "all weights"
_FILL = "#9dbcd4"
_SELECTION = "#D55E00"


def distribution_table(stats: Mapping[str, Any]) -> pd.DataFrame:
    """Return the histogram of all scores in whole octaves (factors of 2).

    The finer bins of the statistics are summed: in an octave a single weight of the tail still counts 1, and some
    fifty steps can be read where four hundred cannot.

    Args:
        stats: checked ``sensitivity_stats.json``.

    Returns:
        ``component`` (or "all weights"), ``low``, ``high`` (edges of the bin; both 0 for scores of exactly 0),
        ``weights``, ``weights_per_octave`` (empty for zeros; differs from ``weights`` only in the bin of the
        subnormal numbers, which is 23 octaves wide).

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
    frames = []
    for name, values in counts.items():
        merged = np.add.reduceat(values, starts) if len(starts) else np.empty(0, dtype=np.int64)
        per_octave = merged / np.log2(high / low)
        zero = pd.DataFrame({"low": [0.0], "high": [0.0], "weights": [zeros[name]], "weights_per_octave": [np.nan]})
        bins = pd.DataFrame({"low": low, "high": high, "weights": merged, "weights_per_octave": per_octave})
        frame = pd.concat([zero, bins], ignore_index=True)
        frame.insert(0, "component", name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def draw_histogram(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the histogram of all weights as a step, both axes log, so that single weights of the tail are visible.

    Args:
        table: see :func:`distribution_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    rows = _bins(table, ALL)
    ax.set_ylabel("weights per octave\n(factor 2 of score)")
    if not len(rows):
        ax.text(0.5, 0.5, "every score is exactly 0", transform=ax.transAxes, ha="center")
        ax.set(xticks=[], yticks=[])
        return ax
    edges = np.append(rows["low"], rows["high"].iloc[-1])
    ax.stairs(rows["weights_per_octave"], edges, fill=True, color=_FILL, label=ALL)
    ax.stairs(rows["weights_per_octave"], edges, color=DARK, linewidth=0.8, label="_outline")
    log_axis(ax.xaxis, 8)
    log_axis(ax.yaxis)
    ax.set_xlim(edges[0] / 2, edges[-1] * 2)
    ax.set_ylim(0.5, 3 * float(rows["weights_per_octave"].max()))
    ax.grid(True)
    return ax


def draw_components(table: pd.DataFrame, selected: Mapping[str, int], ax: Axes | None = None) -> Axes:
    """Draw a strip a component, its colour the weights per octave; zeros and selected weights as numbers beside it.

    Args:
        table: see :func:`distribution_table`.
        selected: number of selected weights of each component.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    names = [name for name in table["component"].unique() if name != ALL]
    rows = [_bins(table, name) for name in names]
    values = np.stack([row["weights_per_octave"] for row in rows])
    if values.size:
        edges = np.append(rows[0]["low"], rows[0]["high"].iloc[-1])
        top = max(float(values.max()), 2.0)
        ax.pcolormesh(edges, np.arange(len(names) + 1), np.ma.masked_equal(values, 0), cmap=COLOUR_MAP,
                      norm=LogNorm(min(1.0, float(values[values > 0].min())), top))  # fmt: skip
        log_axis(ax.xaxis, 8)
    ax.set_ylim(len(names), 0)
    ax.set_yticks(np.arange(len(names)) + 0.5, [short(name) for name in names])
    ax.tick_params(axis="y", length=0)
    for y in range(1, len(names)):
        ax.axhline(y, color="white", linewidth=1.5)
    _column(ax, 1.09, "zeros", [percent(_zero_share(table, name)) for name in names])
    _column(ax, 1.2, "selected", [count(int(selected.get(name, 0))) for name in names])
    return ax


def _bins(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[(table["component"] == name) & (table["high"] > 0)]


def _zero_share(table: pd.DataFrame, name: str) -> float:
    rows = table[table["component"] == name]
    return float(rows.loc[rows["high"] == 0, "weights"].sum() / max(rows["weights"].sum(), 1))


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
    rows = max(len(table["component"].unique()) - 1, 1)
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


def _population(stats: Mapping[str, Any], table: pd.DataFrame) -> str:
    rows = table[table["component"] == ALL]
    zeros = int(rows.loc[rows["high"] == 0, "weights"].sum())
    zero = f"{count(zeros)} ({percent(_zero_share(table, ALL))}) score exactly 0" if zeros else "none scores exactly 0"
    line = f"{population(stats).capitalize()}; {zero}"
    missing = stats["overall"]["num_weights"] - int(rows["weights"].sum())
    return f"{line}; {count(missing)} have no finite score." if missing > 0 else f"{line}."
