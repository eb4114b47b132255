"""Whether two phases gave the same scores, bit for bit, and where not: with equal settings the check of determinism."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..store.read import ScoreStore, open_store
from ..tables.across import PHASES
from .study import Scored, Study, ks_of, numbers, table_of

SETTINGS = (
    "model_sha256", "calibration_sha256", "seed", "model_dtype", "accumulator_dtype", "normalisation", "units",
    "n_texts", "n_tokens", "versions",
)  # fmt: skip
"""Root attributes that must be equal for two stores to be a check of determinism; others are results."""
_RESULTS = ("corpus_loss", "checks", "skipped")
_NAMED = 5

Row = dict[str, Any]


def phases_table(study: Study) -> pd.DataFrame:
    """Compare the stores of one model and metric of all pairs of phases.

    Returns:
        The columns of :data:`critical_weights.tables.across.PHASES`.

    """
    rows: list[Row] = []
    for a, b in study.pairs("phase"):
        own = {"model": a.model, "metric": a.metric, "a": a.phase, "b": b.phase}
        rows += [own | row for row in _compare(study, a, b)]
    return table_of(rows, PHASES, "not applicable: no model and metric in two phases")


def _compare(study: Study, a: Scored, b: Scored) -> list[Row]:
    with open_store(a.path) as one, open_store(b.path) as other:
        settings = _settings(one, other)
        unlike = [row["name"] for row in settings if not row["value"]]
        tensors = [row for name in _joint(one, other) for row in _tensor_rows(one, other, name)]
        results = [key for key in _RESULTS if not _same(one.attributes.get(key), other.attributes.get(key))]
        if not np.array_equal(one.edges, other.edges):
            results.append("histogram_edges")
        if not _same(one.text_predicted(), other.text_predicted()):
            results.append("text_predicted")
        totals = [sum(s.tensor_attributes(name)["sum"] for name in s.names) for s in (one, other)]
    differing = [row["name"] for row in tensors if row["quantity"] == "identical" and not row["value"]]
    where = results + differing
    if unlike:
        verdict = f"no check: settings differ in {_listed(unlike)}"
    else:
        verdict = f"not deterministic: differs in {_listed(where)}" if where else "deterministic"
    compared = sum(row["quantity"] == "identical" for row in tensors)
    largest = max((row["value"] for row in tensors if row["quantity"] == "max_difference"), default=None)
    over_all = {"scope": "all", "name": "all"}
    rows = [
        over_all | {"quantity": "determinism", "value": None if unlike else float(not where), "verdict": verdict},
        over_all | {"quantity": "differing_tensors", "value": len(differing), "n": compared, "unit": "tensors",
                    "verdict": _verdict(differing)},
        over_all | {"quantity": "max_difference", "value": largest, "unit": "units of the metric"},
    ]  # fmt: skip
    if totals[1]:
        rows.append(over_all | {"quantity": "sum_ratio", "value": totals[0] / totals[1], "unit": "a / b"})
    return rows + _rankings(study, a, b) + settings + tensors


def _settings(one: ScoreStore, other: ScoreStore) -> list[Row]:
    rows = []
    for key in SETTINGS:
        values = [store.attributes[key] for store in (one, other)]
        equal = values[0] == values[1]
        verdict = "identical" if equal else f"differs in: {_short(values[0])} and {_short(values[1])}"
        rows.append({"scope": "setting", "name": key, "quantity": "equal", "value": float(equal), "verdict": verdict})
    return rows


def _tensor_rows(one: ScoreStore, other: ScoreStore, name: str) -> list[Row]:
    own = {"scope": "tensor", "name": name}
    if name not in one or name not in other:
        missing = "a" if name not in one else "b"
        return [own | {"quantity": "identical", "value": 0, "verdict": f"differs in: it has no scores in {missing}"}]
    parts = differing_parts(one, other, name)
    shared, difference, n = _candidates(one, other, name)
    rows = [own | {"quantity": "identical", "value": float(not parts), "verdict": _verdict(parts)}]
    if parts:
        rows.append(own | {"quantity": "shared_candidates", "value": shared, "n": n, "unit": "weights"})
    if shared:
        rows.append(own | {"quantity": "max_difference", "value": difference, "n": shared,
                           "unit": "units of the metric; n weights"})  # fmt: skip
    return rows


def differing_parts(one: ScoreStore, other: ScoreStore, name: str) -> list[str]:
    """Return the names of all that two stores keep of a tensor and that is not the same, bit for bit.

    Every score counts where both keep them; that only one does is a matter of settings, not of scores.
    """
    parts: list[str] = []
    for read in (ScoreStore.tensor_attributes, ScoreStore.candidates, ScoreStore.lines):
        left, right = read(one, name), read(other, name)
        parts += [key for key in {**left, **right} if not _same(left.get(key), right.get(key))]
    for key, read in (
        ("histogram", ScoreStore.histogram),
        ("text_gradient", ScoreStore.text_gradient),
        ("top_without_first", ScoreStore.without_first),
    ):
        if not _same(read(one, name), read(other, name)):
            parts.append(key)
    if one.has_dense(name) and other.has_dense(name) and not _same(one.dense(name), other.dense(name)):
        parts.append("scores")
    return parts


def _candidates(one: ScoreStore, other: ScoreStore, name: str) -> tuple[int, float, int]:
    """Return how many candidates both have, the largest difference of their scores, and how many could be shared."""
    left, right = one.candidates(name), other.candidates(name)
    _, at, to = np.intersect1d(left["top_index"], right["top_index"], assume_unique=True, return_indices=True)
    apart = np.abs(left["top_score"][at].astype(np.float64) - right["top_score"][to])
    return len(at), float(apart.max(initial=0)), min(len(left["top_index"]), len(right["top_index"]))


def _rankings(study: Study, a: Scored, b: Scored) -> list[Row]:
    first = [study.best(one) for one in (a, b)]
    left, right = (numbers(best, study.facts_of(one)) for best, one in zip(first, (a, b), strict=True))
    most = min(len(left), len(right))
    apart = np.flatnonzero(left[:most] != right[:most])
    begin = int(apart[0]) if len(apart) else most
    rows = [{"quantity": "same_order", "value": begin, "n": most}]
    for k in ks_of(*first):
        shared = len(np.intersect1d(left[:k], right[:k]))
        rows.append({"quantity": "jaccard", "k": k, "value": shared / (2 * k - shared), "n": 2 * k - shared})
    return [{"scope": "all", "name": "all", "unit": "weights"} | row for row in rows]


def _same(a: Any, b: Any) -> bool:
    """Whether two values are the same to the bit: a NaN equals itself, 0 is not -0."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and _bytes_of(a) == _bytes_of(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    return type(a) is type(b) and a == b


def _bytes_of(values: NDArray[Any]) -> memoryview:
    return memoryview(np.ascontiguousarray(values)).cast("B") if values.size else memoryview(b"")


def _joint(one: ScoreStore, other: ScoreStore) -> list[str]:
    return list(dict.fromkeys([*one.names, *other.names]))


def _verdict(parts: list[str]) -> str:
    return f"differs in: {_listed(parts)}" if parts else "identical"


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
