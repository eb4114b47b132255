"""How unequally the total score is spread over the weights, a curve a metric."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..errors import TableError
from .save import Drawn
from .style import MUTED, line_styles, log_axis, new_axes, new_figure, styled, words
from .wording import short

_VISIBLE_BAND = 0.002


def lorenz_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: the points of every metric's curve over all its weights.

    Args:
        table: ``concentration.csv``.

    Returns:
        ``metric, fraction`` (of the weights, counted from the highest score), ``share`` (of the total score),
        ``low, high`` (its bounds), ``weights`` (population), ``gini, gini_low, gini_high``.

    Raises:
        TableError: the table is empty, or a metric has a curve and no Gini coefficient.

    """
    rows = table[(table["scope"] == "all") & (table["at"].isna() | (table["at"] > 0))]
    curves = rows[rows["quantity"] == "lorenz"]
    if not len(table):
        raise TableError("the table of concentration holds no metric")
    gini = rows[rows["quantity"] == "gini"].set_index("metric")[["value", "low", "high"]]
    missing = sorted(set(curves["metric"]) - set(gini.index))
    if missing:
        raise TableError(f"the table of concentration holds no Gini coefficient of {', '.join(missing)}")
    gini = gini.rename(columns={"value": "gini", "low": "gini_low", "high": "gini_high"})
    curves = curves.rename(columns={"at": "fraction", "value": "share"})
    curves = curves[["metric", "fraction", "share", "low", "high", "weights"]].join(gini, on="metric")
    order = {name: i for i, name in enumerate(curves["metric"].unique())}
    return curves.sort_values(["metric", "fraction"], key=lambda c: c.map(order) if c.name == "metric" else c,
                              kind="stable", ignore_index=True)  # fmt: skip


def draw_curves(curves: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a line a metric, log x, with the line that equal scores would give.

    Args:
        curves: see :func:`lorenz_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    styles = line_styles(curves["metric"].unique())
    for metric, curve in curves.groupby("metric", sort=False):
        style = styles[metric]
        ax.plot(curve["fraction"], curve["share"], label=f"{short(metric)}: {_gini(curve.iloc[0])}", linewidth=1.5,
                markersize=4, markevery=max(1, len(curve) // 8), **style)  # fmt: skip
        if (curve["high"] - curve["low"]).max() > _VISIBLE_BAND:
            ax.fill_between(curve["fraction"], curve["low"], curve["high"], color=style["color"], alpha=0.2, lw=0)
    equal = np.geomspace(curves["fraction"].min(), 1, 100)
    ax.plot(equal, equal, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="equal scores: 0")
    log_axis(ax.xaxis, 8)
    ax.set_xlim(equal[0], 1)
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.grid(True)
    ax.set_xlabel("fraction of the weights, counted from the highest score")
    ax.set_ylabel("share of the total score")
    return ax


def _gini(row: pd.Series) -> str:
    if row["gini_high"] - row["gini_low"] < 0.001:
        return f"{row['gini']:.3f}"
    return f"{row['gini']:.3f} ({row['gini_low']:.3f} to {row['gini_high']:.3f})"


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; a metric whose scores are all 0 has no curve and is named."""
    curves = lorenz_table(table)
    heading = "concentration of the score"
    without = [name for name in table["metric"].unique() if name not in set(curves["metric"])]
    notes = [f"Without a curve, every score being 0: {', '.join(without)}."] if without else []
    with styled():
        if not len(curves):
            figure = new_figure(0.9)
            words(figure, heading, notes, title)
            return Drawn(figure, curves)
        figure = new_figure(4.6)
        ax = draw_curves(curves, figure.subplots())
        ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), title="metric: Gini coefficient", alignment="left")
        if (curves["high"] - curves["low"]).max() > _VISIBLE_BAND:
            notes.append("Bands: bounds where a histogram stands in for the scores.")
        words(figure, heading, [_population(curves)], title, notes)
    return Drawn(figure, curves)


def _population(curves: pd.DataFrame) -> str:
    low, high = int(curves["weights"].min()), int(curves["weights"].max())
    if low == high:
        return f"Over all {high:,} scored weights."
    return f"Over all {low:,} to {high:,} scored weights (by metric)."
