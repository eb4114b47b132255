"""Draw figures that set the metrics of several experiments side by side, as PNG, SVG and the drawn data as CSV."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.plots import DPI, SCORE_FIGURES, plot_scores
from critical_weights.plots.requests import pairs


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--figure", required=True, nargs="+", metavar="NAME", help=", ".join(SCORE_FIGURES))
    command.add_argument("--stats", required=True, nargs="+", metavar="FILE",
                         help="the experiments' sensitivity_stats.json")  # fmt: skip
    command.add_argument("--output", required=True, nargs="+", metavar="FILE.png",
                         help="one a figure; SVG and CSV are written beside it")  # fmt: skip
    command.add_argument("--title", help="what the figures are of, such as model and phase")
    command.add_argument("--dpi", type=int, default=DPI, help="dots an inch of the PNG (default %(default)s)")
    return command


def main(arguments: argparse.Namespace) -> None:
    """Draw the figures."""
    for figure, output in pairs(arguments.figure, arguments.output, "--output"):
        files = plot_scores(figure, arguments.stats, output, arguments.title, arguments.dpi)
        logger("plot_scores").info("wrote %s", ", ".join(str(file) for file in files))


if __name__ == "__main__":
    sys.exit(run_stage("plot_scores", parser(), main))
