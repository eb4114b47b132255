"""The figures: each drawn from small tables, never from a model or a score store.

A figure's module has a function that turns the table into a tidy one of what is drawn, a drawing function for each
panel (``ax=None``, returns the Axes) and ``build``, which puts the panels together. Names can be read from here
without importing matplotlib. Several figures can be drawn by one process: importing takes longer than drawing one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import unknown
from ..tables import CONCENTRATION, OVERLAP, Table, read_table
from ..tables_interventions import INTERVENTIONS_TABLE
from ..tables_ranks import RANK_DENSITY
from ..tables_stability import STABILITY
from ..tables_structure import FIRST_POSITION, STRUCTURE, TOKENS
from ..tables_superweights import SPIKE_PROFILE

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

DPI = 150
"""Dots an inch of a PNG, unless told otherwise."""


def plot_run(
    figure: str, stats: str | Path, output: str | Path, title: str | None = None, dpi: int = DPI
) -> list[Path]:
    """Draw one figure of an experiment.

    Args:
        figure: one of :data:`RUN_FIGURES`.
        stats: the experiment's ``sensitivity_stats.json``.
        output: the PNG; SVG and CSV are written beside it.
        title: what the figure is of (model, phase); only what is given is said.
        dpi: dots an inch of the PNG.

    Returns:
        The files written.

    Raises:
        ConfigError: the figure is unknown, or ``output`` is no PNG.

    """
    build = _build(figure, RUN_FIGURES)
    from .save import check_output, save
    from .stats_file import read_stats

    output = check_output(output)
    return save(build(read_stats(stats), title), output, dpi)


def plot_scores(
    figure: str, stats: Sequence[str | Path], output: str | Path, title: str | None = None, dpi: int = DPI
) -> list[Path]:
    """Draw one figure that sets the metrics of several experiments side by side.

    Args:
        figure: one of :data:`SCORE_FIGURES`.
        stats: the experiments' ``sensitivity_stats.json``, each in its run folder.
        output: the PNG; SVG and CSV are written beside it.
        title: what the figure is of (model, phase); only what is given is said.
        dpi: dots an inch of the PNG.

    Returns:
        The files written.

    Raises:
        ConfigError: the figure is unknown, or ``output`` is no PNG.

    """
    build = _build(figure, SCORE_FIGURES)
    from .save import check_output, save
    from .score_runs import read_runs

    output = check_output(output)
    return save(build(read_runs(stats), title), output, dpi)


def plot_analysis(
    figure: str, table: str | Path, output: str | Path, title: str | None = None, dpi: int = DPI
) -> list[Path]:
    """Draw one figure that compares metrics.

    Args:
        figure: one of :data:`ANALYSIS_FIGURES` or :data:`INTERVENTION_FIGURES`.
        table: the table that the figure is drawn from.
        output: the PNG; SVG and CSV are written beside it.
        title: what the figure is of (model, phase); only what is given is said.
        dpi: dots an inch of the PNG.

    Returns:
        The files written.

    Raises:
        ConfigError: the figure is unknown, or ``output`` is no PNG.

    """
    known = ANALYSIS_FIGURES | INTERVENTION_FIGURES
    build = _build(figure, known)
    from .save import check_output, save

    output = check_output(output)
    return save(build(read_table(table, known[figure]), title), output, dpi)


def plot_times(recorded: Mapping[str, Any], output: str | Path, title: str | None = None, dpi: int = DPI) -> list[Path]:
    """Draw how long the stages took, for the report's section on times.

    Args:
        recorded: what the report's facts hold under ``times``.
        output: the PNG; SVG and CSV are written beside it.
        title: what the figure is of (model, phase).
        dpi: dots an inch of the PNG.

    Returns:
        The files written.

    """
    from . import stage_times
    from .save import check_output, save

    return save(stage_times.build(recorded, title), check_output(output), dpi)


def _build(figure: str, known: Collection[str]) -> Callable[..., Any]:
    if figure not in known:
        raise unknown("figure", figure, known)
    return import_module(f".{figure}", __name__).build
