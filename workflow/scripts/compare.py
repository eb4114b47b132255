"""Compare rankings made elsewhere: overlap with its chance level, and structure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.compare.compare import compare_overlap, list_frames, read_lists
from critical_weights.compare.known_facts import known_facts
from critical_weights.compare.shapes import read_shapes, shapes_of_facts
from critical_weights.errors import ConfigError
from critical_weights.structure.structure import structure_of_lists
from critical_weights.tables.schema import OVERLAP, write_table
from critical_weights.tables.structure import STRUCTURE


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--lists", required=True, nargs="+", metavar="CSV",
                   help="files with the columns parameter, indices, sensitivity_score, rows in any order")  # fmt: skip
    model = p.add_mutually_exclusive_group()
    model.add_argument("--facts", metavar="JSON", help="model.json of the model that the lists are of")
    model.add_argument("--shape", metavar="MODEL", help="or the name of a model whose shapes are known")
    p.add_argument("--overlap", required=True, help="overlap.csv to write")
    p.add_argument("--structure", required=True, help="structure.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Read, compare and write.

    Raises:
        ConfigError: an output is one of the inputs, or both are one file.

    """
    taken = [Path(file).resolve() for file in [*a.lists, *([a.facts] if a.facts else []), a.overlap, a.structure]]
    for output in (a.overlap, a.structure):
        if taken.count(Path(output).resolve()) > 1:
            raise ConfigError(f"{output} is named twice: it would be written over", fix="Name another file to write")
    shapes = read_shapes(a.facts) if a.facts else shapes_of_facts(known_facts(a.shape)) if a.shape else None
    lists, shapes = read_lists(a.lists, shapes)
    write_table(compare_overlap(lists, shapes), a.overlap, OVERLAP)
    write_table(structure_of_lists(list_frames(lists, shapes), shapes.facts), a.structure, STRUCTURE)


if __name__ == "__main__":
    sys.exit(run_stage("compare", parser(), main))
