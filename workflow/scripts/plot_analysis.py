"""Draw figures that compare metrics, from tables of the analysis, as PNG, SVG and the drawn data as CSV."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.plots import ANALYSIS_FIGURES, DPI, plot_analysis
from critical_weights.plots.requests import pairs


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description=__doc__)
    figures = ", ".join(f"{figure} (from {table.name})" for figure, table in ANALYSIS_FIGURES.items())
    command.add_argument("--figure", required=True, nargs="+", metavar="NAME", help=figures)
    command.add_argument("--table", required=True, nargs="+", metavar="FILE.csv",
                         help="the table that each figure is drawn from, one a figure")  # fmt: skip
    command.add_argument("--output", required=True, nargs="+", metavar="FILE.png",
                         help="one a figure; SVG and CSV are written beside it")  # fmt: skip
    command.add_argument("--title", help="what the figures are of, such as model and phase")
    command.add_argument("--dpi", type=int, default=DPI, help="dots an inch of the PNG (default %(default)s)")
    return command


def main(arguments: argparse.Namespace) -> None:
    """Draw the figures."""
    tables = pairs(arguments.figure, arguments.table, "--table")
    for (figure, table), output in pairs(tables, arguments.output, "--output"):
        files = plot_analysis(figure, table, output, arguments.title, arguments.dpi)
        logger("plot_analysis").info("wrote %s", ", ".join(str(file) for file in files))


if __name__ == "__main__":
    sys.exit(run_stage("plot_analysis", parser(), main))
