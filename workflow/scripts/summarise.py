"""Describe all scores of a store and, apart from them, the weights that one ranking selects."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json, write_json
from critical_weights.names import MODES, parse_k
from critical_weights.ranking.ranking import read_ranking
from critical_weights.ranking.selection_stats import summarise
from critical_weights.store.read import open_store


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--store", required=True, help="score store that the ranking was made of")
    p.add_argument("--ranking", required=True, help="top_weights.csv")
    p.add_argument("--facts", required=True, help="model.json of the same model")
    p.add_argument("--mode", required=True, choices=MODES, help="the ranking's mode, recorded in the result")
    p.add_argument("--k", required=True, help="the ranking's k, recorded in the result")
    p.add_argument("--output", required=True, help="sensitivity_stats.json to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Summarise and write."""
    facts, ranking = read_json(a.facts), read_ranking(a.ranking)
    with open_store(a.store, {"model_sha256": facts["sha256"]}) as store:
        write_json(a.output, summarise(store, ranking, facts, a.mode, parse_k(a.k)))


if __name__ == "__main__":
    sys.exit(run_stage("summarise", parser(), main))
