"""The scores of a store's candidates again: from resampled texts, or from simulated Hutchinson estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..log import logger
from ..metrics import METRICS
from ..store.read import ScoreStore
from .candidate_pool import Pool, read_pool
from .resample_columns import Columns, Scores
from .resampling import bootstrap_multiplicities, half_multiplicities
from .text_scores import TEXT_TERMS, disagreement, gradients_of_tensor, largest_disagreement, scores_of_multisets

log = logger(__name__)

_PROBED = 1000


@dataclass(frozen=True)
class Resampled:
    """Scores of the candidates in many resamples.

    Attributes:
        pool: the candidates, the columns of ``scores``.
        scores: (1 + resamples, n), their columns; row 0 is the scores that make the ranking.
        draws: the rows that are draws of the same size as what made the ranking.
        comparisons: by method, the two blocks of rows whose first k are compared row by row (one row against all).
        judge: the method that decides up to which k a ranking is more than noise.
        error: (n,) standard error of each score.
        significant: (n,) whether the estimate is more than 2 standard errors from 0; None for scores of texts.
        agreement: the largest norm-relative difference between row 0 and the store's scores, and what is allowed;
            None where row 0 is the store's.

    """

    pool: Pool
    scores: Columns
    draws: slice
    comparisons: dict[str, tuple[slice, slice]]
    judge: str
    error: NDArray[np.float64]
    significant: NDArray[np.bool_] | None = None
    agreement: tuple[float, float] | None = None


def resample(store: ScoreStore, draws: int, splits: int) -> Resampled | str:
    """Resample what a store's scores are made from: its texts, or its probes.

    The draws follow from the store's seed; they are the same for all metrics of the same texts, so that differences
    between metrics are not those of draws.

    Args:
        store: scores of one metric.
        draws: bootstrap draws (of probes: pairs of estimates).
        splits: random halves.

    Returns:
        The scores, or the reason why there are none.

    Raises:
        StoreError: the gradients of single texts do not give the store's scores.

    """
    metric = store.attributes["metric"]
    if not METRICS[metric].needs:
        return "not applicable: uses no text"
    if metric in TEXT_TERMS:
        return _of_texts(store, draws, splits)
    if metric in _OF_CURVATURE:
        return _of_probes(store, draws)
    return "not available: the store keeps no figures of single texts for this metric"


def _of_texts(store: ScoreStore, draws: int, splits: int) -> Resampled | str:
    predicted = store.text_predicted()
    if predicted is None:
        return "not available: the store keeps no gradients of single texts; score again"
    metric, n_texts, seed = store.attributes["metric"], len(predicted), int(store.attributes["seed"])
    if n_texts < 2:
        return "not applicable: one text cannot be resampled"
    drawn = bootstrap_multiplicities(n_texts, draws, seed)
    multiplicities = np.concatenate([np.ones((1, n_texts)), drawn, *half_multiplicities(n_texts, splits, seed)])
    differences: dict[str, float] = {}
    errors: list[NDArray[np.float64]] = []

    def scores(name: str, kept: dict[str, NDArray]) -> tuple[NDArray[np.int64], Scores] | None:
        weight = kept["top_weight"]
        gradient = gradients_of_tensor(store, name, weight, n_texts)
        if gradient is None:
            return None
        # Put in order before the scores are made, of which there are several times as many.
        order = np.argsort(kept["top_index"][: len(gradient)])
        gradient, weight = gradient[order].astype(np.float64), weight[order].astype(np.float64)
        made = scores_of_multisets(TEXT_TERMS[metric](gradient, weight, predicted.astype(np.float64)), multiplicities)
        best_first = np.empty(len(order), np.float32)
        best_first[order] = made[0]
        differences[name] = disagreement(best_first, kept["top_score"][: len(order)])
        errors.append(_spread(made[: 1 + draws]))
        return order, made

    pool, rows = read_pool(store, ("top_weight",), scores)
    if not differences:
        return "not available: the store keeps no gradients of single texts; score again"
    missing = [name for name in pool.names if name not in differences]
    if missing:
        log.info("%s: %d tensors have no gradients of single texts (%s ...)", metric, len(missing), missing[0])
    pairs = 2 * (draws // 2)
    end = 1 + draws
    comparisons = {
        "bootstrap": (slice(1, end), slice(0, 1)),
        "bootstrap_pair": (slice(1, 1 + pairs, 2), slice(2, 1 + pairs, 2)),
        "halves": (slice(end, end + splits), slice(end + splits, end + 2 * splits)),
    }
    agreement = largest_disagreement(store, differences)
    error = np.concatenate(errors)
    return Resampled(pool, rows, slice(1, end), comparisons, "halves", error, agreement=agreement)


def _spread(rows: Scores) -> NDArray[np.float64]:
    """Return the standard deviation of all rows but the first, from which differences are taken lest they cancel."""
    of_weight = np.ascontiguousarray(rows.T)  # numpy sums what lies side by side pairwise, which loses fewer digits
    return (of_weight[:, 1:].astype(np.float64) - of_weight[:, :1]).std(axis=1, ddof=1)


_OF_CURVATURE = {
    "hutchinson_diag": lambda h, weight: np.abs(h),
    "obd_hutch": lambda h, weight: np.maximum(0, 0.5 * h * weight**2),
}
"""By metric: (signed estimates of diag(H), weights) -> score."""
_SLOPE = {"hutchinson_diag": lambda weight: np.ones_like(weight), "obd_hutch": lambda weight: 0.5 * weight**2}
"""By metric: what the standard error of the signed estimate is multiplied with to be that of the score."""


def _of_probes(store: ScoreStore, draws: int) -> Resampled | str:
    """Simulate pairs of independent estimates: normal around the estimate, with its standard error.

    The noise of the estimates at hand is part of the centre that both of a pair have: two real runs share less.
    """
    metric = store.attributes["metric"]
    rng = np.random.default_rng([int(store.attributes["seed"]), 3])
    errors: list[NDArray[np.float64]] = []
    significant: list[NDArray[np.bool_]] = []

    def scores(name: str, kept: dict[str, NDArray]) -> tuple[NDArray[np.int64], Scores] | None:
        if "top_signed" not in kept or "top_stderr" not in kept:
            return None
        signed, error, weight = (kept[key][:_PROBED] for key in ("top_signed", "top_stderr", "top_weight"))
        noise = rng.standard_normal((2 * draws, len(signed)), dtype=np.float32)
        simulated = _OF_CURVATURE[metric](signed + noise * error, weight).astype(np.float32, copy=False)
        order = np.argsort(kept["top_index"][: len(signed)])
        errors.append((_SLOPE[metric](weight) * error).astype(np.float64)[order])
        significant.append((np.abs(signed) > 2 * error)[order])
        made = np.concatenate([kept["top_score"][None, : len(signed)], simulated])
        return order, np.take(made, order, axis=1)

    pool, rows = read_pool(store, ("top_weight", "top_signed", "top_stderr"), scores)
    if not errors:
        return "not available: the store keeps no standard errors of its estimates; score again"
    comparisons = {"probes": (slice(1, 1 + 2 * draws, 2), slice(2, 1 + 2 * draws, 2))}
    chosen = np.concatenate(significant)
    return Resampled(pool, rows, slice(1, 1 + 2 * draws), comparisons, "probes", np.concatenate(errors), chosen)
