"""Mean, 99th percentile and largest score over depth, a line a component; a row of panels a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .save import Drawn
from .score_runs import Run, by_metric, component_order, population_of, tensor_frame
from .small_multiples import block_ticks, finish, legend, legend_inches, options, panels
from .style import MUTED, line_styles, log_axis, new_axes, styled
from .wording import short

QUANTITIES = {"mean": "mean", "p99": "99th percentile", "max": "highest"}
_LEGEND_COLUMNS = 6
_LABELS = 0.5
"""Inches of the labels below the lowest row and of the titles above the first, which all rows give room to."""


def profile_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the score's figures by block and component, in multiples of the metric's mean over all weights.

    Args:
        runs: the experiments; the first of each metric is read.

    Returns:
        ``metric, component, layer`` (empty outside the blocks), ``quantity`` (mean, p99, max), ``score`` (units of the
        metric), ``value`` (score / the metric's mean over all weights). A component of several tensors in a block has
        no p99 of its own.

    """
    frames = []
    for metric, run in by_metric(runs).items():
        tensors = tensor_frame(run)
        tensors["sum"] = tensors["mean"] * tensors["num_weights"]
        groups = tensors.groupby(["component", "layer"], dropna=False, sort=False)
        table = groups.agg(sum=("sum", "sum"), weights=("num_weights", "sum"), max=("max", "max"), p99=("p99", "max"),
                           tensors=("max", "size")).reset_index()  # fmt: skip
        table["mean"] = table["sum"] / table["weights"]
        table["p99"] = table["p99"].where(table["tensors"] == 1)
        long = table.melt(["component", "layer"], list(QUANTITIES), "quantity", "score").assign(metric=metric)
        overall = table["sum"].sum() / table["weights"].sum()
        long["value"] = long["score"] / overall if overall > 0 else 0.0
        frames.append(long.dropna(subset=["score"]))
    order = ["metric", "component", "layer", "quantity", "score", "value"]
    return pd.concat(frames, ignore_index=True)[order]


def draw_profile(
    rows: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None, numbers: bool = True
) -> Axes:
    """Draw a line a component over the blocks, log y, and a mark for each one outside, right of a thin line.

    Args:
        rows: one metric and quantity of :func:`profile_table`.
        styles: colour, line style and marker of each component.
        ax: where to draw; a new figure if not given.
        numbers: write the blocks' numbers below.

    """
    ax = ax if ax is not None else new_axes()
    layers, values = (rows[name].to_numpy(dtype=float, na_value=np.nan) for name in ("layer", "value"))
    names, outside = rows["component"].to_numpy(), np.isnan(layers)
    inside = layers[~outside]
    first, last = (int(inside.min()), int(inside.max())) if len(inside) else (0, 0)
    few = last - first < 16
    for component in dict.fromkeys(names[~outside]):
        own = (names == component) & ~outside
        # A score of 0 has no place on a log axis: NaN breaks the line there.
        y = np.where(values[own] > 0, values[own], np.nan)
        look = styles[component] if few else {**styles[component], "marker": ""}
        ax.plot(layers[own], y, **options(linewidth=1, **look))
    step = max(1.0, (last - first + 1) / 12)
    x = float(last)
    for component, value in zip(names[outside], values[outside], strict=True):
        x += step
        if value > 0:
            ax.plot([x], [value], **options(markersize=5, **{**styles[component], "linestyle": "none"}))
    if len(inside) and outside.any():
        ax.axvline(last + step / 2, color=MUTED, linewidth=0.6)
    if len(inside) and numbers:
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
    metrics = list(table["metric"].unique())
    components = component_order(runs)
    styles = line_styles(components)
    with styled():
        names = [quantity for _ in metrics for quantity in QUANTITIES]
        height, foot = 1.18 + _LABELS / max(len(metrics), 1), legend_inches(len(components), _LEGEND_COLUMNS)
        made = panels(names, height, foot=foot, share={"sharey": "column"})
        for place, ax in enumerate(made.axes):
            metric, quantity = metrics[place // 3], names[place]
            rows = table[(table["metric"] == metric) & (table["quantity"] == quantity)]
            draw_profile(rows, styles, ax, numbers=made.at_bottom(place))
            ax.set_title(f"{QUANTITIES[quantity]} score" if place < 3 else "")
            if made.at_left(place):
                ax.set_ylabel(short(metric, 16))
            if made.at_bottom(place):
                ax.set_xlabel("transformer block")
        handles = [Line2D([], [], **styles[name], **options()) for name in components]
        legend(made, handles, [short(name) for name in components], _LEGEND_COLUMNS)
        lines = ["Each point: a component of a block, in multiples of the metric's mean score over all weights (1); "
                 f"over {population_of(list(by_metric(runs).values()))}."]  # fmt: skip
        notes = ["Right of the thin line: tensors outside the blocks."] if table["layer"].isna().any() else []
        return finish(made, table, "scores over depth, by component", lines, title, notes)
