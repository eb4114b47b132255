"""Where the weights of one metric's ranking stand in another's: a small map of places for every pair of metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from .heat import log_bar
from .save import Drawn
from .small_multiples import nothing
from .style import GREY, MUTED, log_axis, new_axes, new_figure, styled, words
from .wording import count, short

COLOURS = "PuOr_r"
"""Purple and orange stay apart to readers who do not see red and green apart; white is what chance gives."""
_LEAST, _MOST = 100.0, 1e6
"""Colours end at so many times more, and fewer, than chance: the former at least, the latter at most."""
_HEADING = "places of the same weights in two rankings"
_WIDTH = 7.0


def density_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the bins that are drawn: those whose places are known in both rankings.

    Args:
        table: ``rank_density.csv``.

    Returns:
        ``a, b, a_from, a_to, b_from, b_to, weights, expected, population, ratio`` (weights / expected; empty where
        there is no weight and less than one is expected: nothing to learn from).

    """
    rows = table[table["a_to"].notna() & table["b_to"].notna()].reset_index(drop=True)
    informed = (rows["weights"] > 0) | (rows["expected"] >= 1)
    ratio = (rows["weights"] / rows["expected"]).where(informed & (rows["expected"] > 0))
    return rows.assign(ratio=ratio)


def draw_pair(rows: pd.DataFrame, norm: LogNorm, ax: Axes | None = None, ticks: str = "xy") -> Axes:
    """Draw one pair: places in a across, in b down, both log; the colour is the number of weights against chance.

    Args:
        rows: one pair of :func:`density_table`.
        norm: log colour scale around 1.
        ax: where to draw; a new figure if not given.
        ticks: axes that have any: of maps of the same places side by side, only those at the edge.

    """
    ax = ax if ax is not None else new_axes()
    grid = rows.pivot(index="b_from", columns="a_from", values="ratio")
    down = np.append(grid.index.to_numpy(dtype=float), float(rows["b_to"].max()) + 1)
    across = np.append(grid.columns.to_numpy(dtype=float), float(rows["a_to"].max()) + 1)
    values = np.ma.masked_invalid(np.clip(grid.to_numpy(dtype=float), norm.vmin, norm.vmax))
    ax.set_facecolor(GREY)
    ax.pcolormesh(across, down, values, norm=norm, cmap=COLOURS, rasterized=True)
    for axis, last in ((ax.xaxis, across[-1]), (ax.yaxis, down[-1])):
        log_axis(axis)
        step = max(1, round(np.log10(last) / 2))
        powers = range(0, int(np.log10(last)) + 1, step) if axis.axis_name in ticks else ()
        axis.set_ticks([10.0**power for power in powers])
    ax.set_xlim(across[0], across[-1])
    ax.set_ylim(down[-1], down[0])
    end = min(across[-1], down[-1])
    ax.plot([1, end], [1, end], color=MUTED, linewidth=0.6)
    return ax


def ratio_scale(ratios: pd.Series) -> LogNorm:
    """Return a log scale, alike to both sides of 1, within which three quarters of the ratios above 0 lie."""
    known = ratios[ratios > 0]
    far = float(np.exp(np.log(known).abs().quantile(0.75))) if len(known) else 1.0
    far = 10.0 ** np.ceil(np.log10(min(max(far, _LEAST), _MOST)))
    return LogNorm(1 / far, far)


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure: a map for each pair of metrics; where there is no pair, it says so."""
    rows = density_table(table)
    by_pair = dict(list(rows.groupby(["a", "b"], sort=False)))
    if not by_pair:
        why = "No place is known." if len(table) else "There is one metric only, and nothing to compare it with."
        return nothing(_HEADING, why, rows, title)
    across, down = (list(rows[side].unique()) for side in ("a", "b"))
    cell = min(1.6, _WIDTH / len(across))
    norm = ratio_scale(rows["ratio"])
    with styled():
        figure = new_figure(1.75 + cell * len(down))
        # The rest keeps the maps of few metrics small.
        rest = max(_WIDTH - cell * len(across), 0.01)
        grid = figure.add_gridspec(len(down) + 1, len(across) + 1, height_ratios=[cell] * len(down) + [0.13],
                                   width_ratios=[cell] * len(across) + [rest])  # fmt: skip
        for (a, b), part in by_pair.items():
            first, last = a == across[0], not any((a, below) in by_pair for below in down[down.index(b) + 1 :])
            place = figure.add_subplot(grid[down.index(b), across.index(a)])
            ax = draw_pair(part, norm, place, ticks="x" * last + "y" * first)
            ax.tick_params(labelsize=6, length=2)
            ax.set_ylabel(short(b, 15) if first else "", size=7)
            ax.set_xlabel(short(a, 15) if last else "", size=7)
        foot = figure.add_subplot(grid[len(down), :])
        label = "weights in the bin / as chance would have it"
        log_bar(figure, norm, COLOURS, label, cax=foot, orientation="horizontal", extend="both")
        lines = ["Each map: place of a weight in the ranking of the column's metric (across) and of the row's (down); "
                 f"place 1 is the highest score; {count(int(rows['population'].max()), 'weight')}."]  # fmt: skip
        notes = ["Grey: no weight, and less than one expected. The diagonal: the same place in both."]
        if table["a_to"].isna().any() or table["b_to"].isna().any():
            notes.append("Weights of score 0, or beyond the places that a store knows, are left out.")
        words(figure, _HEADING, lines, title, notes)
    return Drawn(figure, rows)
