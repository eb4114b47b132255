"""Write the report on one phase and model: Markdown, one HTML file and JSON, from its small result files only."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.log import logger
from critical_weights.report import write_report
from critical_weights.run_manifest import experiment_of


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="results", help="results folder (default %(default)s)")
    p.add_argument("--phase", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--experiments", required=True, help="run folders by comma, in the order of the report")
    p.add_argument("--without-interventions", action="store_true", help="leave out those of an earlier run")
    p.add_argument("--output-dir", help="folder to write to (default ROOT/PHASE/MODEL/report)")
    return p


def main(a: argparse.Namespace) -> None:
    """Gather the facts and write the report's files."""
    # Nearly all that is read stays in use until the page is written: looking for garbage takes an eighth of the time
    # and frees nothing.
    gc.disable()
    names = [name for name in a.experiments.split(",") if name]
    experiments = [experiment_of(f"{a.phase}/{a.model}/{name}") for name in names]
    output = Path(a.output_dir or Path(a.root, a.phase, a.model, "report"))
    write_report(a.root, a.phase, a.model, experiments, output, interventions=not a.without_interventions)
    logger("report").info("the report is in %s", output / "report.html")


if __name__ == "__main__":
    sys.exit(run_stage("report", parser(), main))
