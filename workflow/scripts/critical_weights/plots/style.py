"""One look for all figures: fonts, colours, and the words around the panels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .wording import plain

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
_CHARACTERS_PER_INCH = 15.5


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
    wrap = int(_CHARACTERS_PER_INCH * figure.get_figwidth())
    above = [part for line in lines for part in textwrap.wrap(line, wrap)]
    below = [part for line in notes for part in textwrap.wrap(line, wrap)]
    heading = f"{title}: {heading}" if title else heading[:1].upper() + heading[1:]
    heading = textwrap.fill(plain(heading), int(wrap * 0.65))
    title_inches = (1.35 * _TITLE_POINTS * (heading.count("\n") + 1)) / 72
    line_inches = 1.4 * _TEXT_POINTS / 72
    height = figure.get_figheight()
    margin = 0.08
    small: dict[str, Any] = {"size": _TEXT_POINTS, "color": MUTED, "linespacing": 1.25}
    y = 1 - margin / height
    figure.text(0.012, y, heading, size=_TITLE_POINTS, weight="bold", color=DARK, va="top")
    y -= title_inches / height
    figure.text(0.012, y, plain("\n".join(above)), va="top", **small)
    bottom = margin / height
    if below:
        figure.text(0.012, bottom, plain("\n".join(below)), va="bottom", **small)
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


def write_numbers(ax: Axes, mesh: Any, grid: pd.DataFrame, texts: Sequence[Sequence[str]], size: float) -> None:
    """Write a text into each coloured cell of a heat map, dark or white, whichever is easier to read on its colour.

    Args:
        ax: a heat map with cells of size 1.
        mesh: what its cells are drawn with.
        grid: the values; NaN and cells without a colour get no text.
        texts: one a cell.
        size: points.

    """
    for y, x in np.argwhere(grid.notna().to_numpy()):
        red, green, blue, _ = mesh.to_rgba(grid.iat[y, x])
        # Relative luminance by the web's accessibility guidelines, gamma taken as 2.2; black and white meet at 0.18.
        light = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        colour = "black" if light > 0.18 else "white"
        ax.text(x + 0.5, y + 0.5, texts[y][x], ha="center", va="center", size=size, color=colour)
