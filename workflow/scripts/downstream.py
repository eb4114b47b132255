"""Run tasks of lm-evaluation-harness before and after selected weights are changed.

Optional: it needs the packages lm_eval and accelerate. The network is left alone unless --download is given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError, ModelError
from critical_weights.files import read_json
from critical_weights.model.libraries import import_libraries
from critical_weights.model.source import check_unchanged, model_folder
from critical_weights.names import parse_k
from critical_weights.validation.harness import go_offline, require_harness


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--selections", required=True, nargs="+", metavar="RUN|CSV", help="run folders or CSV lists")
    p.add_argument("--tasks", required=True, nargs="+", metavar="NAME", help="tasks, groups or tags of the harness")
    p.add_argument("--include-path", metavar="FOLDER", help="folder of own task files (YAML) with their data")
    p.add_argument("--k", help="weights of each selection, from the first (default: all)")
    p.add_argument("--intervention", default="zero", help="what is done to them (default %(default)s)")
    p.add_argument("--strength", type=float, help="its strength (default: the intervention's own)")
    p.add_argument("--seed", type=int, default=42, help="of random interventions (default %(default)s)")
    p.add_argument("--batch-size", type=int, default=8, help="documents at a time (default %(default)s)")
    p.add_argument("--limit", type=int, help="documents of each task, from the first (default: all)")
    p.add_argument("--bootstrap", type=int, default=1000, help="draws for standard errors (default %(default)s)")
    p.add_argument("--download", action="store_true", help="let the harness download the data of its tasks")
    p.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 or float64")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--output", required=True, help="downstream.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Load the model, run the tasks, write the table.

    Raises:
        ConfigError: a number is out of range.
        ModelError: the checkpoint is stored in a format whose weights cannot be changed one by one.

    """
    numbers = {"--batch-size": a.batch_size, "--limit": 1 if a.limit is None else a.limit}
    if low := [f"{name} {value}" for name, value in numbers.items() if value < 1]:
        raise ConfigError("too small a number", got=", ".join(low), expected="1 or more")
    if not a.download:
        go_offline()
    require_harness()

    import_libraries()
    from critical_weights.model.load import DTYPES, choose_device, choose_dtype, load_model
    from critical_weights.tables.downstream import DOWNSTREAM
    from critical_weights.tables.schema import write_table
    from critical_weights.texts.tokenizer import load_tokenizer
    from critical_weights.validation.downstream import downstream_table, read_selections
    from critical_weights.validation.harness import Harness

    record, facts = read_json(a.record), read_json(a.facts)
    check_unchanged(model_folder(record), facts)
    if facts["checkpoint_dtype"] not in DTYPES:
        raise ModelError(f"weights stored as {facts['checkpoint_dtype']} cannot be changed one by one")
    selections = read_selections(a.selections, a.facts, parse_k(a.k) if a.k else None)
    device = choose_device(a.device)
    model = load_model(record, choose_dtype(a.dtype, facts, device), device)
    tasks = Harness(
        model, load_tokenizer(record)[0], a.tasks, folder=Path(a.include_path).expanduser() if a.include_path else None,
        batch_size=a.batch_size, limit=a.limit, bootstrap=a.bootstrap,
    )  # fmt: skip
    stored = DTYPES[facts["checkpoint_dtype"]]
    frame = downstream_table(tasks, model, selections, a.intervention, a.strength, seed=a.seed, stored=stored)
    write_table(frame, a.output, DOWNSTREAM)


if __name__ == "__main__":
    sys.exit(run_stage("downstream", parser(), main))
