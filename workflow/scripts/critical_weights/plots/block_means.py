"""Which parts of the model score high on average: block by component, every metric on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .block_panels import build_panels
from .save import Drawn
from .score_runs import Run, by_metric, cell_frame, population_of


def relative_cells(runs: Sequence[Run], value: str) -> pd.DataFrame:
    """Return one row a (metric, block, component).

    Args:
        runs: the experiments; the first of each metric is read.
        value: ``mean``: the cell's mean score / the metric's mean over all weights; ``peak``: the cell's largest score
            / its own mean.

    Returns:
        ``panel`` (the metric), ``layer`` (empty outside the blocks), ``component``, ``weights``, ``mean``, ``max``
        (units of the metric), ``value`` (a ratio; 0 where every score is 0).

    """
    frames = []
    for metric, run in by_metric(runs).items():
        rows = cell_frame(run)
        over = (rows["mean"] * rows["weights"]).sum() / rows["weights"].sum() if value == "mean" else rows["mean"]
        rows["value"] = (rows["mean" if value == "mean" else "max"] / over).fillna(0.0)
        frames.append(rows.assign(panel=metric))
    table = pd.concat(frames, ignore_index=True)
    return table[["panel", "layer", "component", "weights", "mean", "max", "value"]]


def build(runs: Sequence[Run], title: str | None = None) -> Drawn:
    """Draw the figure."""
    lines = [f"Colour: mean score of a component of a block / mean over all weights; {population_of(runs)}."]
    table = relative_cells(runs, "mean")
    scale = ", all metrics on one scale" if table["panel"].nunique() > 1 else ""
    return build_panels(
        table, f"mean score by block and component{scale}",
        "mean score / the metric's mean over all weights", lines, title, "all scores are 0",
    )  # fmt: skip
