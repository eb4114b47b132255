"""Draw one figure that compares metrics, from a table of the analysis, as PNG, SVG and the drawn data as CSV."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.plots import ANALYSIS_FIGURES, DPI, plot_analysis


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description=__doc__)
    figures = ", ".join(f"{figure} (from {table.name})" for figure, table in ANALYSIS_FIGURES.items())
    command.add_argument("--figure", required=True, metavar="NAME", help=figures)
    command.add_argument("--table", required=True, metavar="FILE.csv", help="the table that the figure is drawn from")
    command.add_argument("--output", required=True, metavar="FILE.png", help="SVG and CSV are written beside it")
    command.add_argument("--title", help="what the figure is of, such as model and phase")
    command.add_argument("--dpi", type=int, default=DPI, help="dots an inch of the PNG (default %(default)s)")
    return command


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    files = plot_analysis(arguments.figure, arguments.table, arguments.output, arguments.title, arguments.dpi)
    logger("plot").info("wrote %s", ", ".join(str(file) for file in files))


if __name__ == "__main__":
    sys.exit(run_stage("plot_analysis", parser(), main))
