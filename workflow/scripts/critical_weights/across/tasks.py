"""What is critical for one set of texts and not for another: set differences of the first weights of two phases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..overlap.chance import chance_of_sharing
from ..ranking.addresses import address_columns
from ..store.read import ScoreStore, open_store
from ..tables.across import TASK_WEIGHTS, TASKS
from .study import Scored, Study, ks_of, numbers, table_of, weights_scored

LISTED = 1000
"""The first so many weights whose differences are listed weight by weight."""
_NONE = "not applicable: no model and metric that reads texts in two phases of other texts"
_FEW = "not applicable: too few weights of both are known by rank"

Row = dict[str, Any]


def tasks_table(study: Study) -> pd.DataFrame:
    """Compare the first weights of all pairs of phases whose texts differ, for the same model and metric.

    Returns:
        The columns of :data:`critical_weights.tables.across.TASKS`.

    """
    rows: list[Row] = []
    for a, b in _pairs(study):
        own = {"model": a.model, "metric": a.metric, "a": a.phase, "b": b.phase}
        first = [study.best(one) for one in (a, b)]
        with open_store(a.path) as one, open_store(b.path) as other:
            weights = weights_scored(one)
            for k in ks_of(*first):
                sides = [_only(study, (a, b), (one, other), k, side) for side in (0, 1)]
                shared = k - len(sides[0]["index"])
                row = {"k": k, "shared": shared, "only": k - shared, "jaccard": shared / (2 * k - shared)}
                row |= {"expected": k * (k / weights), "p": float(chance_of_sharing(shared, weights, k, k))}
                for word, side, other_side in zip("ab", sides, "ba", strict=True):
                    row[f"deepest_{word}"] = _deepest(side[f"rank_{other_side}"], k)
                    row[f"ratio_{word}"] = _ratio(side[f"score_{word}"], side[f"score_{other_side}"])
                rows.append(own | row | {"weights": weights})
        if not ks_of(*first):
            rows.append(own | {"note": _FEW})
    return table_of(rows, TASKS, _NONE)


def task_weights_table(study: Study) -> pd.DataFrame:
    """List the weights that are critical for one of two sets of texts alone, at the largest k up to :data:`LISTED`.

    Returns:
        The columns of :data:`critical_weights.tables.across.TASK_WEIGHTS`.

    """
    rows: list[Row] = []
    pairs = list(_pairs(study))
    for a, b in pairs:
        pair = {"model": a.model, "metric": a.metric, "a": a.phase, "b": b.phase}
        ks = [k for k in ks_of(study.best(a), study.best(b)) if k <= LISTED]
        if not ks:
            rows.append(pair | {"note": _FEW})
            continue
        with open_store(a.path) as one, open_store(b.path) as other:
            for side in (0, 1):
                found = _only(study, (a, b), (one, other), max(ks), side)
                own = pair | {"k": max(ks), "critical_for": (a, b)[side].phase}
                rows += [own | row for row in _addresses(found, study.facts_of(a))]
    return table_of(rows, TASK_WEIGHTS, "no weight is critical for one set of texts alone" if pairs else _NONE)


def _pairs(study: Study) -> Iterator[tuple[Scored, Scored]]:
    """Yield pairs of stores of one model and metric whose texts differ; metrics that read none have no such pair."""
    for a, b in study.pairs("phase"):
        attributes = []
        for one in (a, b):
            with open_store(one.path) as store:
                attributes.append(store.attributes)
        texts = [own["calibration_sha256"] for own in attributes]
        if None not in texts and texts[0] != texts[1] and len({own["model_sha256"] for own in attributes}) == 1:
            yield a, b


def _only(
    study: Study, pair: tuple[Scored, Scored], stores: tuple[ScoreStore, ScoreStore], k: int, side: int
) -> dict[str, NDArray[Any]]:
    """Return the weights among the first k of one side alone: places, ranks and scores in both (0 and NaN: unknown)."""
    facts = study.facts_of(pair[0])
    first = [study.best(one) for one in pair]
    number = [numbers(entries, facts) for entries in first]
    here = np.flatnonzero(~np.isin(number[side][:k], number[1 - side][:k]))
    ranks = [_ranks(number[side][here], number[other]) for other in (0, 1)]
    tensor, index = first[side].tensor[here], first[side].index[here]
    scores = [_scores(store, facts, tensor, index) for store in stores]
    columns = {"rank_a": ranks[0], "rank_b": ranks[1], "score_a": scores[0], "score_b": scores[1]}
    return columns | {"tensor": tensor, "index": index}


def _ranks(wanted: NDArray[np.int64], ranked: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(ranked)
    at = np.minimum(np.searchsorted(ranked[order], wanted), len(ranked) - 1)
    return np.where(ranked[order][at] == wanted, order[at] + 1, 0)


def _scores(
    store: ScoreStore, facts: dict[str, Any], tensor: NDArray[np.int64], index: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the scores of weights: from the candidates, beyond them from the dense scores, else NaN."""
    found = np.full(len(index), np.nan, np.float32)
    for position in np.unique(tensor):
        name, own = facts["tensors"][position]["name"], np.flatnonzero(tensor == position)
        if name not in store:
            continue
        if store.has_dense(name):
            found[own] = store.dense(name).reshape(-1)[index[own]]
            continue
        kept = store.candidates(name)
        rank = _ranks(index[own], kept["top_index"])
        found[own] = np.where(rank > 0, kept["top_score"][rank - 1], np.nan)
    return found


def _deepest(ranks: NDArray[np.int64], k: int) -> int | None:
    if not len(ranks):
        return k
    return None if (ranks == 0).any() else int(ranks.max())


def _ratio(own: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    known = np.isfinite(own) & np.isfinite(other)
    return float(np.median(other[known].astype(np.float64) / own[known])) if known.any() else None


def _addresses(found: dict[str, NDArray[Any]], facts: dict[str, Any]) -> list[Row]:
    """Return one row a weight, by rank on its own side."""
    rows: list[Row] = [{} for _ in found["index"]]
    for position in np.unique(found["tensor"]):
        tensor, own = facts["tensors"][position], np.flatnonzero(found["tensor"] == position)
        columns = address_columns(tensor, found["index"][own])
        for place, number in enumerate(own):
            rows[number] = {"parameter": tensor["name"], "layer": tensor["layer"], "component": tensor["component"]}
            rows[number] |= {key: values[place] for key, values in columns.items()}
            for key in ("score_a", "score_b"):
                rows[number][key] = found[key][number]
            for key in ("rank_a", "rank_b"):
                rows[number][key] = int(found[key][number]) or None
    return rows
