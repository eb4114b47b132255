"""Prove by intervention: change selected weights and controls, measure the damage on evaluation texts, change back."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from critical_weights.cli import run_stage
from critical_weights.files import read_json, write_json
from critical_weights.model.libraries import import_libraries
from critical_weights.model.source import check_unchanged, model_folder
from critical_weights.tables.interventions import INTERVENTIONS_TABLE, SINGLE_SCORES, SINGLE_WEIGHTS, TEXTS_TABLE
from critical_weights.tables.schema import write_table
from critical_weights.texts.tokens_file import read_tokens
from critical_weights.validation.conditions import ValidationSettings


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    d = ValidationSettings()
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--tokens", required=True, help="tokens.json")
    p.add_argument("--evaluation-tokens", required=True, help="evaluation_tokens.json")
    p.add_argument("--stores", required=True, nargs="+", help="score stores, one a metric")
    p.add_argument("--intervention", default=d.intervention, help="of ladder and single weights: name or name=strength")
    p.add_argument("--modes", type=_list(str), default=d.modes, help="ranking modes of the ladder, by comma")
    p.add_argument("--ks", type=_list(int), default=d.ks, help="the ladder, by comma")
    p.add_argument("--k", type=int, default=d.k, help="the k of factors, other interventions and the bottom")
    p.add_argument("--strengths", type=_list(float), default=d.strengths, help="factors, by comma")
    p.add_argument("--others", type=_list(str), default=d.others, help="further interventions, by comma")
    p.add_argument("--seeds", type=int, default=d.seeds, help="of each control")
    p.add_argument("--texts", type=int, default=d.texts, help="evaluation texts, from the first")
    p.add_argument("--lines", type=int, default=d.lines, help="top weights whose row, column and neuron are changed")
    p.add_argument("--top", type=int, default=d.top, help="top weights of each metric changed one at a time")
    p.add_argument("--singles", type=int, default=d.singles, help="weights drawn over the range of scores, in all")
    p.add_argument("--single-texts", type=int, default=d.single_texts, help="evaluation texts for single weights")
    p.add_argument("--lists", nargs="*", default=d.lists, help="CSV files of further selections")
    p.add_argument("--draws", type=int, default=d.draws, help="bootstrap draws")
    p.add_argument("--seed", type=int, default=d.seed)
    p.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 or float64")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--output-dir", required=True, help="folder of the tables")
    p.add_argument("--timing", help="JSON to write with the seconds")
    return p


def _list(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return a reader of values with commas between them; nothing is the empty list."""

    def values(text: str) -> list[Any]:
        return [read(word) for word in text.split(",") if word]

    values.__name__ = f"list of {read.__name__}"  # argparse says so when a value is wrong
    return values


def main(a: argparse.Namespace) -> None:
    """Load the model, run every condition, write the tables."""
    settings = ValidationSettings(**{key: getattr(a, key) for key in ValidationSettings.__dataclass_fields__})
    settings.check()

    import_libraries()
    from critical_weights.evaluation.place import load_whole
    from critical_weights.model.load import choose_device, choose_dtype
    from critical_weights.validation.validation import validate

    start = time.monotonic()
    record, facts = read_json(a.record), read_json(a.facts)
    check_unchanged(model_folder(record), facts)
    device = choose_device(a.device)
    dtype = choose_dtype(a.dtype, facts, device)
    model, spare = load_whole(record, facts, dtype, device)
    loaded = time.monotonic()
    tokens = read_tokens(a.tokens) | read_tokens(a.evaluation_tokens)
    tables = validate(model, facts, tokens, a.stores, settings, device=device, spare=spare)
    folder = Path(a.output_dir)
    write_table(tables.texts, folder / TEXTS_TABLE.name, TEXTS_TABLE)
    write_table(tables.single_weights, folder / SINGLE_WEIGHTS.name, SINGLE_WEIGHTS)
    write_table(tables.single_scores, folder / SINGLE_SCORES.name, SINGLE_SCORES)
    write_table(tables.interventions, folder / INTERVENTIONS_TABLE.name, INTERVENTIONS_TABLE)
    if a.timing:
        stages = {"load": loaded - start, "validate": time.monotonic() - loaded}
        counts = {"conditions": len(tables.interventions), "single_weights": len(tables.single_weights)}
        write_json(a.timing, {"stages": stages, **counts})


if __name__ == "__main__":
    sys.exit(run_stage("validate", parser(), main))
