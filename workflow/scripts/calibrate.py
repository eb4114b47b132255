"""Turn calibration texts into token ids, with counts and hashes."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json, write_json_line
from critical_weights.model.libraries import without_torch
from critical_weights.texts.calibration import calibrate


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--phase", required=True)
    p.add_argument("--texts", default="default", help="default, or a .txt or .jsonl file")
    p.add_argument("--texts-origin", help="record of the data set that --texts was made of")
    p.add_argument("--max-samples", type=int, default=100, help="texts at most; beyond it the seed draws")
    p.add_argument("--max-length", type=int, default=512, help="tokens a text at most; longer ones are cut")
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--output", required=True, help="tokens.json to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Tokenise the texts and write their ids and facts."""
    without_torch()
    origin = read_json(a.texts_origin) if a.texts_origin else None
    limits = {"max_samples": a.max_samples, "max_length": a.max_length, "seed": a.seed}
    write_json_line(a.output, calibrate(read_json(a.record), phase=a.phase, texts=a.texts, **limits, origin=origin))


if __name__ == "__main__":
    sys.exit(run_stage("calibration", parser(), main))
