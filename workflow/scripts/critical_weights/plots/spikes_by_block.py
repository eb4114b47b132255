"""The largest input and output of each block's down_proj: a super weight stands out as a spike."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .save import Drawn
from .small_multiples import block_ticks, finish, legend, legend_inches, nothing, options, panels
from .style import MUTED, line_styles, log_axis, new_axes, styled
from .wording import count

_HEADING = "largest activations of the MLP's down_proj by block"
_SIDES = ("input", "output")


def spike_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn, a row a (round, block, side).

    Args:
        table: ``spike_profile.csv``.

    Returns:
        ``round, layer, side`` (input or output), ``max`` and ``median`` (activation), ``channel`` (of the largest),
        ``texts, tokens``.

    """
    frames = []
    for side, channel in zip(_SIDES, ("input_col", "output_row"), strict=True):
        names = {f"max_{side}": "max", f"median_{side}": "median", channel: "channel"}
        rows = table.rename(columns=names).assign(side=side)
        frames.append(rows[["round", "layer", "side", "max", "median", "channel", "texts", "tokens"]])
    return pd.concat(frames, ignore_index=True)


def draw_side(rows: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the largest activation over depth, a line a round, log y; the first round's median in grey.

    Args:
        rows: one side of :func:`spike_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    styles = line_styles(str(number) for number in rows["round"].unique())
    for number, line in rows.groupby("round", sort=False):
        line = line.sort_values("layer")
        ax.plot(line["layer"], line["max"].where(line["max"] > 0), **options(**styles[str(number)]))
    median = rows[rows["round"] == rows["round"].min()].sort_values("layer")
    ax.plot(median["layer"], median["median"].where(median["median"] > 0), color=MUTED, linewidth=1,
            linestyle=(0, (3, 2)))  # fmt: skip
    block_ticks(ax, int(rows["layer"].min()), int(rows["layer"].max()))
    log_axis(ax.yaxis, 5)
    ax.grid(True)
    ax.set_xlabel("transformer block")
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure: inputs at the left, outputs at the right."""
    rows = spike_table(table)
    if not len(rows):
        return nothing(_HEADING, "No block has a down_proj whose activations were looked at.", rows, title)
    rounds = [str(number) for number in rows["round"].unique()]
    with styled():
        made = panels(
            [f"largest abs({side})" for side in _SIDES], 2.6, columns=2, foot=legend_inches(len(rounds) + 1, 3)
        )
        for ax, side in zip(made.axes, _SIDES, strict=True):
            draw_side(rows[rows["side"] == side], ax)
        made.axes[0].set_ylabel("activation")
        handles = [Line2D([], [], **options(**look)) for look in line_styles(rounds).values()]
        labels = ["the model as it is" if n == "1" else f"round {n}" for n in rounds]
        handles.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (3, 2))))
        legend(made, handles, [*labels, "median over tokens, as it is"], 3)
        first = table.iloc[0]
        lines = [f"Over {count(int(first['tokens']), 'token')} of {count(int(first['texts']), 'text')}; each point: "
                 "the largest of all tokens and channels."]  # fmt: skip
        later = len(rounds) > 1
        notes = ["From round 2 on: with the weights that the rounds before found set to 0."] if later else []
        return finish(made, rows, _HEADING, lines, title, notes)
