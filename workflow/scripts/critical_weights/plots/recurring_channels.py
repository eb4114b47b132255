"""Residual channels whose rows and columns hold selected weights in block after block."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..significance import SIGNIFICANT
from .chosen_selection import choose, selections
from .save import Drawn
from .small_multiples import finish, nothing, panels
from .style import DARK, GREY, LABELS_ONLY, line_styles, new_axes, styled
from .wording import count

MOST = 8
"""Channels drawn of each selection."""
_HEADING = "residual channels with selected weights, by blocks hit"
_COLOUR = next(iter(line_styles(["bar"]).values()))["color"]


def channel_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the channels of each metric's selection that are hit in most blocks.

    Args:
        table: ``structure.csv``.

    Returns:
        ``panel, selection, mode, k, channel, blocks_hit, blocks_expected`` (mean of any one channel, of weights placed
        at random), ``blocks_p`` (that any channel reaches so many by chance), ``weights, weights_expected, weights_p,
        outside_hit, blocks`` (of the model); most blocks first, ties by weights.

    """
    rows = choose(table)
    found = rows[(rows["scope"] == "residual") & rows["index"].notna()]
    keys = ["panel", "selection", "mode", "k", "index"]
    order = {name: place for place, name in enumerate(found["panel"].unique())}
    frame = found.drop_duplicates(keys)[keys].reset_index(drop=True)
    for quantity, columns in (
        ("blocks_hit", {"value": "blocks_hit", "expected": "blocks_expected", "p": "blocks_p"}),
        ("weights", {"value": "weights", "expected": "weights_expected", "p": "weights_p"}),
        ("outside_hit", {"value": "outside_hit"}),
    ):
        part = found[found["quantity"] == quantity].rename(columns=columns)
        frame = frame.merge(part[[*keys, *columns.values()]], on=keys, how="left")
    frame["blocks"] = blocks_of(table)
    frame = frame.rename(columns={"index": "channel"}).astype({"channel": "int64"})
    frame["place"] = frame["panel"].map(order)
    frame = frame.sort_values(["place", "blocks_hit", "weights"], ascending=[True, False, False], kind="stable")
    return frame.groupby("place", sort=False).head(MOST).drop(columns="place").reset_index(drop=True)


def beyond_chance(rows: pd.DataFrame, tests: int) -> pd.Series:
    """Return for each channel whether it is in more blocks than chance explains; an unknown chance level counts so.

    Args:
        rows: of :func:`channel_table`.
        tests: selections that are looked at together; the report's finding divides by their number as well.

    """
    return ~(rows["blocks_p"] >= SIGNIFICANT / tests)


def tests_of(table: pd.DataFrame) -> int:
    """Return in how many selections channels were held against chance, those without a channel to draw included."""
    rows = choose(table)
    own = rows[(rows["scope"] == "residual") & (rows["quantity"] == "channels_hit") & rows["expected"].notna()]
    return max(int(own["panel"].nunique()), 1)


def blocks_of(table: pd.DataFrame) -> int:
    """Return the number of blocks of the model, which follows from any block's place and depth."""
    rows = table[table["depth"] > 0]
    if len(rows):
        return int(np.rint(float(rows["layer"].iloc[0]) / float(rows["depth"].iloc[0]))) + 1
    return int(table["layer"].max()) + 1 if table["layer"].notna().any() else 0


def draw_channels(rows: pd.DataFrame, tests: int = 1, ax: Axes | None = None) -> Axes:
    """Draw a bar a channel: blocks hit, grey where chance explains them, with a mark at one channel's mean by chance.

    Args:
        rows: one panel of :func:`channel_table`.
        tests: see :func:`beyond_chance`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    y = np.arange(len(rows))
    most = max(int(rows["blocks"].iloc[0]), 1)
    colours = np.where(beyond_chance(rows, tests), _COLOUR, GREY)
    ax.barh(y, rows["blocks_hit"], height=0.7, color=colours)
    ax.plot(rows["blocks_expected"], y, "|", color="#E69F00", markersize=8, markeredgewidth=2)
    for place, (blocks, weights) in enumerate(zip(rows["blocks_hit"], rows["weights"], strict=True)):
        ax.text(blocks + 0.02 * most, place, count(int(weights)), va="center", size=7, color=DARK)
    ax.set_yticks(y, [str(channel) for channel in rows["channel"]])
    ax.set_ylim(MOST - 0.5, -0.5)
    step = -(-most // 5)
    ax.set_xticks(range(0, most + 1, step))
    ax.set_xlim(0, most * 1.2)
    ax.tick_params(axis="y", labelsize=7, **LABELS_ONLY)
    ax.grid(True, axis="x")
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where no selected weight touches the residual stream, it says so."""
    rows = channel_table(table)
    names, tests = list(rows["panel"].unique()), tests_of(table)
    if not names:
        return nothing(_HEADING, "No selected weight stands in a row or column of the residual stream.", rows, title)
    with styled():
        made = panels(names, 1.75)
        for place, (ax, name) in enumerate(zip(made.axes, names, strict=True)):
            draw_channels(rows[rows["panel"] == name], tests, ax)
            if made.at_left(place):
                ax.set_ylabel("channel")
            ax.tick_params(labelbottom=made.at_bottom(place))
            if made.at_bottom(place):
                ax.set_xlabel(f"blocks hit (of {int(rows['blocks'].iloc[0])})")
        lines = [f"Of {selections(rows)}; the {MOST} channels in most blocks; behind each bar its number of weights."]
        notes = ["Orange: mean of any one channel if as many weights of each tensor were placed at random."]
        if not beyond_chance(rows, tests).all():
            level = f"{SIGNIFICANT} / {tests} selections" if tests > 1 else f"{SIGNIFICANT}"
            notes.append(f"Grey: by chance some channel reaches as many blocks (p not below {level}).")
        without = [name for name in choose(table)["panel"].unique() if name not in names]
        notes += [f"Without a channel in two blocks: {', '.join(without)}."] if without else []
        return finish(made, rows, _HEADING, lines, title, notes)
