"""How concentrated the scores are: over all analysed weights, and by component and layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import StoreError
from ..log import choice, logger
from ..overlap.ranked_lists import first_of_tensor, list_of_candidates
from ..ranking.analysed import OUTSIDE, place
from ..store.read import ScoreStore, open_store, refuse_second
from ..tables.schema import CONCENTRATION
from .quantiles import EXACT_LIMIT
from .score_curve import ScoreCurve
from .tail_index import hill_estimates

log = logger(__name__)

MAGNITUDE = "magnitude"
TOP_PART = 0.01
TOP_FRACTIONS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_SHARE = "fraction of the total score"
_MISMATCH = 1e-6
_MOMENTS = ("layer", "component", "numel", "zeros", "sum", "sum_sq", "min", "max")

First = tuple[NDArray[np.int64], NDArray[np.float32], int]
"""What :func:`.ranked_lists.first_of_tensor` returns."""
Figure = float | tuple[float, float, float]
"""A figure, alone where it is exact, else with its lower and upper bound."""


def concentration_table(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Return the concentration of each store's scores, over all its weights.

    - ``gini``: 0 where all scores are equal, near 1 where few weights hold everything.
    - ``top_share`` at f: the share of the total score that the ceil(f n) largest of n scores hold (at least one).
    - ``lorenz`` at f: the same at some 60 fractions from 0 to 1, with f the exact fraction of the weights.
    - ``median``: the smallest score with at least half of all scores at or below it.
    - ``top_mean_over_median`` at f: the mean of the ceil(f n) largest scores over the median; none where that is 0.
    - ``effective_number``: (sum s)^2 / sum s^2, the number of equal scores that would be spread as widely.
    - ``max_over_mean``: the largest score over the mean of all.
    - ``tail_index`` at k: Hill's estimate alpha from the k largest scores, with ``low`` and ``high`` one standard error
      alpha / sqrt(k) away; ``tail_index_range``: over all these k the median estimate, the least and the largest. It is
      from the candidates, as deep as they hold the largest of all scores.
    - ``score_share`` and ``weight_share``: what each component and each layer holds of the score and of the weights.

    Where not every score is kept, the first five stand between guaranteed bounds (``low``, ``high``) from the
    candidates, the histogram and the sum; the others are exact always. ``magnitude`` is the same figure of the
    weights' own size, over the same weights: what a figure is to be held against. It is empty where there is no
    magnitude store among ``paths``.

    Args:
        paths: score stores.

    Returns:
        The columns of :data:`critical_weights.tables.schema.CONCENTRATION`.

    Raises:
        StoreError: a store is damaged, two are of one metric, or one is of another model than the first.

    """
    parts = []
    seen: dict[str, Path] = {}
    model: dict[str, Any] = {}
    for path in paths:
        with open_store(path, model) as store:
            refuse_second(store, seen)
            model = {"model_sha256": store.attributes["model_sha256"]}
            parts.append(concentration_of(store))
    table = pd.concat(parts, ignore_index=True)
    # By the numbers of weights too: the figure of other weights, where a metric has no scores of a tensor, is none.
    keys = ["scope", "name", "quantity", "at", "weights"]
    null = table.loc[table["metric"] == MAGNITUDE, [*keys, "value"]].rename(columns={"value": "magnitude"})
    table = table.drop(columns="magnitude").merge(null, "left", keys, validate="many_to_one")
    return table.astype({column.name: column.dtype for column in CONCENTRATION.columns})


