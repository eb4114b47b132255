"""Compare the first weights, rows, columns and neurons of all pairs of score stores of one phase and model."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.overlap.lines import overlap_of_stores
from critical_weights.tables.schema import OVERLAP, write_table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--output", required=True, help="overlap.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Compare and write."""
    write_table(overlap_of_stores(a.stores), a.output, OVERLAP)


if __name__ == "__main__":
    sys.exit(run_stage("overlap", parser(), main))
