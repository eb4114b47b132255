"""How the damage grows with the number of changed weights, a panel a metric, beside its controls."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ..errors import TableError
from ..metrics import METRICS_BY_PATH
from .save import Drawn
from .small_multiples import nothing
from .style import DARK, MUTED, SIGNED_POWERS, log_axis, new_axes, new_figure, styled, words
from .wording import count, short

KINDS = {
    "top": ("top k", "#D55E00", "o", "-"),
    "matched": ("control of the same abs(w) decile", "#0072B2", "s", (0, (4, 1.5))),
    "random": ("control of the same tensors", "#8c8c8c", "^", (0, (1, 1))),
    "bottom": ("bottom k", "#009E73", "D", "none"),
}
"""What is drawn: label, colour, marker, line."""
_HEADING = "damage by number of changed weights"
_COLUMNS = 3
_PANEL_INCHES = 2.0


def dose_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: the damage of every point of every ladder; of controls, over their seeds.

    Args:
        table: ``interventions.csv``.

    Returns:
        ``metric, mode, kind, k, intervention, dnll`` (of controls the mean over seeds), ``low, high`` (of the top and
        bottom the bootstrap interval over texts; of controls the lowest and highest bound over the seeds), ``seeds,
        n_texts, n_tokens``. A control that is smaller than its selection, for want of other weights, is left out, and
        so is a damage that is not finite.

    Raises:
        TableError: there is no ladder.

    """
    rows = _ladder(table[~_is_short(table)])
    if rows.empty:
        raise TableError("the table of interventions holds no ladder")
    rows = rows[rows["dnll"].notna()]
    keys = ["metric", "mode", "kind", "k"]
    found = rows.groupby(keys, sort=False).agg(
        intervention=("intervention", "first"), dnll=("dnll", "mean"), low=("low", "min"), high=("high", "max"),
        seeds=("seed", "nunique"), n_texts=("n_texts", "first"), n_tokens=("n_tokens", "first"),
    )  # fmt: skip
    return found.reset_index()


def _ladder(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["part"] == "ladder") & table["kind"].isin(KINDS)]


def _is_short(table: pd.DataFrame) -> pd.Series:
    """Mark the controls that are smaller than the selection beside them."""
    place = ["part", "metric", "mode", "k"]
    tops = table.loc[table["kind"] == "top", [*place, "asked"]].rename(columns={"asked": "selected"})
    beside = table[[*place, "asked"]].merge(tops.drop_duplicates(place), on=place, how="left")
    return table["kind"].isin(["random", "matched"]) & (beside["asked"] < beside["selected"]).to_numpy()


def draw_metric(points: pd.DataFrame, linear: float, ax: Axes | None = None) -> Axes:
    """Draw one metric's top, bottom and controls over k, both axes logarithmic, the damage linear around 0.

    Args:
        points: the rows of :func:`dose_table` of one metric and mode.
        linear: damage up to which the axis is linear, nats per token.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    ax.axhline(0, color=MUTED, linewidth=0.8)
    for kind, (label, colour, marker, line) in KINDS.items():
        own = points[points["kind"] == kind].sort_values("k")
        if own.empty:
            continue
        at = own["k"].to_numpy(np.float64)
        ax.plot(at, own["dnll"], color=colour, marker=marker, linestyle=line, markersize=3.5, label=label)
        if len(own) > 1:
            ax.fill_between(at, own["low"], own["high"], color=colour, alpha=0.18, linewidth=0)
        else:
            ax.vlines(at, own["low"], own["high"], color=colour, alpha=0.5)
    log_axis(ax.xaxis)
    ax.set_yscale("symlog", linthresh=linear, linscale=0.6)
    ax.margins(y=0.08)  # limits from before the scale was set cut a mark at the edge in half
    ax.yaxis.set_major_formatter(SIGNED_POWERS)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(True)
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure: a panel a metric and mode, the largest damage first, all with the same axes.

    A metric whose top has no finite damage comes last; where none has any damage, the figure says why.
    """
    points = dose_table(table)
    groups = {key: own for key, own in points.groupby(["metric", "mode"], sort=False) if key[1] != "list"}
    if not groups:
        return nothing(_HEADING, _why_nothing(table, points), points, title)
    reached = {key: own.loc[own["kind"] == "top", "dnll"].max() for key, own in groups.items()}
    order = sorted(groups, key=lambda key: (np.isnan(reached[key]), -reached[key]))  # NaN is in no order
    rows = -(-len(order) // _COLUMNS)
    modes = {mode for _, mode in order}
    linear = _linear(points)
    with styled():
        figure = new_figure(1.5 + _PANEL_INCHES * rows)
        grid = figure.add_gridspec(rows + 1, _COLUMNS, height_ratios=[0.08, *[1] * rows])
        legend, first, entries = figure.add_subplot(grid[0, :]), None, {}
        for place, (metric, mode) in enumerate(order):
            row, column = divmod(place, _COLUMNS)
            ax = first = figure.add_subplot(grid[row + 1, column], sharex=first, sharey=first)
            handles, labels = draw_metric(groups[metric, mode], linear, ax).get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
            name = METRICS_BY_PATH[metric].name if metric in METRICS_BY_PATH else metric  # as the other figures have it
            ax.set_title(short(name if len(modes) == 1 else f"{name}, {mode}"), color=DARK)
            ax.tick_params(labelleft=column == 0, labelbottom=place + _COLUMNS >= len(order))
            if place + _COLUMNS >= len(order):
                ax.set_xlabel("changed weights, k" + ("" if mode == "global" else " of each group"))
            if column == 0:
                ax.set_ylabel("change of the loss\n[nats per token]")
        legend.axis("off")
        # A panel of its own, whose width the layout does not give to one metric's panel.
        labels = [label for label, *_ in KINDS.values() if label in entries]
        legend.legend([entries[label] for label in labels], labels, loc="center left", ncols=len(KINDS),
                      borderaxespad=0)  # fmt: skip
        legend.get_legend().set_in_layout(False)
        words(figure, _HEADING, [_population(points)], title,
              _notes(points, linear, bool(_is_short(table).any())))  # fmt: skip
    return Drawn(figure, points)


def _why_nothing(table: pd.DataFrame, points: pd.DataFrame) -> str:
    if (_ladder(table)["mode"] == "list").all():
        return "The ladder holds lists alone, which have no panel."
    whose, lists = ("the", "") if points.empty else ("a metric's", "; lists have no panel")
    return f"No condition of {whose} ladder left a text with a finite loss{lists}."


def _linear(points: pd.DataFrame) -> float:
    """Return a power of ten about the typical size of the controls, below which differences are noise."""
    controls = points.loc[points["kind"].isin(["random", "matched"]), "dnll"].abs()
    typical = (controls if len(controls) else points["dnll"].abs()).median()
    return float(10.0 ** np.round(np.log10(max(typical, 1e-8))))


def _population(points: pd.DataFrame) -> str:
    what = ", ".join(points["intervention"].unique())
    texts, tokens = int(points["n_texts"].iloc[0]), int(points["n_tokens"].iloc[0])
    return f"Intervention: {what}. {count(texts, 'evaluation text')}, {count(tokens, 'predicted token')}."


def _notes(points: pd.DataFrame, linear: float, short: bool) -> list[str]:
    seeds = int(points["seeds"].max())
    notes = [f"Bands: 95 % intervals over bootstrap draws of texts; the axis is linear within {linear:g} around 0."]
    if seeds:
        notes.append(f"Controls: mean over {count(seeds, 'seed')}, bands from their lowest to their highest bound.")
    if short:
        notes.append("Controls end where too few weights are left for as many as selected.")
    return notes
