"""Tokens whose rows of the embedding or the head hold the most selected weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from .chosen_selection import choose, selections
from .save import Drawn
from .small_multiples import finish, legend, nothing, panels
from .style import DARK, LABELS_ONLY, line_styles, new_axes, styled
from .wording import short

MOST = 8
"""Tokens drawn of each selection."""
_HEADING = "tokens by their share of the selected weights"


def token_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the tokens that hold most of each metric's selection.

    Args:
        table: ``tokens.csv``.

    Returns:
        ``panel, selection, mode, k, component, row, token, special, unseen, selected, share``; most weights first.

    """
    rows = choose(table)
    columns = ["panel", "selection", "mode", "k", "component", "row", "token", "special", "unseen", "selected", "share"]
    order = {name: place for place, name in enumerate(rows["panel"].unique())}
    rows = rows.assign(place=rows["panel"].map(order))
    rows = rows.sort_values(["place", "selected"], ascending=[True, False], kind="stable")
    return rows.groupby("place", sort=False).head(MOST)[columns].reset_index(drop=True)


def draw_tokens(rows: pd.DataFrame, colours: dict[str, str], most: float, ax: Axes | None = None) -> Axes:
    """Draw a bar a token, by the component that it is a row of; hollow where the texts never have it.

    Args:
        rows: one panel of :func:`token_table`.
        colours: of the components.
        most: the largest share of all panels.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    y = np.arange(len(rows))
    colour = [colours[name] for name in rows["component"]]
    fill = ["white" if unseen else c for unseen, c in zip(rows["unseen"], colour, strict=True)]
    ax.barh(y, rows["share"], height=0.7, color=fill, edgecolor=colour, linewidth=0.8)
    for place, (share, selected) in enumerate(zip(rows["share"], rows["selected"], strict=True)):
        ax.text(share + 0.02 * most, place, f"{int(selected):,}", va="center", size=7, color=DARK)
    ax.set_yticks(y, [spelled(token, row) for token, row in zip(rows["token"], rows["row"], strict=True)])
    ax.set_ylim(MOST - 0.5, -0.5)
    ax.set_xlim(0, most * 1.25)
    ax.locator_params(axis="x", nbins=4)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
    ax.tick_params(axis="y", labelsize=7, **LABELS_ONLY)
    ax.grid(True, axis="x")
    return ax


def spelled(token: str, row: int) -> str:
    """Write a token so that every character can be seen and drawn; its row where it has no spelling."""
    if not isinstance(token, str) or not token:
        return f"row {row}"
    # The font has the Latin letters, and the marks by which tokenizers write a space or a line's end.
    drawn = "".join(c if c.isprintable() and ord(c) < 0x250 else f"\\u{ord(c):04x}" for c in token)
    return short(drawn, 17)


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where no selected weight stands in an embedding or head, it says so."""
    rows = token_table(table)
    names = list(rows["panel"].unique())
    if not names:
        return nothing(_HEADING, "No selected weight stands in a row of an embedding or head.", rows, title)
    components = list(rows["component"].unique())
    colours = {name: look["color"] for name, look in line_styles(components).items()}
    with styled():
        made = panels(names, 1.75, foot=0.3)
        for place, (ax, name) in enumerate(zip(made.axes, names, strict=True)):
            draw_tokens(rows[rows["panel"] == name], colours, float(rows["share"].max()), ax)
            ax.tick_params(labelbottom=made.at_bottom(place))
            if made.at_bottom(place):
                ax.set_xlabel("share of selection")
        handles = [Patch(facecolor=colours[name], label=short(name)) for name in components]
        if rows["unseen"].any():
            handles.append(Patch(facecolor="white", edgecolor=DARK, label="not in the calibration texts"))
        legend(made, handles, [str(handle.get_label()) for handle in handles], len(handles))
        lines = [f"Of {selections(rows)}; the {MOST} tokens with most; behind each bar its number of weights."]
        return finish(made, rows, _HEADING, lines, title)