def concentration_of(store: ScoreStore) -> pd.DataFrame:
    """Return the rows of one store; see :func:`concentration_table`."""
    metric = store.attributes["metric"]
    moments = [store.tensor_attributes(name, _MOMENTS) for name in store.names]
    first = [first_of_tensor(store, name) for name in store.names]
    n, total = (sum(own[key] for own in moments) for key in ("numel", "sum"))
    columns = {column.name: column.dtype for column in CONCENTRATION.columns}
    rows: list[dict[str, Any]] = []

    def add(scope: str, name: str, weights: int, quantity: str, unit: str, figure: Figure, at: float | None = None):
        value, low, high = figure if isinstance(figure, tuple) else (figure, figure, figure)
        row = (metric, scope, name, quantity, at, value, low, high, weights, unit, None)
        rows.append(dict(zip(columns, row, strict=True)))

    if total > 0:
        curve = _curve(store, moments, first, total)
        add("all", "all", n, "gini", "0 equal, 1 one weight has all", curve.gini())
        for quantity, points in (("top_share", _top_points(n)), ("lorenz", _lorenz_points(n))):
            shares = np.transpose(curve.top_share(np.array([m for m, _ in points], float)))
            for (_, at), figure in zip(points, shares, strict=True):
                add("all", "all", n, quantity, _SHARE, (figure[0], figure[1], figure[2]), at)
        median = curve.at_rank(n - (n + 1) // 2 + 1)
        add("all", "all", n, "median", store.attributes["units"], median)
        if median[0] > 0:
            add("all", "all", n, "top_mean_over_median", "times the median", _ratio(curve, n, median), TOP_PART)
        else:
            log.info("the median score of %s is 0: nothing is told as a multiple of it", metric)
        add("all", "all", n, "effective_number", "weights", total**2 / sum(own["sum_sq"] for own in moments))
        add("all", "all", n, "max_over_mean", "times the mean", max(own["max"] for own in moments) * n / total)
        for quantity, at, figure in _tail(store, first, n):
            add("all", "all", n, quantity, "exponent", figure, at)
    else:
        log.info("all %d scores of %s are 0: only the shares of the weights are given", n, metric)
    for scope, groups in _groups(moments).items():
        for name, members in groups.items():
            weights, score = (sum(own[key] for own in members) for key in ("numel", "sum"))
            if total > 0:
                add(scope, name, weights, "score_share", _SHARE, score / total)
            add(scope, name, weights, "weight_share", "fraction of the weights", weights / n)
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _ratio(curve: ScoreCurve, n: int, median: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the mean of the largest scores over the median, with the bounds that theirs allow.

    Zeros are counted apart, so that a median above 0 has a lower bound above 0.
    """
    value, low, high = curve.mean_of_top(_weights(TOP_PART, n))
    return value / median[0], low / median[2], high / median[1]


def _tail(store: ScoreStore, first: list[First], n: int) -> list[tuple[str, float | None, tuple[float, float, float]]]:
    """Return (quantity, at, figure) of the tail index."""
    ranked = list_of_candidates(store.names, first)
    estimates = hill_estimates(ranked.score[: int(ranked.known_to.min())], n)
    if not estimates:
        log.info("%s has too few known scores above 0 for a tail index", store.attributes["metric"])
        return []
    rows: list[tuple[str, float | None, tuple[float, float, float]]] = [
        ("tail_index", float(k), (alpha, alpha - alpha / np.sqrt(k), alpha + alpha / np.sqrt(k)))
        for k, alpha in estimates
    ]
    alphas = [alpha for _, alpha in estimates]
    return [*rows, ("tail_index_range", None, (float(np.median(alphas)), min(alphas), max(alphas)))]


def _groups(moments: list[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Divide the tensors by component, in the model's order, and by layer, those outside the blocks last."""
    components: dict[str, list[dict[str, Any]]] = {}
    layers: dict[str, list[dict[str, Any]]] = {}
    for own in moments:
        components.setdefault(own["component"], []).append(own)
        layers.setdefault(place(own["layer"]), []).append(own)
    in_order = sorted(layers, key=lambda name: (name == OUTSIDE, int(name) if name != OUTSIDE else 0))
    return {"component": components, "layer": {name: layers[name] for name in in_order}}


def _top_points(n: int) -> list[tuple[int, float]]:
    return [(_weights(fraction, n), fraction) for fraction in TOP_FRACTIONS]


def _lorenz_points(n: int) -> list[tuple[int, float]]:
    """Return numbers of weights from 0 to n, dense at the top of the scores, with their fractions."""
    fractions = [*np.geomspace(1 / n, 1, 40), *np.linspace(0, 1, 21)[1:]]
    return [(m, m / n) for m in sorted({0, *(_weights(fraction, n) for fraction in fractions)})]


def _weights(fraction: float, n: int) -> int:
    """Return ceil(fraction * n); a product that only rounding keeps off a whole number is that number."""
    return min(int(np.ceil(round(fraction * n, 6))), n)


def _curve(store: ScoreStore, moments: list[dict[str, Any]], first: list[First], total: float) -> ScoreCurve:
    """Return the curve of all scores: each known where it is kept, the others in their bins of the histogram.

    Raises:
        StoreError: the store's figures contradict each other.

    """
    n = sum(own["numel"] for own in moments)
    known: list[NDArray[np.float32]] = []
    runs: list[NDArray[np.float64]] = []
    for name, own, (_, top, _) in zip(store.names, moments, first, strict=True):
        if store.has_dense(name) and n <= EXACT_LIMIT:
            known.append(store.dense(name).reshape(-1))
        else:
            known.append(top)
            runs.append(_unknown_runs(store, name, own, top))
    values, counts = np.unique(np.concatenate(known), return_counts=True)
    runs.append(np.stack([values, values, counts]).astype(np.float64))
    low, high, count = np.concatenate(runs, axis=1)
    curve = ScoreCurve(low, high, count, total)
    if curve.mismatch > _MISMATCH * total or curve.n != n:
        raise StoreError(_contradiction(store, "the sums of its scores do not fit their histograms"))
    reason = "every score is known" if curve.exact else f"{n} weights, {int(counts.sum())} of their scores known"
    choice(f"concentration of {store.attributes['metric']}", "exact" if curve.exact else "between bounds", reason, log)
    return curve


def _unknown_runs(store: ScoreStore, name: str, own: dict[str, Any], top: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (low, high, count) of the scores that are not among a tensor's candidates, from its histogram.

    Raises:
        StoreError: histogram and candidates contradict each other.

    """
    edges = store.edges
    bins = np.searchsorted(edges, top[top > 0].astype(np.float64), side="right") - 1
    counts = store.histogram(name) - np.bincount(bins, minlength=len(edges) - 1)
    zeros = own["zeros"] - int((top == 0).sum())
    if (counts < 0).any() or zeros < 0:
        raise StoreError(_contradiction(store, f"the candidates of {name} are not in its histogram"))
    filled = np.flatnonzero(counts)
    low = np.maximum(edges[filled], own["min"])
    high = np.minimum(edges[filled + 1], float(top[-1]) if len(top) else own["max"])
    runs = np.stack([low, high, counts[filled].astype(np.float64)])
    return np.concatenate([runs, [[0.0], [0.0], [float(zeros)]]], axis=1) if zeros else runs


def _contradiction(store: ScoreStore, what: str) -> str:
    return f"score store {store.path} contradicts itself: {what}. Delete it; the next run scores again"
