"""What the tables over all experiments say, cut to what the report shows: phases, models, training, texts, blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..tables.across import CHECKPOINTS, CLUSTERS, MODELS, PHASES, TASKS
from ..tables.schema import Table
from .facts_judged import read_criteria
from .rows import Row, kept, read_if_there, records

MOST_K = 1000
"""Selections are compared at the largest k up to this one."""
UNITS = ("weights", "lines", "tensors")
"""What the tests between two models count; a difference is believed where all of them see it."""


def read_across(folder: Path) -> dict[str, Any]:
    """Return what the tables in ``results/report`` say.

    Each is ``{"rows", "reason"}``: the reason says why there are no rows. None stands for a table that is not there.
    """
    makers: dict[str, tuple[Table, Callable[[list[Row]], list[Row]]]] = {
        "phases": (PHASES, _phases), "models": (MODELS, _models), "checkpoints": (CHECKPOINTS, _checkpoints),
        "tasks": (TASKS, _tasks), "clusters": (CLUSTERS, _clusters),
    }  # fmt: skip
    return {name: _read(folder, *maker) for name, maker in makers.items()} | {"criteria": read_criteria(folder)}


def _read(folder: Path, table: Table, make: Callable[[list[Row]], list[Row]]) -> dict[str, Any] | None:
    frame = read_if_there(folder / table.name, table)
    if frame is None:
        return None
    every = records(frame)
    rows = make(every)
    notes = dict.fromkeys(row["note"] for row in every if row["note"])
    return {"rows": rows, "reason": "" if rows else "; ".join(notes) or "the table is empty"}


def _grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _at_largest_k(rows: list[Row]) -> list[Row]:
    ks = sorted({row["k"] for row in rows if row["k"] is not None})
    chosen = max((k for k in ks if k <= MOST_K), default=ks[0] if ks else None)
    return [row for row in rows if row["k"] == chosen and chosen is not None]


def _phases(rows: list[Row]) -> list[Row]:
    """Return a row a pair of score stores: verdict, tensors compared, tensors that differ, first weights in order."""
    whole = [row for row in rows if row["scope"] == "all"]
    found = []
    for key, own in _grouped(whole, "model", "metric", "a", "b").items():
        by = {row["quantity"]: row for row in own}
        if "determinism" not in by:
            continue
        alike = _at_largest_k([row for row in own if row["quantity"] == "jaccard"])
        found.append(dict(zip(("model", "metric", "a", "b"), key, strict=True)) | {
            "equal": by["determinism"]["value"], "verdict": by["determinism"]["verdict"],
            "tensors": by["differing_tensors"]["n"], "differing": by["differing_tensors"]["value"],
            "largest_difference": by["max_difference"]["value"],
            "same_order": by["same_order"]["value"], "of": by["same_order"]["n"],
            "k": alike[0]["k"] if alike else None, "jaccard": alike[0]["value"] if alike else None,
        })  # fmt: skip
    return found


def _models(rows: list[Row]) -> list[Row]:
    """Return a row a component (or depth) of two models: its shares of both selections, its tensors, q by unit."""
    named = [row for row in rows if row["name"] != "all" and row["a"]]
    found = []
    for pair in _grouped(named, "phase", "metric", "a", "b").values():
        for own in _grouped(_at_largest_k(pair), "scope", "name").values():
            by_unit = {row["unit"]: row for row in own}
            if "weights" not in by_unit:
                continue
            tensors = by_unit.get("tensors", {})
            columns = ("phase", "metric", "a", "b", "k", "scope", "name", "share_a", "share_b", "expected_a",
                       "expected_b", "difference", "n_a", "n_b")  # fmt: skip
            found += [
                one
                | {f"tensors_{side}": tensors.get(f"count_{side}") for side in "ab"}
                | {f"q_{unit}": by_unit[unit]["q"] if unit in by_unit else None for unit in UNITS}
                for one in kept([by_unit["weights"]], *columns)
            ]
    return found


def _checkpoints(rows: list[Row]) -> list[Row]:
    columns = ("phase", "run", "metric", "model", "step", "last", "k", "shared", "share", "settled", "expected",
               "expected_by_tensor", "p_by_tensor", "loss")  # fmt: skip
    groups = _grouped([row for row in rows if row["k"] is not None], "phase", "run", "metric")
    return [row for own in groups.values() for row in kept(_at_largest_k(own), *columns)]


def _tasks(rows: list[Row]) -> list[Row]:
    columns = ("model", "metric", "a", "b", "k", "shared", "only", "jaccard", "expected", "p")
    return kept([row for row in rows if row["k"] is not None and row["jaccard"] is not None], *columns)


def _clusters(rows: list[Row]) -> list[Row]:
    """Return a row a phase, model and metric: how many kinds of blocks, which block is of which, and the chance."""
    found = []
    for key, own in _grouped([row for row in rows if row["cluster"] is not None], "phase", "model", "metric").items():
        first = kept(own[:1], "clusters", "mean_silhouette", "p", "n", "features")[0]
        found.append(dict(zip(("phase", "model", "metric"), key, strict=True)) | first
                     | {"cluster_of_block": [row["cluster"] for row in own]})  # fmt: skip
    return found
