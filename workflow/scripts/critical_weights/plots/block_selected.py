"""Where the selected weights lie: block by component, every selection on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .block_panels import build_panels
from .cells import cells
from .save import Drawn
from .score_runs import Run, population_of
from .small_multiples import nothing

_EVEN = "perlayer"
"""The ranking mode that takes the same number of every tensor: where its weights lie says nothing."""


class Share(NamedTuple):
    """A component of a block.

    Attributes:
        panel: the run.
        metric: its metric.
        layer: block; None outside.
        component: its name.
        weights: of all its tensors.
        selected: those selected.
        value: selected / all selected weights of the run.

    """

    panel: str
    metric: str
    layer: int | None
    component: str
    weights: int
    selected: int
    value: float


def selected_table(runs: Sequence[Run]) -> list[Share]:
    """Return one row a (run, block, component).

    Args:
        runs: the experiments; those that take the same number of every tensor are left out.

    """
    table = []
    for run in runs:
        if run.stats["selection"]["mode"] == _EVEN:
            continue
        rows = cells(run.stats)
        total = max(sum(row.selected for row in rows), 1)
        table += [Share(run.label, run.metric, row.layer, row.component, row.weights, row.selected,
                        row.selected / total) for row in rows]  # fmt: skip
    return table


def build(runs: Sequence[Run], title: str | None = None) -> Drawn:
    """Draw the figure; where every selection takes the same of every tensor, it says so."""
    table = selected_table(runs)
    heading = "share of the selection by block and component"
    drawn = {row.panel for row in table}
    left_out = [run.label for run in runs if run.label not in drawn]
    if not table:
        why = f"Every selection takes the same number of each tensor: {', '.join(left_out)}."
        return nothing(heading, why, table, title, Share._fields)
    lines = [f"Colour: selected weights of a component of a block / all selected weights; of {population_of(runs)}."]
    if left_out:
        lines.append(f"Left out, taking the same number of every tensor: {', '.join(left_out)}.")
    return build_panels(table, heading, "share of the selected weights", lines, title, "none selected")
