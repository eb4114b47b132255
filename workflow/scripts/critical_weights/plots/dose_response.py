"""How the damage grows with the number of changed weights, a panel a metric, beside its controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ..errors import TableError
from ..metrics import METRICS_BY_PATH
from ..tables.rows import grouped, unique
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
_CONTROLS = ("random", "matched")
_HEADING = "damage by number of changed weights"
_COLUMNS = 3
_PANEL_INCHES = 2.0


class Point(NamedTuple):
    """The damage of a number of changed weights.

    Attributes:
        metric: that chose them, its path name.
        mode: of its ranking.
        kind: one of :data:`KINDS`.
        k: weights of each group.
        intervention: what was done to them.
        dnll: change of the mean negative log-likelihood per token; of controls the mean over their seeds.
        low: lower end of the bootstrap interval over texts; of controls the lowest of their seeds'.
        high: upper end, likewise the highest.
        seeds: of controls.
        n_texts: evaluation texts.
        n_tokens: predicted tokens.

    """

    metric: str
    mode: str
    kind: str
    k: int
    intervention: str
    dnll: float
    low: float
    high: float
    seeds: int
    n_texts: int
    n_tokens: int


def dose_table(table: Sequence[Any]) -> list[Point]:
    """Return what is drawn: the damage of every point of every ladder; of controls, over their seeds.

    Args:
        table: rows of ``interventions.csv``.

    Returns:
        The points. A control that is smaller than its selection, for want of other weights, is left out, and so is a
        damage that is not finite.

    Raises:
        TableError: there is no ladder.

    """
    selected = _selected(table)
    rows = [row for row in _ladder(table) if not _is_short(row, selected)]
    if not rows:
        raise TableError("the table of interventions holds no ladder")
    known = (row for row in rows if row.k is not None and math.isfinite(row.dnll))
    points = grouped(known, lambda row: (row.metric, row.mode, row.kind, row.k))
    return [_point(key, own) for key, own in points.items()]


def _point(key: tuple[str, str, str, int], rows: Sequence[Any]) -> Point:
    """Return the point of a kind and k: of controls, over their seeds."""
    low = min((row.low for row in rows if not math.isnan(row.low)), default=math.nan)
    high = max((row.high for row in rows if not math.isnan(row.high)), default=math.nan)
    seeds = {row.seed for row in rows if row.seed is not None}
    first = rows[0]
    return Point(*key, first.intervention, fmean(row.dnll for row in rows), low, high, len(seeds), first.n_texts,
                 first.n_tokens)  # fmt: skip


def _ladder(table: Sequence[Any]) -> list[Any]:
    return [row for row in table if row.part == "ladder" and row.kind in KINDS]


_Place = tuple[str, str, str, int | None]


def _place(row: Any) -> _Place:
    return row.part, row.metric, row.mode, row.k


def _selected(table: Sequence[Any]) -> dict[_Place, int]:
    """Return the size of each selection."""
    return {_place(row): row.asked for row in reversed(table) if row.kind == "top"}  # of several, the first counts


def _is_short(row: Any, selected: Mapping[_Place, int]) -> bool:
    """Whether a control is smaller than the selection beside it."""
    return row.kind in _CONTROLS and row.asked < selected.get(_place(row), row.asked)


def draw_metric(points: Sequence[Point], linear: float, ax: Axes | None = None) -> Axes:
    """Draw one metric's top, bottom and controls over k, both axes logarithmic, the damage linear around 0.

    Args:
        points: those of one metric and mode.
        linear: damage up to which the axis is linear, nats per token.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    ax.axhline(0, color=MUTED, linewidth=0.8)
    for kind, (label, colour, marker, line) in KINDS.items():
        own = sorted((point for point in points if point.kind == kind), key=lambda point: point.k)
        if not own:
            continue
        at, low, high = [p.k for p in own], [p.low for p in own], [p.high for p in own]
        ax.plot(at, [p.dnll for p in own], color=colour, marker=marker, linestyle=line, markersize=3.5, label=label)
        if len(own) > 1:
            ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        else:
            ax.vlines(at, low, high, color=colour, alpha=0.5)
    log_axis(ax.xaxis)
    ax.set_yscale("symlog", linthresh=linear, linscale=0.6)
    ax.margins(y=0.08)  # limits from before the scale was set cut a mark at the edge in half
    ax.yaxis.set_major_formatter(SIGNED_POWERS)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(True)
    return ax


def build(table: Sequence[Any], title: str | None = None) -> Drawn:
    """Draw the figure: a panel a metric and mode, the largest damage first, all with the same axes.

    A metric whose top has no finite damage comes last; where none has any damage, the figure says why.
    """
    points, selected = dose_table(table), _selected(table)
    groups = grouped((point for point in points if point.mode != "list"), lambda point: (point.metric, point.mode))
    if not groups:
        return nothing(_HEADING, _why_nothing(table, points), points, title, Point._fields)
    reached = {key: max((p.dnll for p in own if p.kind == "top"), default=-math.inf) for key, own in groups.items()}
    order = sorted(groups, key=lambda key: -reached[key])
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
              _notes(points, linear, any(_is_short(row, selected) for row in table)))  # fmt: skip
    return Drawn(figure, points)


def _why_nothing(table: Sequence[Any], points: Sequence[Point]) -> str:
    if all(row.mode == "list" for row in _ladder(table)):
        return "The ladder holds lists alone, which have no panel."
    whose, lists = ("the", "") if not points else ("a metric's", "; lists have no panel")
    return f"No condition of {whose} ladder left a text with a finite loss{lists}."


def _linear(points: Sequence[Point]) -> float:
    """Return a power of ten about the typical size of the controls, below which differences are noise."""
    controls = [abs(point.dnll) for point in points if point.kind in _CONTROLS]
    typical = median(controls or [abs(point.dnll) for point in points])
    return float(10.0 ** round(math.log10(max(typical, 1e-8))))


def _population(points: Sequence[Point]) -> str:
    what = ", ".join(unique(point.intervention for point in points))
    texts, tokens = count(points[0].n_texts, "evaluation text"), count(points[0].n_tokens, "predicted token")
    return f"Intervention: {what}. {texts}, {tokens}."


def _notes(points: Sequence[Point], linear: float, short: bool) -> list[str]:
    seeds = max(point.seeds for point in points)
    notes = [f"Bands: 95 % intervals over bootstrap draws of texts; the axis is linear within {linear:g} around 0."]
    if seeds:
        notes.append(f"Controls: mean over {count(seeds, 'seed')}, bands from their lowest to their highest bound.")
    if short:
        notes.append("Controls end where too few weights are left for as many as selected.")
    return notes
