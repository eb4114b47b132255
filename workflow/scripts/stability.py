"""Tell up to which k the rankings of one phase and model are more than noise of their calibration texts."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.stability.stability import StabilitySettings, stability_tables
from critical_weights.tables.schema import write_table
from critical_weights.tables.stability import STABILITY, WEIGHT_STABILITY


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    defaults = StabilitySettings()
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--others", nargs="*", default=[], help="stores of phases that differ in the seed alone")
    p.add_argument("--draws", type=int, default=defaults.draws, help="bootstrap draws of the texts")
    p.add_argument("--splits", type=int, default=defaults.splits, help="random halves of the texts")
    p.add_argument("--threshold", type=float, default=defaults.threshold,
                   help="jaccard that the lower end of the interval has to exceed")  # fmt: skip
    p.add_argument("--output", required=True, help="stability.csv to write")
    p.add_argument("--weights", required=True, help="weight_stability.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Measure and write."""
    settings = StabilitySettings(a.draws, a.splits, a.threshold)
    overlaps, weights = stability_tables(a.stores, a.others, settings)
    write_table(overlaps, a.output, STABILITY)
    write_table(weights, a.weights, WEIGHT_STABILITY)


if __name__ == "__main__":
    sys.exit(run_stage("stability", parser(), main))
