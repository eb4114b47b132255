"""How the overlap of two metrics grows with the number of weights compared, and what chance would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .save import Drawn
from .small_multiples import finish, legend, legend_inches, nothing, options, panels
from .style import DARK, line_styles, log_axis, new_axes, styled
from .wording import short

_LEGEND_COLUMNS = 5
_HEADING = "overlap of the metrics by number of weights compared"
_INEXACT = "Hollow: not exactly the highest (a list ends before, or the scores there are 0)."


def overlap_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that are drawn: the rows of scope ``global`` at every k that is a number.

    Args:
        table: ``overlap.csv``.

    Returns:
        ``a, b, k, shared, share, expected, expected_share, complete``; see :func:`.overlap_matrix.overlap_table`.

    """
    rows = table[(table["scope"] == "global") & table["k"].str.fullmatch("[0-9]+")]
    rows = rows[["a", "b", "k", "shared", "share", "expected", "complete"]].astype({"k": "int64"})
    compared = (rows["shared"] / rows["share"]).where(rows["share"] > 0, rows["k"].astype(float))
    rows.insert(6, "expected_share", rows["expected"] / compared)
    return rows.reset_index(drop=True)


def draw_metric(pairs: pd.DataFrame, metric: str, styles: Mapping[str, Mapping[str, Any]], floor: float,
                ax: Axes | None = None) -> Axes:  # fmt: skip
    """Draw a line for each other metric, both axes log, and the chance level as a dotted line.

    Args:
        pairs: see :func:`overlap_table`.
        metric: the metric that the others are compared with.
        styles: colour and marker of each metric.
        floor: where a share of 0 is drawn.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    own = pairs[(pairs["a"] == metric) | (pairs["b"] == metric)]
    other = own["b"].where(own["a"] == metric, own["a"])
    for name, line in own.groupby(other, sort=False):
        line = line.sort_values("k")
        look = options(**styles[name])
        k, share, complete = (line[column].to_numpy() for column in ("k", "share", "complete"))
        ax.plot(k, np.where(share > 0, share, np.nan), label=name, **{**look, "marker": "", "clip_on": False})
        for exact in np.unique(complete):
            face = look["color"] if exact else "white"
            marks = np.maximum(share, floor)[complete == exact]
            ax.plot(k[complete == exact], marks, **{**look, "linestyle": "none", "markerfacecolor": face},
                    clip_on=False)  # fmt: skip
    chance = own.groupby("k")["expected_share"].mean().dropna()
    if len(chance):
        ax.plot(chance.index, chance.clip(lower=floor), color=DARK, linestyle=(0, (1, 1.5)), linewidth=1.2)
    log_axis(ax.xaxis, 5)
    log_axis(ax.yaxis, 5)
    ax.set_ylim(floor, 1.3)
    ax.grid(True)
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where there is no pair, it says so."""
    pairs = overlap_table(table)
    names = list(dict.fromkeys([*pairs["a"], *pairs["b"]]))
    if not names:
        return nothing(_HEADING, "There is one metric only, and nothing to compare it with.", pairs, title)
    names.sort(key=lambda name: (~pairs["a"].eq(name)).argmin() if pairs["a"].eq(name).any() else len(pairs))
    values = pd.concat([pairs["share"], pairs["expected_share"]])
    least = float(values[values > 0].min()) if (values > 0).any() else 0.1
    floor = 10.0 ** np.floor(np.log10(min(least, 0.1)) - 0.3)
    styles = line_styles(names)
    with styled():
        made = panels(names, 1.75, foot=legend_inches(len(names) + 1, _LEGEND_COLUMNS),
                      share={"sharex": "all", "sharey": "all"})  # fmt: skip
        for place, (ax, name) in enumerate(zip(made.axes, names, strict=True)):
            draw_metric(pairs, name, styles, floor, ax)
            ax.tick_params(labelleft=made.at_left(place), labelbottom=made.at_bottom(place))
            ax.set_ylabel("share found in both" if made.at_left(place) else "")
            ax.set_xlabel("weights compared (k)" if made.at_bottom(place) else "")
        handles = [Line2D([], [], **options(**styles[name])) for name in names]
        chance = Line2D([], [], color=DARK, linestyle=(0, (1, 1.5)), linewidth=1.2)
        legend(made, [*handles, chance], [*map(short, names), "chance level"], _LEGEND_COLUMNS)
        lines = ["A panel a metric, a line for each other one: share of the k highest scores, over all tensors, that "
                 "are the same weights; chance level of independent draws (mean over a panel's pairs)."]  # fmt: skip
        notes = ["Marks on the lower edge: nothing shared."] if (pairs["share"] == 0).any() else []
        notes += [] if pairs["complete"].all() else [_INEXACT]
        return finish(made, pairs, _HEADING, lines, title, notes)
