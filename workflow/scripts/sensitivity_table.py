"""Sum the scores of each store by tensor, block, expert, attention head and group of 128 columns."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json
from critical_weights.structure.sensitivity_table import sensitivity_table
from critical_weights.tables.schema import write_table
from critical_weights.tables.structure import SENSITIVITY


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--facts", required=True, help="model.json of the same model")
    p.add_argument("--output", required=True, help="sensitivity_table.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Sum and write."""
    write_table(sensitivity_table(a.stores, read_json(a.facts)), a.output, SENSITIVITY)


if __name__ == "__main__":
    sys.exit(run_stage("sensitivity_table", parser(), main))
