"""Make a model's files available locally and record where they are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.files import write_json
from critical_weights.model.source import SOURCES, fetch_model

TRUTH = ("true", "True", "false", "False")
"""As the config and as Python writes it."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", required=True, help="name of the model in the config")
    p.add_argument("--source", required=True, choices=SOURCES)
    p.add_argument("--repo", help="hub id, for source hub")
    p.add_argument("--revision", help="branch, tag or commit, for source hub")
    p.add_argument("--path", help="model folder, for source local")
    p.add_argument("--checkpoint", help="final or step_..., for source bundled")
    p.add_argument("--convert", default="false", choices=TRUTH, help="read pickles where the hub has nothing else")
    p.add_argument("--output", required=True, help="record to write (JSON); the hub's commit is kept beside it")
    return p


def main(a: argparse.Namespace) -> None:
    """Fetch the model and write its record."""
    record = fetch_model(
        a.model,
        a.source,
        repo=a.repo,
        revision=a.revision,
        path=a.path,
        checkpoint=a.checkpoint,
        convert=a.convert.lower() == "true",
        lock=Path(a.output).with_suffix(".lock.json"),
    )
    write_json(a.output, record)


if __name__ == "__main__":
    sys.exit(run_stage("model", parser(), main))
