"""The figures: each drawn from small tables, never from a model or a score store.

A figure's module has a function that turns the table into a tidy one of what is drawn, a drawing function for each
panel (``ax=None``, returns the Axes) and ``build``, which puts the panels together. Names can be read from here
without importing matplotlib. Several figures can be drawn by one process: importing takes longer than drawing one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigError, unknown
from ..tables.interventions import INTERVENTIONS_TABLE
from ..tables.ranks import RANK_DENSITY
from ..tables.rows import read_rows
from ..tables.schema import CONCENTRATION, OVERLAP, Table, read_table
from ..tables.stability import STABILITY
from ..tables.structure import FIRST_POSITION, STRUCTURE, TOKENS
from ..tables.superweights import SPIKE_PROFILE
from .library import import_matplotlib

RUN_FIGURES = ("layer_comparison", "sensitivity_distribution", "sensitivity_heatmap")
"""Figures of one experiment, drawn from its ``sensitivity_stats.json``."""

SCORE_FIGURES = ("survival_curves", "block_means", "block_peaks", "block_selected", "layer_profile")
"""Figures that set all metrics of one phase and model side by side, drawn from the ``sensitivity_stats.json`` of its
experiments."""

ANALYSIS_FIGURES: dict[str, Table] = {
    "overlap_matrix": OVERLAP,
    "overlap_by_k": OVERLAP,
    "rank_density": RANK_DENSITY,
    "lorenz_curves": CONCENTRATION,
    "recurring_channels": STRUCTURE,
    "top_tokens": TOKENS,
    "first_position_effect": FIRST_POSITION,
    "stability_by_k": STABILITY,
    "spikes_by_block": SPIKE_PROFILE,
}
"""Figures over the metrics of one phase and model, with the table that each is drawn from."""

INTERVENTION_FIGURES: dict[str, Table] = {"dose_response": INTERVENTIONS_TABLE}
"""Figures of what interventions did, likewise."""

TABLE_FIGURES = ANALYSIS_FIGURES | INTERVENTION_FIGURES
"""Every figure that is drawn from a table."""

OF_ROWS = ("stability_by_k", "spikes_by_block", "dose_response")
"""Those drawn from a few hundred rows at most, without pandas."""

STATS = "sensitivity_stats.json"
FIGURES: dict[str, str] = {
    **dict.fromkeys((*RUN_FIGURES, *SCORE_FIGURES), STATS),
    **{figure: table.name for figure, table in TABLE_FIGURES.items()},
}
"""Every figure but that of the times, with the name of the file, or files, that it is drawn from."""

DPI = 150
"""Dots an inch of a PNG, unless told otherwise."""


def draw(
    figure: str, sources: Sequence[str | Path], output: str | Path, title: str | None = None, dpi: int = DPI
) -> list[Path]:
    """Draw one figure.

    Args:
        figure: one of :data:`FIGURES`.
        sources: the files that it is drawn from: ``sensitivity_stats.json`` of one experiment for
            :data:`RUN_FIGURES`, of several, each in its run folder, for :data:`SCORE_FIGURES`; one table for others.
        output: the PNG; SVG and CSV are written beside it.
        title: what the figure is of (model, phase); only what is given is said.
        dpi: dots an inch of the PNG.

    Returns:
        The files written.

    Raises:
        ConfigError: the figure is unknown, there are more or fewer sources than it is drawn from, or ``output`` is no
            PNG.
        TableError: a source is of another schema.

    """
    if figure not in FIGURES:
        raise unknown("figure", figure, FIGURES)
    if figure not in SCORE_FIGURES and len(sources) != 1:
        raise ConfigError(f"{figure} is drawn from one file", got=f"{len(sources)}", expected=FIGURES[figure])
    import_matplotlib()
    from .save import check_output, save
    from .style import styled

    output = check_output(output)
    with styled():
        return save(_module(figure).build(_read(figure, sources), title), output, dpi)


def draw_times(recorded: Mapping[str, Any], title: str | None = None, dpi: int = DPI) -> bytes:
    """Draw how long the stages took, as a PNG for a report's section on times: no file of its own may hold times.

    Args:
        recorded: what the report's facts hold under ``times``.
        title: what the figure is of (model, phase).
        dpi: dots an inch.

    """
    import_matplotlib()
    from .save import png
    from .style import styled

    with styled():
        return png(_module("stage_times").build(recorded, title), dpi)


def _read(figure: str, sources: Sequence[str | Path]) -> Any:
    if figure in OF_ROWS:
        return read_rows(sources[0], TABLE_FIGURES[figure])
    if figure in TABLE_FIGURES:
        return read_table(sources[0], TABLE_FIGURES[figure])
    if figure in SCORE_FIGURES:
        from .score_runs import read_runs

        return read_runs(sources)
    from .stats_file import read_stats

    return read_stats(sources[0])


def _module(figure: str) -> ModuleType:
    return import_module(f".{figure}", __name__)
