"""What the rankings of phases have in common that differ in nothing but the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import StoreError
from ..metrics import METRICS
from ..overlap.groups import ALL
from ..overlap.overlap import overlap_table
from ..overlap.ranked_lists import RankedList, first_of_tensor, list_of_candidates
from ..store.read import ScoreStore, open_store
from .resampling import chance_overlap

Row = dict[str, Any]

_NONE = "not applicable: no phase that differs in the seed alone is configured with this metric"
_SAME = "not applicable: all seeds chose the same texts (the file has no more than max_samples)"


def seed_rows(store: ScoreStore, others: Sequence[str | Path]) -> list[Row]:
    """Return the rows of one store against the stores of other seeds; one row with the reason where there are none.

    Without the columns ``metric`` and ``n_texts``. Candidates are compared as in ``overlap.csv``: globally, and within
    each tensor; a k that the candidates cannot answer exactly is left out.

    Args:
        store: scores of one metric.
        others: stores of the same metric and model, of phases with other seeds and the same settings else.

    Raises:
        StoreError: another store is of another metric or model.

    """
    metric = METRICS[store.attributes["metric"]]
    if not metric.needs:
        return [_reason("not applicable: uses no text")]
    if not others:
        return [_reason(_NONE)]
    own, population = _ranked(store)
    tables: list[pd.DataFrame] = []
    seeds: list[int] = []
    notes: set[str] = set()
    for path in others:
        expected = {key: store.attributes[key] for key in ("metric", "model_sha256")}
        with open_store(path) as other:
            _check(other, expected)
            same = other.attributes["calibration_sha256"] == store.attributes["calibration_sha256"]
            if same and metric.family != "curvature":
                continue
            notes |= _notes(metric.family, same)
            ranked, sizes = _ranked(other)
            seeds.append(int(other.attributes["seed"]))
        # A tensor that only some texts reach has scores of those seeds alone.
        table = overlap_table({"own": own, "other": ranked}, population | sizes, ("global", "tensor"))
        tables.append(_comparable(table, {name: sizes[name] for name in sizes if name in population}))
    if not tables:
        return [_reason(_SAME)]
    note = "; ".join([f"seed {store.attributes['seed']} against {', '.join(map(str, seeds))}", *sorted(notes)])
    return _rows(tables, note)


def _notes(family: str, same: bool) -> set[str]:
    # Draws from one file have texts in common, how many no store tells.
    notes = {"the same texts" if same else "texts that several seeds chose count for each of them"}
    return notes | {"other probes"} if family == "curvature" else notes


def _rows(tables: Sequence[pd.DataFrame], note: str) -> list[Row]:
    rows = []
    for scope, mode in (("global", "global"), ("tensor", "perlayer")):
        part = [table[table["scope"] == scope] for table in tables]
        for k in sorted({int(k) for table in part for k in table["k"]}):
            at = [table[table["k"] == str(k)] for table in part if (table["k"] == str(k)).any()]
            for quantity, unit in (("jaccard", "fraction of the union"), ("share", "fraction of k")):
                values = np.array([table[quantity].mean() for table in at])
                chance = np.mean([_chance(table, k, quantity) for table in at])
                tensors = " or ".join(map(str, sorted({len(table) for table in at})))
                over = f"mean over {tensors} tensors; " if mode == "perlayer" else ""
                rows.append({"mode": mode, "k": k, "method": "seeds", "quantity": quantity, "value": values.mean(),
                             "low": values.min(), "high": values.max(), "expected": chance, "n": len(values),
                             "unit": unit, "note": over + note})  # fmt: skip
    return rows or [_reason("not available: the candidates cannot answer the first k of the ladder")]


def _comparable(table: pd.DataFrame, population: Mapping[str, int]) -> pd.DataFrame:
    """Leave out each k that the candidates cannot answer, or that selects a tensor, or all that both have, whole.

    Any two lists have everything in common.
    """
    answered = table[table["complete"] & (table["k"] != ALL)]
    everything = sum(population.values())
    size = answered["tensor"].map(lambda name: population.get(name, everything)).astype("int64")
    return answered[answered["k"].astype("int64") < size]


def _chance(table: pd.DataFrame, k: int, quantity: str) -> float:
    # What two draws of k from all n weights share is k * k / n in the mean; the Jaccard index of that is not its mean.
    chance = [chance_overlap(round(k * k / shared), k) for shared in table["expected"]]
    return float(np.mean(chance, axis=0)[int(quantity == "jaccard")])


def _ranked(store: ScoreStore) -> tuple[RankedList, dict[str, int]]:
    population = {name: store.tensor_attributes(name, ("numel",))["numel"] for name in store.names}
    return list_of_candidates(store.names, (first_of_tensor(store, name) for name in store.names)), population


def _check(other: ScoreStore, expected: Mapping[str, Any]) -> None:
    for key, value in expected.items():
        if other.attributes[key] != value:
            raise StoreError(f"score store {other.path} cannot be compared: another {key}",
                             got=other.attributes[key], expected=value)  # fmt: skip


def _reason(note: str) -> Row:
    return {"mode": "", "k": None, "method": "none", "quantity": "seeds", "value": None, "low": None, "high": None,
            "expected": None, "n": None, "unit": "", "note": note}  # fmt: skip
