"""The figures: each drawn from one small table, never from a model or a score store.

A figure's module has a function that turns the table into a tidy one of what is drawn, a drawing function for each
panel (``ax=None``, returns the Axes) and ``build``, which puts the panels together. Names can be read from here
without importing matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import unknown
from ..tables import CONCENTRATION, OVERLAP, Table, read_table

RUN_FIGURES = ("layer_comparison", "sensitivity_distribution", "sensitivity_heatmap")
"""Figures of one experiment, drawn from its ``sensitivity_stats.json``."""

ANALYSIS_FIGURES: dict[str, Table] = {"overlap_matrix": OVERLAP, "lorenz_curves": CONCENTRATION}
"""Figures over the metrics of one phase and model, with the table that each is drawn from."""

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


def plot_analysis(
    figure: str, table: str | Path, output: str | Path, title: str | None = None, dpi: int = DPI
) -> list[Path]:
    """Draw one figure that compares metrics.

    Args:
        figure: one of :data:`ANALYSIS_FIGURES`.
        table: ``overlap.csv`` or ``concentration.csv``, as the figure needs.
        output: the PNG; SVG and CSV are written beside it.
        title: what the figure is of (model, phase); only what is given is said.
        dpi: dots an inch of the PNG.

    Returns:
        The files written.

    Raises:
        ConfigError: the figure is unknown, or ``output`` is no PNG.

    """
    build = _build(figure, ANALYSIS_FIGURES)
    from .save import check_output, save

    output = check_output(output)
    return save(build(read_table(table, ANALYSIS_FIGURES[figure]), title), output, dpi)


def _build(figure: str, known: Collection[str]) -> Callable[..., Any]:
    if figure not in known:
        raise unknown("figure", figure, known)
    return import_module(f".{figure}", __name__).build
