"""The scores of a store's candidates again: from resampled texts, or from simulated Hutchinson estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .candidate_pool import Pool, read_pool
from .log import logger
from .metrics import METRICS
from .resampling import Scores, bootstrap_multiplicities, half_multiplicities
from .score_store import ScoreStore
from .text_scores import TEXT_TERMS, disagreement, largest_disagreement, scores_of_multisets, terms_of_tensor

log = logger(__name__)

_PROBED = 1000


@dataclass(frozen=True)
class Resampled:
    """Scores of the candidates in many resamples.

    Attributes:
        pool: the candidates, the columns of ``scores``.
        scores: (1 + resamples, n); row 0 is the scores that make the ranking.
        draws: the rows that are draws of the same size as what made the ranking.
        comparisons: by method, the two blocks of rows whose first k are compared row by row (one row against all).
        judge: the method that decides up to which k a ranking is more than noise.
        error: (n,) standard error of each score.
        significant: (n,) whether the estimate is more than 2 standard errors from 0; None for scores of texts.
        agreement: the largest norm-relative difference between row 0 and the store's scores, and what is allowed;
            None where row 0 is the store's.

    """

    pool: Pool
    scores: Scores
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
    n_texts, seed = len(predicted), int(store.attributes["seed"])
    if n_texts < 2:
        return "not applicable: one text cannot be resampled"
    drawn = bootstrap_multiplicities(n_texts, draws, seed)
    multiplicities = np.concatenate([np.ones((1, n_texts)), drawn, *half_multiplicities(n_texts, splits, seed)])
    differences: dict[str, float] = {}
    errors: list[NDArray[np.float64]] = []

    def scores(name: str, kept: dict[str, NDArray]) -> Scores | None:
        terms = terms_of_tensor(store, name, predicted)
        if terms is None:
            return None
        made = scores_of_multisets(terms, multiplicities)
        differences[name] = disagreement(made[0], kept["top_score"][: made.shape[1]])
        order = np.argsort(kept["top_index"][: made.shape[1]])
        errors.append(_spread(made[: 1 + draws, order]))
        return made

    pool, rows = read_pool(store, scores)
    if not differences:
        return "not available: the store keeps no gradients of single texts; score again"
    missing = [name for name in pool.names if name not in differences]
    if missing:
        log.info("%s: %d tensors have no gradients of single texts (%s ...)",
                 store.attributes["metric"], len(missing), missing[0])  # fmt: skip
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
    return (rows[1:].astype(np.float64) - rows[0]).std(axis=0, ddof=1)


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

    def scores(name: str, kept: dict[str, NDArray]) -> Scores | None:
        if "top_signed" not in kept or "top_stderr" not in kept:
            return None
        signed, error, weight = (kept[key][:_PROBED] for key in ("top_signed", "top_stderr", "top_weight"))
        noise = rng.standard_normal((2 * draws, len(signed)), dtype=np.float32)
        simulated = _OF_CURVATURE[metric](signed + noise * error, weight).astype(np.float32, copy=False)
        order = np.argsort(kept["top_index"][: len(signed)])
        errors.append((_SLOPE[metric](weight) * error).astype(np.float64)[order])
        significant.append((np.abs(signed) > 2 * error)[order])
        return np.concatenate([kept["top_score"][None, : len(signed)], simulated])

    pool, rows = read_pool(store, scores)
    if not errors:
        return "not available: the store keeps no standard errors of its estimates; score again"
    comparisons = {"probes": (slice(1, 1 + 2 * draws, 2), slice(2, 1 + 2 * draws, 2))}
    chosen = np.concatenate(significant)
    return Resampled(pool, rows, slice(1, 1 + 2 * draws), comparisons, "probes", np.concatenate(errors), chosen)
