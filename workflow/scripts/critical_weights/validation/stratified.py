"""Single weights drawn evenly over the range of a metric's scores, from the highest to the lowest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..log import logger
from ..metrics import METRICS
from ..ranking.analysed import analysed_tensors
from ..store.read import ScoreStore
from .weight_sets import Places

log = logger(__name__)

STRATA = 12
"""Strata a metric at most; their bounds are evenly spaced in the logarithm of the rank."""


def stratified_weights(store: ScoreStore, facts: Mapping[str, Any], count: int, seed: int) -> Places:
    """Draw about ``count`` weights, as many of each stratum of ranks; fewer where strata hold fewer.

    The bounds lie at the ranks 1, ..., N in geometric steps, moved to the bins of the store's histogram. Within a
    stratum every weight is as likely as another. A tensor without dense scores takes part with its candidates.

    Args:
        store: scores of one metric.
        facts: the model's.
        count: weights wanted.
        seed: of the draw.

    """
    tensors = analysed_tensors(store, dict(facts))
    bounds = stratum_bounds(store, [t["name"] for t in tensors], min(STRATA, count))
    each = -(-count // len(bounds))
    rng = np.random.default_rng([seed, list(METRICS).index(store.attributes["metric"])])
    drawn: list[list[tuple[float, str, int]]] = [[] for _ in bounds]
    known = 0
    for tensor in tensors:
        flat, scores = _known_scores(store, tensor["name"])
        known += len(flat)
        # Bounds descend: stratum 0 is what reaches the first of them.
        stratum = len(bounds) - np.searchsorted(bounds[::-1], scores, side="right")
        keys = rng.random(len(flat))
        for number in range(len(bounds)):
            own = np.flatnonzero(stratum == number)
            least = own[np.argsort(keys[own])[:each]]
            new = zip(keys[least], [tensor["name"]] * len(least), flat[least], strict=True)
            drawn[number] = sorted([*drawn[number], *((float(k), name, int(i)) for k, name, i in new)])[:each]
    total = sum(tensor["numel"] for tensor in tensors)
    if known < total:
        log.info("%s: single weights are drawn among %d candidates, not every score is kept", store.path.name, known)
    places: dict[str, list[int]] = {}
    for _, name, index in (weight for stratum in drawn for weight in stratum):
        places.setdefault(name, []).append(index)
    return {t["name"]: np.array(sorted(places[t["name"]]), np.int64) for t in tensors if t["name"] in places}


def stratum_bounds(store: ScoreStore, names: list[str], strata: int) -> NDArray[np.float64]:
    """Return the lowest score of each stratum, descending; the last one is 0."""
    counts = np.sum([store.histogram(name) for name in names], axis=0)
    total = sum(store.tensor_attributes(name)["numel"] for name in names)
    from_top = np.cumsum(counts[::-1])
    bounds = []
    for last in np.geomspace(1, total, strata + 1)[1:-1]:
        place = int(np.searchsorted(from_top, last))
        bounds.append(store.edges[len(counts) - 1 - place] if place < len(counts) else 0.0)
    return np.unique([*bounds, 0.0])[::-1]


def scores_at(store: ScoreStore, places: Places) -> dict[str, NDArray[np.float64]]:
    """Return the scores of given weights; NaN where the store holds none."""
    found = {}
    for name, wanted in places.items():
        scores = np.full(len(wanted), np.nan)
        if name in store:
            flat, known = _known_scores(store, name)
            order = np.argsort(flat, kind="stable")
            at = np.minimum(np.searchsorted(flat[order], wanted), len(flat) - 1)
            hit = flat[order][at] == wanted
            scores[hit] = known[order][at][hit]
        found[name] = scores
    return found


def _known_scores(store: ScoreStore, name: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if store.has_dense(name):
        scores = store.dense(name).reshape(-1)
        return np.arange(len(scores)), scores
    kept = store.candidates(name)
    return kept["top_index"], kept["top_score"]
