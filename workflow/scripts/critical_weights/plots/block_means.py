"""Which parts of the model score high on average: block by component, every metric on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .block_panels import build_panels
from .cells import cells
from .save import Drawn
from .score_runs import Run, by_metric, population_of


class Ratio(NamedTuple):
    """A component of a block.

    Attributes:
        panel: the metric.
        layer: block; None outside.
        component: its name.
        weights: of all its tensors.
        mean: score over all its weights, units of the metric.
        max: likewise.
        value: what is drawn; 0 where every score is 0.

    """

    panel: str
    layer: int | None
    component: str
    weights: int
    mean: float
    max: float
    value: float


def relative_cells(runs: Sequence[Run], value: str) -> list[Ratio]:
    """Return one row a (metric, block, component).

    Args:
        runs: the experiments; the first of each metric is read.
        value: ``mean``: the cell's mean score / the metric's mean over all weights; ``peak``: the cell's largest score
            / its own mean.

    """
    table = []
    for metric, run in by_metric(runs).items():
        rows = cells(run.stats)
        total = math.fsum(row.mean * row.weights for row in rows)
        overall = total / max(sum(row.weights for row in rows), 1)
        for row in rows:
            above, below = (row.mean, overall) if value == "mean" else (row.max, row.mean)
            ratio = above / below if below else 0.0
            table.append(Ratio(metric, row.layer, row.component, row.weights, row.mean, row.max, ratio))
    return table


def build(runs: Sequence[Run], title: str | None = None) -> Drawn:
    """Draw the figure."""
    lines = [f"Colour: mean score of a component of a block / mean over all weights; {population_of(runs)}."]
    table = relative_cells(runs, "mean")
    scale = ", all metrics on one scale" if len({row.panel for row in table}) > 1 else ""
    return build_panels(
        table, f"mean score by block and component{scale}",
        "mean score / the metric's mean over all weights", lines, title, "all scores are 0",
    )  # fmt: skip
