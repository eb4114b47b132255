"""Join the super weights that were found or published with their places in every metric's ranking."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json
from critical_weights.superweights.join import superweights_table
from critical_weights.tables.schema import write_table
from critical_weights.tables.superweights import SUPERWEIGHTS


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--spikes", required=True, help="spikes.json")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--stores", nargs="*", default=[], help="score stores, one a metric")
    p.add_argument("--output", required=True, help="superweights.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Join and write."""
    write_table(superweights_table(read_json(a.spikes), read_json(a.facts), a.stores), a.output, SUPERWEIGHTS)


if __name__ == "__main__":
    sys.exit(run_stage("superweights", parser(), main))
