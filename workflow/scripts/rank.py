"""Select the weights of one (score store, mode, k) and write them with their addresses and values."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json, sha256_json
from critical_weights.metrics import METRICS_BY_PATH
from critical_weights.names import MODES, parse_k
from critical_weights.ranking.ranking import rank
from critical_weights.store.read import open_store
from critical_weights.tables.schema import TOP_WEIGHTS, write_table
from critical_weights.texts.tokens_file import read_tokens


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--store", required=True, help="score store of one metric")
    p.add_argument("--facts", required=True, help="model.json of the same model")
    p.add_argument("--tokens", required=True, help="tokens.json, for the tokens of embedding and head rows")
    p.add_argument("--metric", choices=METRICS_BY_PATH, help="what the store must hold (default: whatever it holds)")
    p.add_argument(
        "--mode", required=True, help=f"k largest of each tensor, of each block, or of all: {', '.join(MODES)}"
    )
    p.add_argument("--k", required=True, help="weights to select of each group")
    p.add_argument("--output", required=True, help="top_weights.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Rank and write."""
    facts, tokens = read_json(a.facts), read_tokens(a.tokens)
    expected = {"model_sha256": facts["sha256"], "calibration_sha256": sha256_json(tokens["calibration"])}
    if a.metric:
        expected["metric"] = METRICS_BY_PATH[a.metric].name
    with open_store(a.store, expected) as store:
        write_table(rank(store, facts, tokens["vocabulary"], a.mode, parse_k(a.k)), a.output, TOP_WEIGHTS)


if __name__ == "__main__":
    sys.exit(run_stage("rank", parser(), main))
