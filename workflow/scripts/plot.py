"""Draw figures from small result files, as PNG, SVG and the drawn data as CSV."""

from __future__ import annotations

import argparse
import gc
import sys

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.plots import DPI, FIGURES, draw
from critical_weights.plots.requests import requests


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    figures = ", ".join(f"{figure} (from {source})" for figure, source in FIGURES.items())
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--figure", required=True, nargs="+", metavar="NAME", help=figures)
    command.add_argument("--source", required=True, nargs="+", metavar="FILE",
                         help="what they are drawn from: sensitivity_stats.json of the experiments for all figures "
                         "together, or one table a figure")  # fmt: skip
    command.add_argument("--output", required=True, nargs="+", metavar="FILE.png",
                         help="one a figure; SVG and CSV are written beside it")  # fmt: skip
    command.add_argument("--title", help="what the figures are of, such as model and phase")
    command.add_argument("--dpi", type=int, default=DPI, help="dots an inch of the PNG (default %(default)s)")
    return command


def main(arguments: argparse.Namespace) -> None:
    """Draw the figures."""
    # A figure is tens of thousands of objects, all in use until it is saved: looking for garbage is a twelfth of the
    # time, and this process ends after a few figures.
    gc.disable()
    for figure, sources, output in requests(arguments.figure, arguments.source, arguments.output):
        files = draw(figure, sources, output, arguments.title, arguments.dpi)
        logger("plot").info("wrote %s", ", ".join(str(file) for file in files))


if __name__ == "__main__":
    sys.exit(run_stage("plot", parser(), main))
