"""Compare the top scores of each store with those that leave the first position of every text out."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json
from critical_weights.structure.first_position import first_position_table
from critical_weights.tables.schema import write_table
from critical_weights.tables.structure import FIRST_POSITION
from critical_weights.texts.tokens_file import read_tokens


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--facts", required=True, help="model.json of the same model")
    p.add_argument("--tokens", required=True, help="tokens.json, for the tokens of embedding and head rows")
    p.add_argument("--output", required=True, help="first_position.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Compare and write."""
    table = first_position_table(a.stores, read_json(a.facts), read_tokens(a.tokens)["vocabulary"])
    write_table(table, a.output, FIRST_POSITION)


if __name__ == "__main__":
    sys.exit(run_stage("first_position", parser(), main))
