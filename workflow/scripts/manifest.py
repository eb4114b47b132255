"""Write the manifest of one experiment: what it was made from, with and how fast. Written last, it means complete."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.run_manifest import experiment_of, write_run_manifest
from critical_weights.run_times import parse_benchmarks


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--run", required=True, metavar="FOLDER", help="the run folder, complete but for the manifest")
    p.add_argument("--experiment", required=True, help="phase/model/metric_mode_kN")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--calibration", required=True, help="calibration.json")
    p.add_argument("--benchmark", action="append", default=[], metavar="STAGE=FILE",
                   help="Snakemake's benchmark file of a stage, one for each; a missing file gives null")  # fmt: skip
    p.add_argument("--timing", metavar="FILE", help="what score.py wrote with --timing")
    p.add_argument("--output", required=True, metavar="FILE")
    return p


def main(a: argparse.Namespace) -> None:
    """Gather and write."""
    write_run_manifest(a.run, experiment_of(a.experiment), facts=a.facts, calibration=a.calibration,
                       benchmarks=parse_benchmarks(a.benchmark), timing=a.timing, output=a.output)  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_stage("manifest", parser(), main))
