"""The largest input and output of each block's down_proj: a super weight stands out as a spike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..tables.rows import grouped, unique
from .save import Drawn
from .small_multiples import block_ticks, finish, legend, legend_inches, nothing, on_log_axis, options, panels
from .style import MUTED, line_styles, log_axis, new_axes, styled
from .wording import count

_HEADING = "largest activations of the MLP's down_proj by block"
_SIDES = ("input", "output")


class Side(NamedTuple):
    """What goes into, or comes out of, a block's down_proj.

    Attributes:
        round: of the detection, from 1.
        layer: block.
        side: input or output.
        max: the largest activation.
        median: over tokens, of each one's largest.
        channel: of the largest.
        texts: run.
        tokens: run.

    """

    round: int
    layer: int
    side: str
    max: float
    median: float
    channel: int
    texts: int
    tokens: int


def spike_table(table: Sequence[Any]) -> list[Side]:
    """Return what is drawn, inputs first.

    Args:
        table: rows of ``spike_profile.csv``.

    """
    inputs = [Side(r.round, r.layer, "input", r.max_input, r.median_input, r.input_col, r.texts, r.tokens)
              for r in table]  # fmt: skip
    outputs = [Side(r.round, r.layer, "output", r.max_output, r.median_output, r.output_row, r.texts, r.tokens)
               for r in table]  # fmt: skip
    return inputs + outputs


def draw_side(rows: Sequence[Side], ax: Axes | None = None) -> Axes:
    """Draw the largest activation over depth, a line a round, log y; the first round's median in grey.

    Args:
        rows: one side of :func:`spike_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    rounds = grouped(rows, lambda row: row.round)
    styles = line_styles(str(number) for number in rounds)
    for number, line in rounds.items():
        line.sort(key=lambda row: row.layer)
        ax.plot([row.layer for row in line], on_log_axis(row.max for row in line), **options(**styles[str(number)]))
    first = rounds[min(rounds)]
    ax.plot([row.layer for row in first], on_log_axis(row.median for row in first), color=MUTED, linewidth=1,
            linestyle=(0, (3, 2)))  # fmt: skip
    layers = [row.layer for row in rows]
    block_ticks(ax, min(layers), max(layers))
    log_axis(ax.yaxis, 5)
    ax.grid(True)
    ax.set_xlabel("transformer block")
    return ax


def build(table: Sequence[Any], title: str | None = None) -> Drawn:
    """Draw the figure: inputs at the left, outputs at the right."""
    rows = spike_table(table)
    if not rows:
        why = "No block has a down_proj whose activations were looked at."
        return nothing(_HEADING, why, rows, title, Side._fields)
    rounds = [str(number) for number in unique(row.round for row in rows)]
    with styled():
        made = panels(
            [f"largest abs({side})" for side in _SIDES], 2.6, columns=2, foot=legend_inches(len(rounds) + 1, 3)
        )
        for ax, side in zip(made.axes, _SIDES, strict=True):
            draw_side([row for row in rows if row.side == side], ax)
        made.axes[0].set_ylabel("activation")
        handles = [Line2D([], [], **options(**look)) for look in line_styles(rounds).values()]
        labels = ["the model as it is" if n == "1" else f"round {n}" for n in rounds]
        handles.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (3, 2))))
        legend(made, handles, [*labels, "median over tokens, as it is"], 3)
        lines = [f"Over {count(rows[0].tokens, 'token')} of {count(rows[0].texts, 'text')}; each point: "
                 "the largest of all tokens and channels."]  # fmt: skip
        later = len(rounds) > 1
        notes = ["From round 2 on: with the weights that the rounds before found set to 0."] if later else []
        return finish(made, rows, _HEADING, lines, title, notes)
