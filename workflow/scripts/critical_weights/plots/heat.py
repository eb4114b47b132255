"""Heat maps: cells coloured by their value, the colour bar, and numbers written into the cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from .style import COLOUR_MAP, LABELS_ONLY, POWERS, FewTicks


def heat(ax: Axes, grid: np.ndarray, norm: Normalize, colours: str = COLOUR_MAP, gap: float = 0.5) -> QuadMesh:
    """Draw a table of numbers as coloured cells of size 1, the first row on top; NaN has no colour.

    Args:
        ax: where to draw.
        grid: the values.
        norm: colour scale.
        colours: name of the colour map.
        gap: width of the white lines between the cells, points.

    """
    edges = {"edgecolors": "white", "linewidth": gap} if gap else {}
    mesh = ax.pcolormesh(np.ma.masked_invalid(grid), norm=norm, cmap=colours, **edges)
    ax.set_xlim(0, grid.shape[1])
    ax.set_ylim(grid.shape[0], 0)
    ax.tick_params(**LABELS_ONLY)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return mesh


def log_bar(figure: Figure, norm: LogNorm, colours: str, label: str, **place: Any) -> Colorbar:
    """Draw the colour bar of a log scale.

    Args:
        figure: where to draw.
        norm: the scale.
        colours: name of the colour map.
        label: what the colours are.
        place: where it stands, as ``Figure.colorbar`` takes it: ``cax``, or ``ax`` and more.

    """
    scale = ScalarMappable(norm, colours)
    bar = figure.colorbar(scale, format=POWERS, ticks=FewTicks(numticks=7), label=label, **place)
    bar.ax.minorticks_off()
    return bar


def write_numbers(ax: Axes, mesh: Any, grid: np.ndarray, texts: Sequence[Sequence[str]], size: float) -> None:
    """Write a text into each coloured cell of a heat map, dark or white, whichever is easier to read on its colour.

    Args:
        ax: a heat map with cells of size 1.
        mesh: what its cells are drawn with.
        grid: the values; NaN and cells without a colour get no text.
        texts: one a cell.
        size: points.

    """
    # Relative luminance by the web's accessibility guidelines, gamma taken as 2.2; black and white meet at 0.18.
    light = mesh.to_rgba(grid)[..., :3] ** 2.2 @ (0.2126, 0.7152, 0.0722)
    for y, x in np.argwhere(~np.isnan(grid)):
        colour = "black" if light[y, x] > 0.18 else "white"
        ax.text(x + 0.5, y + 0.5, texts[y][x], ha="center", va="center", size=size, color=colour)
