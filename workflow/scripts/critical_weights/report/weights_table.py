"""The table of the first weights of every experiment, for the page where it can be sorted and filtered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..tables.schema import TOP_WEIGHTS, read_table
from . import show
from .experiments import FLOATS, plain
from .facts_judged import read_alone
from .facts_stability import again
from .sheet import CODE, NUMBER, Table, or_dash
from .tables_scores import alone_note, measured_alone

SHOWN = 100
"""Weights of each experiment in the page; its file has them all."""


def first_weights(folder: Path, facts: Mapping[str, Any]) -> Table:
    """Return the first weights of every experiment.

    Args:
        folder: ``results/{phase}/{model}``.
        facts: the report's facts.

    """
    stays = again(folder / "analysis")
    alone = read_alone(folder / "interventions") if facts["validation"] else {}
    rows, tried = [], []
    for label, run in facts["experiments"].items():
        ranking = read_table(folder / label / TOP_WEIGHTS.name, TOP_WEIGHTS).head(SHOWN)
        for read in ranking.to_dict("records"):
            row = {name: plain(value, shortest=name in FLOATS) for name, value in read.items()}
            own = alone.get((row["parameter"], row["indices"]))
            tried.append(own)
            probability = stays.get((run["metric"], row["parameter"], row["indices"]))
            row_index = or_dash(row["row"]) + ("" if row["expert"] is None else f" (expert {row['expert']})")
            rows.append([
                label, str(row["rank"]), row["parameter"], row["component"], or_dash(row["layer"]), row_index,
                or_dash(row["col"]), show.token(row["token"]) if row["token"] else "-",
                show.real(row["sensitivity_score"], 6), _number(row["weight"], 6), _number(row["gradient"], 4),
                "-" if probability is None else show.share(probability), measured_alone(own) if own else "-",
            ])  # fmt: skip
    columns = (("experiment", CODE), ("rank", NUMBER), ("tensor", CODE), ("component", CODE), ("block", NUMBER),
               ("row", NUMBER), ("col", NUMBER), ("token", CODE), ("score", NUMBER), ("weight", NUMBER),
               ("mean gradient", NUMBER), ("first again", NUMBER), ("measured alone", NUMBER))  # fmt: skip
    note = (f"The first {SHOWN} weights of each experiment at most; all of them are in its top_weights.csv. Scores of "
            "two metrics have different units. First again: share of draws of texts or probes in which the weight is "
            f"among the first over all tensors, where that was measured.{alone_note(tried)}")  # fmt: skip
    return Table("First weights of each experiment", columns, rows, note, choose="experiment")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else show.real(value, digits)
