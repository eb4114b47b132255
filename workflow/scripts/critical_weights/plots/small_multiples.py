"""Figures of several panels of one kind, a panel a metric: where they stand, and their common legend and colour bar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from .heat import log_bar
from .save import Data, Drawn
from .style import cut_words, new_figure, styled, words
from .wording import short

Row = TypeVar("Row")

COLUMNS = 3
_LEGEND_LINE = 0.21


@dataclass(frozen=True)
class Panels:
    """Panels in reading order, and a row of its own below them for legends."""

    figure: Figure
    axes: list[Axes]
    foot: Axes | None
    columns: int

    def at_left(self, place: int) -> bool:
        """Whether a panel is the first of its line."""
        return place % self.columns == 0

    def at_bottom(self, place: int) -> bool:
        """Whether no panel stands below."""
        return place + self.columns >= len(self.axes)


def panels(
    names: Sequence[str],
    height: float,
    columns: int = COLUMNS,
    foot: float = 0.0,
    share: Mapping[str, str] | None = None,
) -> Panels:
    """Return a figure with one panel for each name, which is its title; :func:`finish` makes room for the words.

    Args:
        names: titles.
        height: inches of a panel with its labels.
        columns: panels side by side, at most.
        foot: inches of the row below the panels; 0 for none.
        share: ``sharex``, ``sharey``: over ``all`` panels, or those of a ``column``.

    """
    columns = min(columns, max(len(names), 1))
    lines = -(-len(names) // columns)
    figure = new_figure(lines * height + foot)
    grid = figure.add_gridspec(lines + bool(foot), columns, height_ratios=[height] * lines + ([foot] if foot else []))
    axes: list[Axes] = []
    for place, name in enumerate(names):
        first = {"all": 0, "column": place % columns}
        shared = {key: axes[first[over]] for key, over in (share or {}).items() if first[over] < len(axes)}
        axes.append(figure.add_subplot(grid[place // columns, place % columns], **shared))
        axes[-1].set_title(short(name))
    below = None
    if foot:
        below = figure.add_subplot(grid[lines, :])
        below.axis("off")
    return Panels(figure, axes, below, columns)


def legend_inches(entries: int, columns: int) -> float:
    """Return the height of a legend of so many entries."""
    return 0.1 + _LEGEND_LINE * -(-entries // columns)


def legend(made: Panels, handles: Sequence[Artist], labels: Sequence[str], columns: int) -> None:
    """Write the common legend into the row below the panels."""
    assert made.foot is not None
    made.foot.legend(handles, labels, loc="center", ncols=columns, borderpad=0, borderaxespad=0, handlelength=2.4)


def ratio_bar(made: Panels, norm: LogNorm, colours: str, label: str, **options: Any) -> None:
    """Draw the common colour bar of log colours into the row below the panels."""
    assert made.foot is not None
    made.foot.axis("on")
    log_bar(made.figure, norm, colours, label, cax=made.foot, orientation="horizontal", **options)


def nothing(heading: str, why: str, data: Data, title: str | None = None, columns: Sequence[str] = ()) -> Drawn:
    """Return a figure of words alone: what it would show, and why there is nothing to draw."""
    with styled():
        cut = cut_words(heading, [why], title)
        figure = new_figure(cut.top + cut.bottom)
        words(figure, heading, [why], title)
    return Drawn(figure, data, columns)


def finish(
    made: Panels, data: Data, heading: str, lines: Sequence[str], title: str | None, notes: Sequence[str] = ()
) -> Drawn:
    """Write the words around the panels and hand over the figure with what it shows."""
    cut = cut_words(heading, lines, title, notes)
    made.figure.set_figheight(made.figure.get_figheight() + cut.top + cut.bottom)
    words(made.figure, heading, lines, title, notes)
    return Drawn(made.figure, data)


def blocks_of(rows: Sequence[Any]) -> range:
    """Return the blocks of all rows, from the first to the last, so that panels have one axis; empty for none."""
    layers = [row.layer for row in rows if row.layer is not None]
    return range(min(layers), max(layers) + 1) if layers else range(0)


def in_and_outside(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of blocks, and those outside the blocks."""
    parts: tuple[list[Row], list[Row]] = [], []
    for row in rows:
        parts[row.layer is None].append(row)
    return parts


def on_log_axis(values: Iterable[float]) -> list[float]:
    """Return values, NaN for those that have no place on a log axis: it breaks a line there."""
    return [value if value > 0 else math.nan for value in values]


def block_ticks(ax: Axes, first: int, last: int, most: int = 8) -> None:
    """Label at most ``most`` blocks, whole numbers only."""
    step = -(-(last - first + 1) // most)
    ax.set_xticks(range(first, last + 1, step))


def options(**changed: Any) -> dict[str, Any]:
    """Return the look of a line in a small panel, with changes."""
    return {"linewidth": 1.2, "markersize": 3} | changed
