"""One look for all figures: fonts, colours, and the words around the panels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from .wording import plain, power

WIDTH = 8.0
"""Width of every figure, inches: at 150 dots an inch, 1,200 pixels."""

GREY = "#d9d9d9"
DARK = "#333333"
MUTED = "#5f5f5f"
COLOUR_MAP = "viridis"
"""Even in lightness, the same to readers who do not see red and green apart, and no grey in it: grey means none."""

# Okabe and Ito's palette; grey stands for their yellow, which is too faint for a line on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c8c8c")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")

_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # no ticks stand above a panel: else every drawing measures them to keep the title clear
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": DARK,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "text.hinting": "none",  # letters stand where the SVG has them, not on whole dots, and are drawn a sixth sooner
    "svg.fonttype": "path",  # looks the same without the font installed
    "svg.hashsalt": "critical weights",  # else element ids are drawn at random
}
LABELS_ONLY: dict[str, Any] = {"length": 0, "left": False, "right": False, "top": False, "bottom": False}
"""For ``tick_params``: labels stand where ticks of no length would have them, and none of those is drawn."""
_TITLE_POINTS, _TEXT_POINTS, _CHARACTERS_PER_INCH = 11, 8.5, 15.5


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save with the project's settings, whatever the user's own matplotlib settings are."""
    if matplotlib.rcParams["svg.hashsalt"] == _SETTINGS["svg.hashsalt"]:  # within another such block: checked once
        yield
        return
    with matplotlib.rc_context():
        # Not by rcdefaults(), which reads thirty styles to know what none may set. All but the backend: it is the
        # user's, and rc_context() does not set it back.
        defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
        matplotlib.rcParams.update(defaults | _SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width; ``height`` in inches, the words around the panels included."""
    return Figure(figsize=(WIDTH, height), layout="constrained")  # pyplot would keep it alive


def new_axes(height: float = 3.6) -> Axes:
    """Return the only panel of a new figure."""
    return new_figure(height).subplots()


@dataclass(frozen=True)
class Words:
    """The words around the panels, cut into lines for the common width; heights in inches, margins included.

    Attributes:
        heading: what is shown.
        above: population and n.
        below: how to read marks.
        top: height of heading and ``above``.
        bottom: height of ``below``.

    """

    heading: str
    above: str
    below: str
    top: float
    bottom: float


_MARGIN, _EDGE = 0.08, 0.08 / WIDTH  # inches; the same as a part of the width, half of it the layout's own padding


def cut_words(heading: str, lines: Iterable[str], title: str | None = None, notes: Iterable[str] = ()) -> Words:
    """Cut the words around the panels into lines; arguments as for :func:`words`."""
    wrap = int(_CHARACTERS_PER_INCH * WIDTH)
    above = [part for line in lines for part in textwrap.wrap(line, wrap)]
    below = [part for line in notes for part in textwrap.wrap(line, wrap)]
    heading = f"{title}: {heading}" if title else heading[:1].upper() + heading[1:]
    heading = textwrap.fill(plain(heading), int(wrap * 0.65))
    line_inches = 1.4 * _TEXT_POINTS / 72
    top = 2 * _MARGIN + _title_inches(heading) + len(above) * line_inches
    bottom = _MARGIN + (len(below) * line_inches + _MARGIN if below else 0.0)
    return Words(heading, plain("\n".join(above)), plain("\n".join(below)), top, bottom)


def _title_inches(heading: str) -> float:
    return 1.35 * _TITLE_POINTS * (heading.count("\n") + 1) / 72


def words(
    figure: Figure, heading: str, lines: Iterable[str], title: str | None = None, notes: Iterable[str] = ()
) -> None:
    """Write heading and population above the panels, notes below, and keep the panels clear of them.

    Args:
        figure: a figure with the constrained layout.
        heading: what is shown.
        lines: population and n; one or two short sentences.
        title: what it is of (model, phase), put before the heading.
        notes: how to read marks that occur in this figure.

    """
    cut = cut_words(heading, lines, title, notes)
    height = figure.get_figheight()
    small: dict[str, Any] = {"size": _TEXT_POINTS, "color": MUTED, "linespacing": 1.25}
    y = 1 - _MARGIN / height
    figure.text(_EDGE, y, cut.heading, size=_TITLE_POINTS, weight="bold", color=DARK, va="top")
    figure.text(_EDGE, y - _title_inches(cut.heading) / height, cut.above, va="top", **small)
    if cut.below:
        figure.text(_EDGE, _MARGIN / height, cut.below, va="bottom", **small)
    bottom, top = cut.bottom / height, 1 - cut.top / height
    figure.get_layout_engine().set(rect=(_EDGE / 2, bottom, 1 - _EDGE, top - bottom))


def line_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give each name a colour, a line style and a marker; the colours repeat after eight, with other dashes."""
    return {
        name: {
            "color": _COLOURS[i % len(_COLOURS)],
            "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)],
            "marker": _MARKERS[i % len(_MARKERS)],
        }
        for i, name in enumerate(names)
    }


POWERS = FuncFormatter(lambda value, _: power(value))
"""Ticks of a log axis; matplotlib's own are formulas, which take ten times as long to set."""
SIGNED_POWERS = FuncFormatter(lambda value, _: f"\N{MINUS SIGN}{power(-value)}" if value < 0 else power(value))
"""Ticks of an axis that is logarithmic on both sides of 0."""


def log_axis(axis: Axis, most: int = 5) -> None:
    """Make an axis logarithmic, with at most ``most`` labels and none between them.

    Minor ticks are not drawn: they cost half of a figure's time and say little over many orders of magnitude.
    """
    if isinstance(axis.get_major_locator(), FewTicks):  # panels that share an axis share its scale and its ticks
        return
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(FewTicks(numticks=most))
    axis.set_major_formatter(POWERS)
    axis.set_minor_locator(NullLocator())


class FewTicks(LogLocator):
    """Powers of ten, with steps between them where the axis spans too few to be read."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks between two values."""
        if vmin <= 0:  # no number above 0 is drawn
            return np.empty(0)
        for subs in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
            self.set_params(subs=subs)
            ticks = super().tick_values(vmin, vmax)
            inside = ticks[(ticks >= vmin) & (ticks <= vmax)]
            if len(inside) > 2:
                return inside
        # Less than a factor of ten or so: as on a linear axis.
        even = MaxNLocator(3).tick_values(vmin, vmax)
        even = even[(even >= vmin) & (even <= vmax) & (even > 0)]
        return even if len(even) > len(inside) else inside
