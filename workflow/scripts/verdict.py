"""Tell which metric to trust on a model, from the tables of its validation; no model is needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.tables.interventions import (
    INTERVENTIONS_TABLE,
    SINGLE_SCORES,
    SINGLE_WEIGHTS,
    TEXTS_TABLE,
    VERDICT,
)
from critical_weights.tables.schema import read_table, write_table
from critical_weights.validation.verdict import verdict_table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--folder", required=True, help="of the validation's tables")
    p.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    p.add_argument("--seed", type=int, default=42, help="of the draws")
    p.add_argument("--output", required=True, help="verdict.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Read the tables, judge, write."""
    tables = (INTERVENTIONS_TABLE, TEXTS_TABLE, SINGLE_WEIGHTS, SINGLE_SCORES)
    verdict = verdict_table(*(read_table(Path(a.folder) / t.name, t) for t in tables), draws=a.draws, seed=a.seed)
    write_table(verdict, a.output, VERDICT)
    for row in verdict.itertuples():
        logger("verdict").info("%d. %s %s: %s", row.trust, row.metric, row.mode, row.verdict)


if __name__ == "__main__":
    sys.exit(run_stage("verdict", parser(), main))
