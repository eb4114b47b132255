"""How many weights of each component score at least so high, and where the selections begin; a panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .score_runs import Run, by_metric, component_order, population_of
from .sensitivity_distribution import ALL
from .small_multiples import finish, legend, legend_inches, nothing, options, panels
from .style import DARK, MUTED, line_styles, log_axis, new_axes, styled
from .wording import short, unit_label

_FROM = 0.95
"""A panel begins where this part of the scores above 0 is higher: further left every curve is flat."""
_LEGEND_COLUMNS = 5


def survival_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the survival function of the scores at the histogram's edges, exact there, and the thresholds.

    Args:
        runs: the experiments.

    Returns:
        ``metric, units, kind`` (curve or threshold), ``name`` (component or "all weights"; the run of a threshold),
        ``mode`` (of a threshold's ranking), ``score``, ``weights`` (that score as high or higher; of a threshold, the
        selected ones).

    """
    frames = []
    for metric, run in by_metric(runs).items():
        histogram = run.stats["histogram"]
        above = pd.DataFrame(histogram["counts"], index=np.asarray(histogram["edges"][:-1], dtype=float), dtype="int64")
        above = above[::-1].cumsum()[::-1]
        above.insert(0, ALL, above.sum(axis=1))
        flat = int((above[ALL] >= _FROM * above[ALL].max()).sum())  # bins in which next to every score is higher
        above = above.iloc[max(flat - 1, 0) :]
        curves = above.melt(ignore_index=False, var_name="name", value_name="weights").reset_index(names="score")
        frames.append(curves[curves["weights"] > 0].assign(metric=metric, kind="curve", mode=""))
    thresholds = [
        {"metric": run.metric, "kind": "threshold", "name": run.label, "mode": run.stats["selection"]["mode"],
         "score": float(run.stats["selection"]["threshold"]), "weights": run.stats["selection"]["num_weights"]}
        for run in runs
    ]  # fmt: skip
    table = pd.concat([*frames, pd.DataFrame(thresholds)], ignore_index=True)
    table["units"] = table["metric"].map({metric: run.stats["units"] for metric, run in by_metric(runs).items()})
    return table[["metric", "units", "kind", "name", "mode", "score", "weights"]]


def draw_curves(rows: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a line a component, both axes log, all weights in black, and a vertical line where a selection begins.

    Args:
        rows: one metric's rows of :func:`survival_table`.
        styles: colour and line style of each component.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    for name, curve in rows[rows["kind"] == "curve"].groupby("name", sort=False):
        look = {"color": DARK, "linewidth": 2, "zorder": 3} if name == ALL else {**styles[name], "marker": ""}
        ax.plot(curve["score"], curve["weights"], label=name, **options(**look))
    for mode, score in rows.loc[rows["kind"] == "threshold", ["mode", "score"]].itertuples(index=False):
        if score > 0:
            ax.axvline(score, color=MUTED, linewidth=1, linestyle=_threshold_dash(mode), label=f"_{mode}")
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
    drawn = [metric for metric in first if ((table["metric"] == metric) & (table["kind"] == "curve")).any()]
    if not drawn:
        return nothing(heading, "Every score is exactly 0, and nothing can be drawn on a log axis.", table, title)
    curves = set(table.loc[table["kind"] == "curve", "name"])
    names = [name for name in component_order(runs) if name in curves]
    styles = line_styles(names)
    handles = [Line2D([], [], color=DARK, linewidth=2), *(Line2D([], [], **{**styles[n], "marker": ""}) for n in names)]
    labels = [ALL, *map(short, names)]
    modes = set(table.loc[table["kind"] == "threshold", "mode"])
    for mode, text in (("global", "selected from here up"), ("other", "lowest selected (of tensors or blocks)")):
        if "global" in modes if mode == "global" else modes - {"global"}:
            handles.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=_threshold_dash(mode)))
            labels.append(text)
    with styled():
        made = panels(drawn, 2.0, foot=legend_inches(len(labels), _LEGEND_COLUMNS), share={"sharey": "all"})
        for place, (ax, metric) in enumerate(zip(made.axes, drawn, strict=True)):
            draw_curves(table[table["metric"] == metric], styles, ax)
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
