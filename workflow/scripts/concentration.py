"""Tell how concentrated the scores of each store are: Gini, shares of the top, Lorenz curve, shares by place."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.concentration.concentration import concentration_table
from critical_weights.tables.schema import CONCENTRATION, write_table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--output", required=True, help="concentration.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Measure and write."""
    write_table(concentration_table(a.stores), a.output, CONCENTRATION)


if __name__ == "__main__":
    sys.exit(run_stage("concentration", parser(), main))
