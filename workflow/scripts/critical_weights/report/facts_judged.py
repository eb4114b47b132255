"""What was judged: the declared criteria, and what interventions on the selected weights did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..metrics import METRICS_BY_PATH
from ..tables.criteria import CRITERIA
from ..tables.interventions import INTERVENTIONS_TABLE, SINGLE_WEIGHTS, VERDICT
from .rows import Row, kept, read_if_there, records

NOT_COMPARED = "not compared"
"""Begins the verdict on a ranking that no control stands beside."""
ABOVE = "above controls"
"""The verdict on a ranking whose damage, mean over log k, surely exceeds that of its matched controls."""
VERDICTS = ("pass", "fail", "not run", "not applicable")
_LADDER = ("metric", "mode", "kind", "k", "seed", "intervention", "strength", "asked", "changed", "unmatched", "dnll",
           "low", "high", "first_order", "second_order", "kl", "agreement", "nan_texts", "inf_texts",
           "n_texts")  # fmt: skip


def read_criteria(folder: Path) -> dict[str, Any] | None:
    """Return the declared criteria with their outcomes, and how many have each; None where there is no table."""
    frame = read_if_there(folder / CRITERIA.name, CRITERIA)
    if frame is None:
        return None
    rows = records(frame)
    outcomes = Counter(row["verdict"] for row in rows)
    return {"rows": rows, "outcomes": {name: outcomes[name] for name in VERDICTS}}


def read_validation(folder: Path) -> dict[str, Any] | None:
    """Return what the interventions in ``folder`` did; None where none were made.

    ``verdict`` says which metrics to trust; ``not_at`` of each lists the k at which its damage is not above that of its
    matched controls, or below 0, and ``lowers_at`` those at which it is below 0. ``ladder`` says what setting the
    first k to another value did beside controls (one row a condition; a control has one for each seed), ``unchanged``
    the model as it is.
    """
    verdict = read_if_there(folder / VERDICT.name, VERDICT)
    table = read_if_there(folder / INTERVENTIONS_TABLE.name, INTERVENTIONS_TABLE)
    if verdict is None and table is None:
        return None
    rows = [] if table is None else _full_names(records(table))
    unchanged = [row for row in rows if row["part"] == "unchanged"]
    return {
        "verdict": [] if verdict is None else [row | _exceptions(row, rows) for row in _full_names(records(verdict))],
        "ladder": kept([row for row in rows if row["part"] == "ladder"], *_LADDER),
        "unchanged": kept(unchanged, "perplexity", "n_texts", "n_tokens")[0] if unchanged else None,
        "conditions": len(rows),
    }


def _exceptions(verdict: Row, rows: list[Row]) -> dict[str, list[int]]:
    """Return the k at which a ranking's mean over k does not speak for it.

    Where matched controls are smaller than the selection they are no measure; a loss that falls is told there too.
    Where a text's loss did not stay finite, what is left says neither.
    """
    keys = ("metric", "mode", "intervention")
    own = [row for row in rows if row["part"] == "ladder" and all(row[key] == verdict[key] for key in keys)]
    not_at, lowers_at = [], []
    whole = [row for row in own if row["low"] is not None and not row["nan_texts"] + row["inf_texts"]]
    for top in (row for row in whole if row["kind"] == "top"):
        k, lowers = top["k"], top["high"] < 0
        controls = [row["high"] for row in whole if row["kind"] == "matched" and row["k"] == k]
        compared = bool(controls) and k <= (verdict["k_compared"] or 0)
        lowers_at += [k] if lowers else []
        not_at += [k] if lowers or (compared and top["low"] <= max(controls)) else []
    return {"not_at": sorted(not_at), "lowers_at": sorted(lowers_at)}


def read_alone(folder: Path) -> dict[tuple[str, str], Row]:
    """Return what changing single weights in ``folder`` did, by tensor and indices; nothing where none was changed.

    ``to`` is the value that the weight was given, ``change`` the new minus the old one.
    """
    frame = read_if_there(folder / SINGLE_WEIGHTS.name, SINGLE_WEIGHTS)
    return {
        (row["parameter"], row["indices"]): {
            "to": row["weight"] + row["change"],
            **{key: row[key] for key in ("change", "dnll", "low", "high", "n_texts")},
        }
        for row in ([] if frame is None else records(frame))
    }


def is_compared(row: Row) -> bool:
    """Say whether a ranking was held against controls: else its gains are of what is left, and stand for nothing."""
    return not row["verdict"].startswith(NOT_COMPARED)


def _full_names(rows: list[Row]) -> list[Row]:
    """Call metrics by the names that the rest of the report has for them; a list made elsewhere keeps its own."""
    names = {path: metric.name for path, metric in METRICS_BY_PATH.items()}
    return [row | {"metric": names.get(row["metric"], row["metric"])} for row in rows]
