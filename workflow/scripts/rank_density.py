"""Count the weights of all pairs of score stores of one phase and model by their places in both rankings."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.overlap.rank_density import rank_density_table
from critical_weights.tables.ranks import RANK_DENSITY
from critical_weights.tables.schema import write_table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--output", required=True, help="rank_density.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Count and write."""
    write_table(rank_density_table(a.stores), a.output, RANK_DENSITY)


if __name__ == "__main__":
    sys.exit(run_stage("rank_density", parser(), main))
