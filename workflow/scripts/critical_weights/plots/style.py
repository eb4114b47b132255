"""One look for all figures: fonts, colours, the words around the panels, and how numbers are written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0
"""Width of every figure, inches: at 150 dots an inch, 1,200 pixels."""

GREY = "#d9d9d9"
DARK = "#333333"
MUTED = "#5f5f5f"
COLOUR_MAP = "cividis"
"""Even in lightness, and the same to readers who do not see red and green apart."""

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
    "svg.fonttype": "path",  # looks the same without the font installed
    "svg.hashsalt": "critical weights",  # else element ids are drawn at random
}
_TITLE_POINTS, _TEXT_POINTS = 11, 8.5
_CHARACTERS_PER_INCH = 13.5


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save with the project's settings, whatever the user's own matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width; ``height`` in inches, the words around the panels included."""
    # Not through pyplot: it keeps figures alive and asks for a display.
    return Figure(figsize=(WIDTH, height), layout="constrained")


def new_axes(height: float = 3.6) -> Axes:
    """Return the only panel of a new figure."""
    return new_figure(height).subplots()


def words(figure: Figure, heading: str, lines: Iterable[str], title: str | None = None, notes: Iterable[str] = ()) -> None:
    """Write heading and population above the panels, notes below, and keep the panels clear of them.

    Args:
        figure: a figure with the constrained layout.
        heading: what is shown.
        lines: population and n; one or two short sentences.
        title: what it is of (model, phase), put before the heading.
        notes: how to read marks that occur in this figure.

    """
    wrap = int(_CHARACTERS_PER_INCH * figure.get_figwidth())
    above = [part for line in lines for part in textwrap.wrap(line, wrap)]
    below = [part for line in notes for part in textwrap.wrap(line, wrap)]
    heading = textwrap.fill(plain(f"{title}: {heading}" if title else heading), int(wrap * 0.75))
    title_inches = (1.35 * _TITLE_POINTS * (heading.count("\n") + 1)) / 72
    line_inches = 1.4 * _TEXT_POINTS / 72
    height = figure.get_figheight()
    margin = 0.08
    y = 1 - margin / height
    figure.text(0.012, y, heading, size=_TITLE_POINTS, weight="bold", color=DARK, va="top")
    y -= title_inches / height
    figure.text(0.012, y, plain("\n".join(above)), size=_TEXT_POINTS, color=MUTED, va="top", linespacing=1.25)
    bottom = margin / height
    if below:
        figure.text(0.012, bottom, plain("\n".join(below)), size=_TEXT_POINTS, color=MUTED, va="bottom", linespacing=1.25)
        bottom += (len(below) * line_inches + margin) / height
    top = y - (len(above) * line_inches + margin) / height
    figure.get_layout_engine().set(rect=(0, bottom, 1, top - bottom))


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


def plain(text: str) -> str:
    """Keep a dollar sign from being read as the start of a formula."""
    return text.replace("$", r"\$")


def short(name: str, length: int = 26) -> str:
    """Shorten a long name in its middle; the drawn data keeps it whole."""
    if len(name) <= length:
        return plain(name)
    half = (length - 1) // 2
    return plain(f"{name[: length - 1 - half]}…{name[-half:]}")


def count(n: int, noun: str = "") -> str:
    """Write a count with its noun: ``2,012,160 weights``, ``1 tensor``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}" if noun else f"{n:,}"


def scientific(value: float, digits: int = 2) -> str:
    """Write a score with ``digits`` significant digits: ``0.25``, ``3.2×10⁻⁹``."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float) -> str:
    """Write a share as a percentage with two significant digits, never rounded to 0 or to 100."""
    value = 100 * share
    if value == 0 or value == 100:
        return f"{value:.0f} %"
    if value > 99:
        return f"{100 - value:.1g} % short of 100 %" if value > 99.99 else f"{value:.2f} %"
    return f"{value:.0f} %" if value >= 10 else f"{scientific(value)} %"


def unit_label(what: str, units: str) -> str:
    """Write an axis label, the unit on a line of its own: units such as ``(nats per token / weight)²`` are long."""
    return plain(f"{what}\n[{units.replace('^2', '²')}]")
