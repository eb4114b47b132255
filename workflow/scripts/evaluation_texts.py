"""Turn evaluation texts into token ids, and write the counts and hashes of both sets of texts."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json, write_json, write_json_line
from critical_weights.model.libraries import without_torch
from critical_weights.texts.evaluation import hold_out
from critical_weights.texts.tokens_file import read_tokens


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--tokens", required=True, help="tokens.json of the calibration texts")
    p.add_argument("--evaluation", default="default",
                   help="default, or a .txt or .jsonl file; must hold no calibration text")  # fmt: skip
    p.add_argument("--evaluation-origin", help="record of the data set that --evaluation was made of")
    p.add_argument("--calibration-out", required=True, help="calibration.json to write: facts on both sets")
    p.add_argument("--tokens-out", required=True, help="evaluation_tokens.json to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Tokenise the texts and write their ids and the facts on both sets."""
    without_torch()
    origin = read_json(a.evaluation_origin) if a.evaluation_origin else None
    facts, tokens = hold_out(read_json(a.record), read_tokens(a.tokens), evaluation=a.evaluation, origin=origin)
    write_json_line(a.tokens_out, tokens)
    write_json(a.calibration_out, facts)


if __name__ == "__main__":
    sys.exit(run_stage("evaluation_texts", parser(), main))
