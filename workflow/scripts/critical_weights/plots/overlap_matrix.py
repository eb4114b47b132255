"""How much the top weights of one metric are those of another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .save import Drawn
from .style import COLOUR_MAP, DARK, GREY, MUTED, count, new_axes, new_figure, percent, scientific, short, styled, words

MOST_K = 1000
"""The figure compares at most so many weights of each list."""


def choose_k(table: pd.DataFrame) -> str | None:
    """Return the largest k up to :data:`MOST_K` that every pair of lists answers exactly.

    Where none is, the smallest k there is; None for a table without a pair.
    """
    rows = table[table["scope"] == "global"]
    ks = sorted({k for k in rows["k"] if k.isdigit() and int(k) <= MOST_K}, key=int) or sorted(set(rows["k"]))
    exact = [k for k in ks if rows.loc[rows["k"] == k, "complete"].all()]
    return (exact[-1] if exact else ks[0]) if ks else None


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
    compared = (rows["shared"] / rows["share"]).where(rows["share"] > 0, pd.to_numeric(rows["k"], errors="coerce"))
    rows.insert(6, "expected_share", rows["expected"] / compared)
    return rows


def draw_matrix(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of each pair as a cell with its number; an asterisk where the lists cannot answer exactly.

    Args:
        pairs: see :func:`overlap_table`.
        ax: where to draw; a new figure if not given.

    """
    from seaborn import heatmap  # half of this job's start: only where it is used

    ax = ax if ax is not None else new_axes()
    names = list(dict.fromkeys([name for pair in zip(pairs["a"], pairs["b"], strict=True) for name in pair]))
    grid = pd.DataFrame(np.nan, index=names, columns=names)
    texts = pd.DataFrame("", index=names, columns=names)
    for a, b, share, complete in zip(pairs["a"], pairs["b"], pairs["share"], pairs["complete"], strict=True):
        for line, column in ((a, b), (b, a)):
            grid.loc[line, column] = share
            texts.loc[line, column] = percent(share) + ("" if complete else "*")
    labels = [short(name) for name in names]
    heatmap(grid, mask=grid.isna(), vmin=0, vmax=1, cmap=COLOUR_MAP, annot=texts.to_numpy(), fmt="", ax=ax, square=True,
            annot_kws={"size": 8}, linewidths=1, linecolor="white", xticklabels=labels, yticklabels=labels, cbar=False)  # fmt: skip
    for i in range(len(names)):
        ax.add_patch(Rectangle((i, i), 1, 1, facecolor=GREY, edgecolor="white", hatch="////", linewidth=0.5))
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)
    ax.set_xticks(ax.get_xticks(), labels, rotation=40, ha="right", rotation_mode="anchor")
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where there is no pair, it says so."""
    pairs = overlap_table(table)
    heading = "overlap of the metrics' top weights"
    with styled():
        if not len(pairs):
            figure = new_figure(1.5)
            words(figure, heading, ["There is one metric only, and nothing to compare it with."], title)
            return Drawn(figure, pairs)
        names = len(set(pairs["a"]) | set(pairs["b"]))
        figure = new_figure(min(8.0, 2.6 + 0.5 * names))
        ax = draw_matrix(pairs, figure.subplots())
        bar = figure.colorbar(ax.collections[0], ax=ax, format=lambda x, _: f"{100 * x:.0f} %", aspect=25, shrink=0.9)
        bar.set_label("share of the top weights found in both")
        bar.ax.tick_params(color=DARK)
        bar.outline.set_edgecolor(MUTED)
        notes = [] if pairs["complete"].all() else ["* The lists have run out: this k cannot be answered exactly."]
        words(figure, heading, [_compared(pairs), _chance(pairs)], title, notes)
    return Drawn(figure, pairs)


def _compared(pairs: pd.DataFrame) -> str:
    k = pairs["k"].iloc[0]
    of = "all weights of each list" if k == "all" else f"the {count(int(k))} highest scores of each metric over all tensors"
    return f"Compared: {of}; share = weights in both / weights compared."


def _chance(pairs: pd.DataFrame) -> str:
    known = pairs["expected_share"].dropna()
    if not len(known):
        return "Chance level: not known, for want of the population."
    low, high = percent(float(known.min())), percent(float(known.max()))
    weights = scientific(float(pairs["expected"].max()))
    span = low if low == high else f"{low} to {high}"
    return f"Chance level: two independent draws would share {span} ({'' if low == high else 'at most '}{weights} weights)."
