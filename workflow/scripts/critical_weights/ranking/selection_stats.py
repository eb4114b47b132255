"""The statistics of one experiment: of all scores and, apart from them, of the selection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..concentration.quantiles import EXACT_LIMIT, Quantiles, estimated_quantiles, exact_quantiles
from ..errors import RankingError, near_names
from ..log import choice, logger
from ..store.read import ScoreStore
from .analysed import OUTSIDE, analysed_tensors, place

log = logger(__name__)


def summarise(store: ScoreStore, ranking: pd.DataFrame, facts: dict[str, Any], mode: str, k: int) -> dict[str, Any]:
    """Return the statistics of one (score store, mode, k), the content of ``sensitivity_stats.json``.

    ``overall`` and ``tensors`` are over all analysed weights of the store, std with n in the denominator;
    ``selection`` is over the ranking's weights only; ``histogram`` counts all weights by component.

    Args:
        store: scores of one metric.
        ranking: the selected weights, in any order of rows.
        facts: the model's facts (``model.json``).
        mode: the ranking's mode, recorded.
        k: the ranking's k, recorded.

    Raises:
        RankingError: the ranking is of other scores than the store's.

    """
    tensors = analysed_tensors(store, facts)
    names = [tensor["name"] for tensor in tensors]
    _refuse_other_ranking(store, ranking, names)
    selected = ranking["parameter"].value_counts()
    moments = [store.tensor_attributes(name) for name in names]
    counts = [store.histogram(name) for name in names]
    overall_quantiles, quantiles = _quantiles(store, moments, names, counts)
    worst = max(q.relative_error for q in [overall_quantiles, *quantiles])
    return {
        "metric": store.attributes["metric"],
        "units": store.attributes["units"],
        "overall": _moments(moments) | overall_quantiles.values | _populations(moments),
        "selection": {"mode": mode, "k": k} | _selection(ranking, tensors, moments),
        "tensors": {
            tensor["name"]: _moments([own])
            | q.values
            | {
                "num_weights": own["numel"],
                "zero_fraction": own["zeros"] / own["numel"],
                "shape": tensor["shape"],
                "layer": tensor["layer"],
                "component": tensor["component"],
                "selected": int(selected.get(tensor["name"], 0)),
            }
            for tensor, own, q in zip(tensors, moments, quantiles, strict=True)
        },
        "histogram": _histogram(store.edges, tensors, moments, counts),
        "quantiles": {"method": "histogram" if worst else "exact", "relative_error": worst},
        "store": store.attributes,
    }


def _moments(parts: list[dict[str, Any]]) -> dict[str, float]:
    """Return mean, std, min and max over the weights of one or more tensors, from their stored sums."""
    n = sum(part["numel"] for part in parts)
    mean = sum(part["sum"] for part in parts) / n
    square = sum(part["sum_sq"] for part in parts) / n
    return {
        "mean": mean,
        "std": float(np.sqrt(max(square - mean * mean, 0.0))),  # rounding can take the difference below 0
        "min": min(part["min"] for part in parts),
        "max": max(part["max"] for part in parts),
    }


def _populations(moments: list[dict[str, Any]]) -> dict[str, float | int]:
    n = sum(own["numel"] for own in moments)
    zeros = sum(own["zeros"] for own in moments)
    return {"num_weights": n, "num_tensors": len(moments), "zero_fraction": zeros / n}


def _quantiles(
    store: ScoreStore, moments: list[dict[str, Any]], names: list[str], counts: list[NDArray[np.int64]]
) -> tuple[Quantiles, list[Quantiles]]:
    """Return the quantiles over all weights, and those of each tensor."""
    total = sum(own["numel"] for own in moments)
    pool: list[NDArray[np.float32]] | None = [] if total <= EXACT_LIMIT else None
    own_quantiles = []
    for name, own, histogram in zip(names, moments, counts, strict=True):
        scores = store.dense(name).reshape(-1) if store.has_dense(name) else store.candidates(name)["top_score"]
        if len(scores) == own["numel"]:
            own_quantiles.append(exact_quantiles(scores))
        else:
            own_quantiles.append(estimated_quantiles(histogram, own["zeros"], own["min"], own["max"], scores))
            pool = None
        if pool is not None:
            pool.append(scores)
    if pool is not None:
        choice("quantiles over all weights", "exact", f"all {total} scores are kept", log)
        return exact_quantiles(np.concatenate(pool)), own_quantiles
    reason = f"{total} weights, more than {EXACT_LIMIT}" if total > EXACT_LIMIT else "not every score is kept"
    choice("quantiles over all weights", "from the histogram", reason, log)
    zeros, low, high = sum(o["zeros"] for o in moments), min(o["min"] for o in moments), max(o["max"] for o in moments)
    return estimated_quantiles(np.sum(counts, axis=0), zeros, low, high, np.empty(0, np.float32)), own_quantiles


def _refuse_other_ranking(store: ScoreStore, ranking: pd.DataFrame, names: list[str]) -> None:
    for name, scores in ranking.groupby("parameter")["sensitivity_score"]:
        if name not in names:
            raise RankingError(f"the ranking names {name}, of which {store.path} holds no scores",
                               near=near_names(str(name), names))  # fmt: skip
        best = store.candidates(str(name), ("top_score",))["top_score"][: len(scores)]
        if not np.array_equal(np.sort(scores.to_numpy(best.dtype))[::-1][: len(best)], best):
            raise RankingError(f"the ranking's scores of {name} are not the best of {store.path}",
                               fix="Give the store that the ranking was made from")  # fmt: skip


def _selection(ranking: pd.DataFrame, tensors: list[dict[str, Any]], moments: list[dict[str, Any]]) -> dict[str, Any]:
    # In order of score, so that sums do not depend on the order of the rows.
    scores = np.sort(ranking["sensitivity_score"].to_numpy(np.float64))[::-1]
    total = sum(own["sum"] for own in moments)
    layers = sorted({t["layer"] for t in tensors if t["layer"] is not None})
    places = [place(layer) for layer in layers] + [OUTSIDE] * any(t["layer"] is None for t in tensors)
    return {
        "num_weights": len(scores),
        "num_tensors": int(ranking["parameter"].nunique()),
        "threshold": float(scores[-1]),
        "share_of_score": min(float(scores.sum()) / total, 1.0) if total else 0.0,
        "max": float(scores[0]),
        "min": float(scores[-1]),
        "mean": float(scores.mean()),
        "median": float(np.median(scores)),
        "by_component": _shares(ranking["component"], dict.fromkeys(t["component"] for t in tensors)),
        "by_layer": _shares(ranking["layer"].astype("string").fillna(OUTSIDE), places),
    }


def _shares(values: pd.Series, names: Iterable[str]) -> dict[str, dict[str, float | int]]:
    """Count the selected weights of each place; places with none are named too."""
    counts = values.value_counts()
    found = {name: int(counts.get(name, 0)) for name in names}
    return {name: {"num_weights": n, "share_of_selection": n / len(values)} for name, n in found.items()}


def _histogram(
    edges: NDArray[np.float64],
    tensors: list[dict[str, Any]],
    moments: list[dict[str, Any]],
    counts: list[NDArray[np.int64]],
) -> dict[str, Any]:
    """Return the counts of all weights by component, trimmed to the bins that hold any."""
    by_component: dict[str, NDArray[np.int64]] = {}
    zeros: dict[str, int] = {}
    for tensor, own, histogram in zip(tensors, moments, counts, strict=True):
        name = tensor["component"]
        by_component[name] = by_component.get(name, 0) + histogram
        zeros[name] = zeros.get(name, 0) + own["zeros"]
    filled = np.flatnonzero(np.sum(counts, axis=0))
    first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 0)
    return {
        "edges": edges[first : last + 1].tolist() if len(filled) else [],
        "counts": {name: count[first:last].tolist() for name, count in by_component.items()},
        "zeros": zeros,
    }
