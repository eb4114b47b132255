"""Record the stored bits of a model's critical weights, and check later checkpoints against them.

Exit status of check: 0 all are the same, 4 any differs or is missing, 1 a mistake such as another model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.files import read_json, write_json
from critical_weights.log import logger
from critical_weights.ranking.export import read_selection
from critical_weights.validation.baseline import read_baseline
from critical_weights.validation.monitor import Comparison, compare_with_baseline, record_baseline

EXIT_DIFFERENT = 4
COLUMNS = ("tensor", "indices", "before", "after", "changed bits")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="write the baseline of a selection")
    record.add_argument("source", metavar="RUN|CSV|SELECTION", help="run folder, CSV list, or selection.safetensors")
    record.add_argument("folder", metavar="MODEL_FOLDER", help="the folder of the scored model")
    record.add_argument("--facts", metavar="JSON", help="model.json (default: the one beside the run folder)")
    record.add_argument("--output", metavar="FILE", required=True, help="baseline to write, JSON")
    check = commands.add_parser("check", help="compare a checkpoint with a baseline")
    check.add_argument("baseline", metavar="BASELINE", help="what record wrote")
    check.add_argument("folder", metavar="MODEL_FOLDER", help="a checkpoint of the same model")
    check.add_argument("--show", type=int, default=20, help="rows to print at most (default %(default)s)")
    for command in (record, check):
        # The same two as every stage has, so that they may stand behind the command too.
        command.add_argument(
            "--log", metavar="FILE", default=argparse.SUPPRESS, help="also write log lines to this file"
        )
        command.add_argument("--label", default=argparse.SUPPRESS, help="shown at the head of each log line")
    return p


def main(a: argparse.Namespace) -> None:
    """Run the command; a checkpoint that differs ends with status 4."""
    if a.command == "record":
        write_json(a.output, record_baseline(read_selection(a.source, a.facts), _facts(a), a.folder))
        return
    comparison = compare_with_baseline(read_baseline(a.baseline), a.folder)
    _print(comparison, max(a.show, 0))
    if not comparison.same:
        raise SystemExit(EXIT_DIFFERENT)
    logger("monitor").info("all %d critical weights are the same, bit by bit", comparison.compared)


def _facts(a: argparse.Namespace) -> dict:
    source = Path(a.source)
    facts = Path(a.facts) if a.facts else (source if source.is_dir() else source.parent).parent / "model.json"
    if not facts.is_file():
        raise ConfigError(f"there is no {facts}, which tells what the model's files are", fix="Name one with --facts")
    return read_json(facts)


def _print(comparison: Comparison, show: int) -> None:
    """Print the differing weights as a table, and a line for each tensor that could not be compared."""
    for fault in comparison.faults:
        print(fault)
    if comparison.changes:
        rows = [COLUMNS, *(change.cells for change in comparison.changes[:show])]
        widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not comparison.same:
        more = f", the first {show} shown" if len(comparison.changes) > show else ""
        faults = f"{len(comparison.faults)} tensors could not be compared"
        differ = f"{len(comparison.changes)} of {comparison.compared} critical weights differ{more}; "
        print((differ if comparison.compared else "nothing was compared: ") + faults)


if __name__ == "__main__":
    sys.exit(run_stage("monitor", parser(), main))
