"""Where single weights stand out from their tensor: block by component, every metric on one scale."""

from __future__ import annotations

from collections.abc import Sequence

from .block_means import relative_cells
from .block_panels import build_panels
from .save import Drawn
from .score_runs import Run, population_of


def build(runs: Sequence[Run], title: str | None = None) -> Drawn:
    """Draw the figure."""
    lines = [f"Colour: largest score of a component of a block / its own mean score; {population_of(runs)}."]
    return build_panels(
        relative_cells(runs, "peak"), "highest over mean score by block and component",
        "highest score / mean score", lines, title, "all scores are 0",
    )  # fmt: skip
