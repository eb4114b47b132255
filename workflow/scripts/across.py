"""Make one table over all configured experiments: models, phases, checkpoints, tasks, task_weights or clusters."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from critical_weights.across.checkpoints import checkpoints_table
from critical_weights.across.clusters import clusters_table
from critical_weights.across.models import models_table
from critical_weights.across.phases import phases_table
from critical_weights.across.study import read_study
from critical_weights.across.tasks import task_weights_table, tasks_table
from critical_weights.across.training_runs import from_option
from critical_weights.cli import run_stage
from critical_weights.tables.across import ACROSS_TABLES
from critical_weights.tables.schema import write_table

TABLES = {table.name.removesuffix(".csv"): table for table in ACROSS_TABLES}


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("table", choices=TABLES, help="what to make")
    p.add_argument("--stores", required=True, nargs="+", help="score stores PHASE/MODEL/scores/METRIC.h5, with "
                   "model.json above them")  # fmt: skip
    p.add_argument("--checkpoints", nargs="*", default=[], metavar="RUN:MODEL:STEP",
                   help="models that are checkpoints of one run, the last one last; its step may be empty")  # fmt: skip
    p.add_argument("--output", required=True, help="CSV to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Compare and write."""
    makers = {
        "models": models_table,
        "phases": phases_table,
        "checkpoints": partial(checkpoints_table, checkpoints=[from_option(text) for text in a.checkpoints]),
        "tasks": tasks_table,
        "task_weights": task_weights_table,
        "clusters": clusters_table,
    }
    write_table(makers[a.table](read_study(a.stores)), a.output, TABLES[a.table])


if __name__ == "__main__":
    sys.exit(run_stage("across", parser(), main))
