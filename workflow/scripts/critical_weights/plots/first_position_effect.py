"""How much of the scores comes from the first position of each text, and how much of the ranking stays without it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .save import Drawn
from .small_multiples import finish, legend, legend_inches, nothing, options, panels
from .style import MUTED, line_styles, log_axis, new_axes, styled
from .wording import short

_HEADING = "the first position's part in scores and ranking"
_LEGEND_COLUMNS = 5


def position_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn.

    Args:
        table: ``first_position.csv``.

    Returns:
        ``metric, quantity`` (position_0_share or overlap), ``name`` (component, or all), ``k`` (of overlap), ``value``,
        ``n`` (candidates).

    """
    shares = table[(table["quantity"] == "position_0_share") & table["scope"].isin(["all", "component"])]
    overlaps = table[(table["quantity"] == "overlap") & (table["scope"] == "all")]
    rows = pd.concat([shares, overlaps], ignore_index=True).dropna(subset=["value"])
    return rows[["metric", "quantity", "name", "k", "value", "n"]].reset_index(drop=True)


def draw_shares(rows: pd.DataFrame, styles: dict[str, dict[str, object]], ax: Axes | None = None) -> Axes:
    """Draw a line a component and a mark a metric on it: the share of the scores' sum that position 0 makes."""
    ax = ax if ax is not None else new_axes()
    names = list(rows["name"].unique())
    for metric, points in rows.groupby("metric", sort=False):
        y = [names.index(name) for name in points["name"]]
        ax.plot(points["value"], y, **options(markersize=5, **{**styles[metric], "linestyle": "none"}))
    ax.set_yticks(np.arange(len(names)), ["all components" if name == "all" else short(name, 18) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.grid(True)
    ax.set_xlabel("share of the candidates' score\nfrom position 0")
    return ax


def draw_overlaps(rows: pd.DataFrame, styles: dict[str, dict[str, object]], ax: Axes | None = None) -> Axes:
    """Draw a line a metric: the share of its first k weights that stay first without position 0, log x."""
    ax = ax if ax is not None else new_axes()
    for metric, line in rows.groupby("metric", sort=False):
        line = line.sort_values("k")
        ax.plot(line["k"].to_numpy(dtype=float), line["value"], **options(**styles[metric]), clip_on=False)
    log_axis(ax.xaxis, 5)
    ax.set_ylim(0, 1.02)
    ax.grid(True)
    ax.set_xlabel("first weights (k)\nof all tensors")
    ax.set_ylabel("share that stays first")
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where no store keeps the variant, it says so."""
    rows = position_table(table)
    names = list(rows["metric"].unique())
    if not names:
        why = "No score store keeps the scores without the first position of each text."
        return nothing(_HEADING, why, rows, title)
    styles = line_styles(names)
    shares, overlaps = (rows[rows["quantity"] == quantity] for quantity in ("position_0_share", "overlap"))
    without = [name for name in table["metric"].unique() if name not in names]
    with styled():
        height = max(2.6, 0.9 + 0.2 * shares["name"].nunique())
        made = panels(["scores", "ranking"], height, columns=2, foot=legend_inches(len(names), _LEGEND_COLUMNS))
        draw_shares(shares, styles, made.axes[0])
        draw_overlaps(overlaps, styles, made.axes[1])
        handles = [Line2D([], [], **options(**styles[name])) for name in names]
        legend(made, handles, [short(name) for name in names], _LEGEND_COLUMNS)
        n = int(rows["n"].max())
        lines = [f"Over the first candidates of each tensor ({n:,} weights): their scores as they are, against a "
                 "variant without position 0 of each text."]  # fmt: skip
        notes = ["Below 0: without position 0 the score is larger."] if (shares["value"] < 0).any() else []
        notes += [f"Without the variant: {', '.join(without)}."] if without else []
        return finish(made, rows, _HEADING, lines, title, notes)
