"""Write the report over models and phases, from the reports on each of them and the tables over all experiments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.report.study import write_study_report
from critical_weights.run_manifest import experiment_of


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="results", help="results folder (default %(default)s)")
    p.add_argument("--experiments", required=True, help="phase/model/run by comma, in the order of the report")
    p.add_argument("--output-dir", help="folder to write to (default ROOT/report)")
    return p


def main(a: argparse.Namespace) -> None:
    """Gather the facts and write the seven files."""
    experiments = [experiment_of(path) for path in a.experiments.split(",") if path]
    output = Path(a.output_dir or Path(a.root, "report"))
    write_study_report(a.root, experiments, output)
    logger("report_study").info("the report over models and phases is in %s", output / "report.html")


if __name__ == "__main__":
    sys.exit(run_stage("report_study", parser(), main))
