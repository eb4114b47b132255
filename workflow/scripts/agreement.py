"""Tell how far the metrics of one phase and model rank and score alike: rank-biased overlap, correlations."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.overlap.agreement import agreement_table
from critical_weights.tables.agreement import AGREEMENT
from critical_weights.tables.schema import write_table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--output", required=True, help="agreement.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Compare and write."""
    write_table(agreement_table(a.stores), a.output, AGREEMENT)


if __name__ == "__main__":
    sys.exit(run_stage("agreement", parser(), main))
