"""Turn calibration and evaluation texts into token ids, with counts and hashes."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json, write_json, write_text
from critical_weights.model.libraries import import_libraries
from critical_weights.texts.calibration import calibrate


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--phase", required=True)
    p.add_argument("--texts", default="default", help="default, or a .txt or .jsonl file: calibrates")
    p.add_argument("--evaluation", default="default", help="likewise: measures damage; must be disjoint")
    p.add_argument("--max-samples", type=int, default=100, help="texts at most; beyond it the seed draws")
    p.add_argument("--max-length", type=int, default=512, help="tokens a text at most; longer ones are cut")
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--texts-origin", help="record of the data set that --texts was made of")
    p.add_argument("--evaluation-origin", help="likewise of --evaluation")
    p.add_argument("--calibration-out", required=True, help="calibration.json to write")
    p.add_argument("--tokens-out", required=True, help="tokens.json to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Tokenise both sets and write their facts and ids."""
    import json

    import_libraries()
    origins = {"calibration": a.texts_origin, "evaluation": a.evaluation_origin}
    calibration, tokens = calibrate(
        read_json(a.record),
        phase=a.phase,
        texts=a.texts,
        evaluation=a.evaluation,
        max_samples=a.max_samples,
        max_length=a.max_length,
        seed=a.seed,
        origins={use: read_json(file) for use, file in origins.items() if file},
    )
    # Ids are read by programs only: one line, or a text of 512 tokens takes 512 lines.
    write_text(a.tokens_out, json.dumps(tokens, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_json(a.calibration_out, calibration)


if __name__ == "__main__":
    sys.exit(run_stage("calibration", parser(), main))
