"""Tell where the selected weights of one phase and model lie: lines, components, blocks, channels, neurons, tokens."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json
from critical_weights.structure.selections import selections_of
from critical_weights.structure.structure import structure_table
from critical_weights.structure.tokens_table import tokens_table
from critical_weights.tables.schema import write_table
from critical_weights.tables.structure import STRUCTURE, TOKENS
from critical_weights.texts.tokens_file import read_tokens


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rankings", nargs="*", default=[], help="top_weights.csv of run folders")
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--facts", required=True, help="model.json of the same model")
    p.add_argument("--tokens", required=True, help="tokens.json of the same phase and model")
    p.add_argument("--output", required=True, help="structure.csv to write")
    p.add_argument("--tokens-output", required=True, help="tokens.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Describe and write."""
    facts = read_json(a.facts)
    selections = list(selections_of(a.rankings, a.stores, facts))
    write_table(structure_table(selections, facts), a.output, STRUCTURE)
    write_table(tokens_table(selections, facts, read_tokens(a.tokens)), a.tokens_output, TOKENS)


if __name__ == "__main__":
    sys.exit(run_stage("structure", parser(), main))
