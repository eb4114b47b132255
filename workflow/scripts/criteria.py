"""Judge the declared criteria on the tables of one phase and model, or on those over all of them."""

from __future__ import annotations

import argparse
import json
import sys

from critical_weights.cli import run_stage
from critical_weights.criteria.config import list_errors
from critical_weights.criteria.judge import criteria_table
from critical_weights.criteria.tables import KNOWN
from critical_weights.errors import ConfigError, unknown
from critical_weights.tables.criteria import CRITERIA
from critical_weights.tables.schema import write_table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--criteria", required=True, metavar="JSON", help="list of criteria, as config/README.md tells")
    p.add_argument("--tables", nargs="*", default=[], metavar="NAME=FILE", help="the tables that they are about")
    p.add_argument("--output", required=True, help="criteria.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Judge and write."""
    try:
        criteria = json.loads(a.criteria)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--criteria is no JSON ({error})") from error
    if errors := list_errors(criteria):
        raise ConfigError(" ".join(map(str, errors)))
    wrong = [text for text in a.tables if "=" not in text]
    if wrong:
        raise ConfigError(f"--tables: got {wrong[0]}", expected="NAME=FILE")
    tables = dict(text.split("=", 1) for text in a.tables)
    if other := [name for name in tables if name not in KNOWN]:
        raise unknown("table", other[0], KNOWN)
    write_table(criteria_table(criteria, tables), a.output, CRITERIA)


if __name__ == "__main__":
    sys.exit(run_stage("criteria", parser(), main))
