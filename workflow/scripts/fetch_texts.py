"""Write the texts of a data set as a .jsonl file, with a record of where they come from."""

from __future__ import annotations

import argparse
import json
import sys

from critical_weights.cli import run_stage
from critical_weights.files import write_json, write_text
from critical_weights.texts.dataset_texts import read_dataset


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--dataset", required=True, help="id of the hub, or a folder (beginning with / . or ~)")
    p.add_argument("--config", help="configuration of a hub data set")
    p.add_argument("--split", help="such as test; needed where there are several")
    p.add_argument("--revision", help="branch, tag or commit of a hub data set")
    p.add_argument("--column", default="text", help="that holds the texts")
    p.add_argument("--rows", type=int, help="from the first; the rest is not fetched")
    p.add_argument("--min-characters", type=int, default=1, help="shorter rows are left out")
    p.add_argument("--output", required=True, help=".jsonl to write")
    p.add_argument("--record", required=True, help="JSON to write: data set, commit, counts")
    return p


def main(a: argparse.Namespace) -> None:
    """Read the data set, write its texts and their record."""
    texts, record = read_dataset(
        a.dataset,
        config=a.config,
        split=a.split,
        revision=a.revision,
        column=a.column,
        rows=a.rows,
        min_characters=a.min_characters,
    )
    write_text(a.output, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
    write_json(a.record, record)


if __name__ == "__main__":
    sys.exit(run_stage("texts", parser(), main))
