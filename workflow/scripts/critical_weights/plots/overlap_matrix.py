"""How much the top weights of one metric are those of another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from ..imports import without
from ..overlap.told_k import told_k
from .heat import write_numbers
from .save import Drawn
from .style import COLOUR_MAP, GREY, LABELS_ONLY, new_axes, new_figure, styled, words
from .wording import count, percent, scientific, short

_WIDEST_CELL, _MATRIX_WIDTH = 0.75, 5.2


def choose_k(table: pd.DataFrame) -> str | None:
    """Return the k that is drawn; None for a table without a pair."""
    rows = table[table["scope"] == "global"]
    return told_k(zip(rows["k"], rows["complete"], strict=True))


def overlap_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that are drawn: the rows of scope ``global`` at the chosen k.

    Args:
        table: ``overlap.csv``.

    Returns:
        ``a, b, k, shared, share, expected, expected_share, complete``; ``expected`` is what two independent draws
        would share, empty where the population is not known.

    """
    rows = table[(table["scope"] == "global") & (table["k"] == choose_k(table))]
    rows = rows[["a", "b", "k", "shared", "share", "expected", "complete"]].reset_index(drop=True)
    # share = shared / number compared; where nothing is shared, k itself is that number.
    compared = (rows["shared"] / rows["share"]).where(rows["share"] > 0, rows["k"].astype(float))
    rows.insert(6, "expected_share", rows["expected"] / compared)
    return rows


def draw_matrix(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of each pair as a cell with its number; an asterisk where the lists cannot answer exactly.

    Args:
        pairs: see :func:`overlap_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    names = list(dict.fromkeys([name for pair in zip(pairs["a"], pairs["b"], strict=True) for name in pair]))
    grid = pd.DataFrame(np.nan, index=names, columns=names)
    texts = pd.DataFrame("", index=names, columns=names)
    for a, b, share, complete in zip(pairs["a"], pairs["b"], pairs["share"], pairs["complete"], strict=True):
        for line, column in ((a, b), (b, a)):
            grid.loc[line, column] = share
            texts.loc[line, column] = percent(share) + ("" if complete else "*")
    labels = [short(name) for name in names]
    with without("scipy"):  # which it has for clusters and densities, and takes longer than to draw this figure
        from seaborn import heatmap

    heatmap(grid, ax=ax, vmin=0, vmax=1, cmap=COLOUR_MAP, linewidths=0.5, linecolor="white", cbar=False,
            xticklabels=False, yticklabels=False)  # fmt: skip
    # Seaborn's own numbers are paler on middle colours.
    write_numbers(ax, ax.collections[0], grid.to_numpy(), texts.to_numpy(), size=8)
    ax.tick_params(**LABELS_ONLY)
    for i in range(len(names)):
        ax.add_patch(Rectangle((i, i), 1, 1, facecolor=GREY, edgecolor="white", hatch="////", linewidth=0.5))
    places = np.arange(len(names)) + 0.5
    ax.set_yticks(places, labels)
    ax.set_xticks(places, labels, rotation=40, ha="right", rotation_mode="anchor")
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where there is no pair, it says so."""
    pairs = overlap_table(table)
    heading = "overlap of the metrics' top weights"
    with styled():
        if not len(pairs):
            figure = new_figure(0.9)
            words(figure, heading, ["There is one metric only, and nothing to compare it with."], title)
            return Drawn(figure, pairs)
        names = len(set(pairs["a"]) | set(pairs["b"]))
        width = names * min(_WIDEST_CELL, _MATRIX_WIDTH / names)
        figure = new_figure(2.3 + width * 0.75)
        # The rest keeps the cells of a small matrix small.
        grid = figure.add_gridspec(1, 3, width_ratios=[width, 0.13, max(_MATRIX_WIDTH - width, 0.01)])
        draw_matrix(pairs, figure.add_subplot(grid[0, 0]))
        figure.colorbar(ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=figure.add_subplot(grid[0, 1]),
                        format=PercentFormatter(1, symbol=" %"), label="share found in both")  # fmt: skip
        inexact = "* Not exactly the highest: a list ends before, or the scores there are 0."
        notes = [] if pairs["complete"].all() else [inexact]
        words(figure, heading, [_compared(pairs), _chance(pairs)], title, notes)
    return Drawn(figure, pairs)


def _compared(pairs: pd.DataFrame) -> str:
    k = count(int(pairs["k"].iloc[0]))
    return f"Compared: the {k} highest scores of each metric over all tensors; share = weights in both / compared."


def _chance(pairs: pd.DataFrame) -> str:
    exact = pairs[pairs["complete"]] if pairs["complete"].any() else pairs
    known = exact["expected_share"].dropna()
    if not len(known):
        return "Chance level: not known, for want of the population."
    low, high = percent(float(known.min())), percent(float(known.max()))
    weights = f"{'' if low == high else 'at most '}{scientific(float(exact['expected'].max()))} weights"
    span = low if low == high else f"{low} to {high}"
    return f"Chance level: two independent draws would share {span} ({weights})."
