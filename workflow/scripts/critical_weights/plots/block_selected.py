"""Where the selected weights lie: block by component, every selection on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .block_panels import build_panels
from .save import Drawn
from .score_runs import Run, cell_frame, population_of
from .small_multiples import nothing

_EVEN = "perlayer"
"""The ranking mode that takes the same number of every tensor: where its weights lie says nothing."""


def selected_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row a (run, block, component).

    Args:
        runs: the experiments; those that take the same number of every tensor are left out.

    Returns:
        ``panel`` (the run), ``metric, layer`` (empty outside the blocks), ``component``, ``weights``, ``selected``
        (weights), ``value`` (selected / all selected weights of the run).

    """
    columns = ["panel", "metric", "layer", "component", "weights", "selected", "value"]
    frames = [
        cell_frame(run).assign(panel=run.label, metric=run.metric)
        for run in runs
        if run.stats["selection"]["mode"] != _EVEN
    ]
    if not frames:
        return pd.DataFrame(columns=columns)
    table = pd.concat(frames, ignore_index=True)
    table["value"] = table["selected"] / table.groupby("panel")["selected"].transform("sum").clip(lower=1)
    return table[columns]


def build(runs: Sequence[Run], title: str | None = None) -> Drawn:
    """Draw the figure; where every selection takes the same of every tensor, it says so."""
    table = selected_table(runs)
    heading = "share of the selection by block and component"
    left_out = [run.label for run in runs if run.label not in set(table["panel"])]
    if not len(table):
        why = f"Every selection takes the same number of each tensor: {', '.join(left_out)}."
        return nothing(heading, why, table, title)
    lines = [f"Colour: selected weights of a component of a block / all selected weights; of {population_of(runs)}."]
    if left_out:
        lines.append(f"Left out, taking the same number of every tensor: {', '.join(left_out)}.")
    return build_panels(table, heading, "share of the selected weights", lines, title, "none selected")
