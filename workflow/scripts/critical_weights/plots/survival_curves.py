"""How many weights of each component score at least so high, and where the selections begin; a panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..tables.rows import grouped
from .score_runs import Run, by_metric, component_order, population_of
from .sensitivity_distribution import ALL
from .small_multiples import finish, legend, legend_inches, nothing, options, panels
from .style import DARK, MUTED, line_styles, log_axis, new_axes, styled
from .wording import short, unit_label

_FROM = 0.95
"""A panel begins where this part of the scores above 0 is higher: further left every curve is flat."""
_LEGEND_COLUMNS = 5


class Step(NamedTuple):
    """How many weights score at least so high.

    Attributes:
        metric: full name.
        units: of its scores.
        kind: curve, or threshold of a selection.
        name: component or "all weights"; the run of a threshold.
        mode: of a threshold's ranking.
        score: units of the metric.
        weights: that score as high or higher; of a threshold, the selected ones.

    """

    metric: str
    units: str
    kind: str
    name: str
    mode: str
    score: float
    weights: int


def survival_table(runs: Sequence[Run]) -> list[Step]:
    """Return the survival function of the scores at the histogram's edges, exact there, and the thresholds."""
    table = []
    for metric, run in by_metric(runs).items():
        histogram = run.stats["histogram"]
        edges = [float(edge) for edge in histogram["edges"][:-1]]
        counts = {name: np.asarray(values, dtype=np.int64) for name, values in histogram["counts"].items()}
        total = np.sum([np.zeros(len(edges), np.int64), *counts.values()], axis=0)
        counts = {ALL: total, **counts}
        above = {name: np.cumsum(values[::-1])[::-1] for name, values in counts.items()}
        # Bins in which next to every score is higher.
        flat = np.count_nonzero(above[ALL] >= _FROM * above[ALL][0]) if edges else 0
        first = max(flat - 1, 0)
        table += [
            Step(metric, run.stats["units"], "curve", name, "", score, weights)
            for name, values in above.items()
            for score, weights in zip(edges[first:], values[first:].tolist(), strict=True)
            if weights > 0
        ]
    units = {metric: run.stats["units"] for metric, run in by_metric(runs).items()}
    for run in runs:
        chosen = run.stats["selection"]
        table.append(Step(run.metric, units[run.metric], "threshold", run.label, chosen["mode"],
                          float(chosen["threshold"]), chosen["num_weights"]))  # fmt: skip
    return table


def draw_curves(rows: Sequence[Step], styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a line a component, both axes log, all weights in black, and a vertical line where a selection begins.

    Args:
        rows: those of one metric.
        styles: colour and line style of each component.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    for name, curve in grouped((row for row in rows if row.kind == "curve"), lambda row: row.name).items():
        look = {"color": DARK, "linewidth": 2, "zorder": 3} if name == ALL else {**styles[name], "marker": ""}
        ax.plot([row.score for row in curve], [row.weights for row in curve], label=name, **options(**look))
    for row in rows:
        if row.kind == "threshold" and row.score > 0:
            dash = _threshold_dash(row.mode)
            ax.axvline(row.score, color=MUTED, linewidth=1, linestyle=dash, label=f"_{row.mode}")
    log_axis(ax.xaxis, 4)
    log_axis(ax.yaxis, 5)
    ax.grid(True)
    return ax


def _threshold_dash(mode: str) -> Any:
    return "-" if mode == "global" else (0, (3, 2))


def build(runs: Sequence[Run], title: str | None = None) -> Any:
    """Draw the figure."""
    table = survival_table(runs)
    heading = "weights that score at least so high, by component"
    first = by_metric(runs)
    rows = grouped(table, lambda row: row.metric)
    drawn = [metric for metric in first if any(row.kind == "curve" for row in rows[metric])]
    if not drawn:
        return nothing(heading, "Every score is exactly 0, and nothing can be drawn on a log axis.", table, title)
    curves = {row.name for row in table if row.kind == "curve"}
    names = [name for name in component_order(runs) if name in curves]
    styles = line_styles(names)
    handles = [Line2D([], [], color=DARK, linewidth=2), *(Line2D([], [], **{**styles[n], "marker": ""}) for n in names)]
    labels = [ALL, *map(short, names)]
    modes = {row.mode for row in table if row.kind == "threshold"}
    for mode, text in (("global", "selected from here up"), ("other", "lowest selected (of tensors or blocks)")):
        if "global" in modes if mode == "global" else modes - {"global"}:
            handles.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=_threshold_dash(mode)))
            labels.append(text)
    with styled():
        made = panels(drawn, 2.0, foot=legend_inches(len(labels), _LEGEND_COLUMNS), share={"sharey": "all"})
        for place, (ax, metric) in enumerate(zip(made.axes, drawn, strict=True)):
            draw_curves(rows[metric], styles, ax)
            ax.set_xlabel(unit_label("score", first[metric].stats["units"]), size=7.5)
            ax.tick_params(labelleft=made.at_left(place))
            ax.set_ylabel("weights" if made.at_left(place) else "")
        legend(made, handles, labels, _LEGEND_COLUMNS)
        lines = [
            f"Each curve: the number of weights that score as high or higher; {population_of(list(first.values()))}."
        ]
        zero = [metric for metric in first if metric not in drawn]
        notes = [f"Not drawn, every score being 0: {', '.join(zero)}."] if zero else []
        return finish(made, table, heading, lines, title, notes)
