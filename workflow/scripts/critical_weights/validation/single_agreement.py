"""How well a metric's scores order single weights by their measured damage, and how far Taylor is from the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..evaluation.bootstrap import quantiles

Floats = NDArray[np.float64]


def single_agreement(
    weights: pd.DataFrame, scores: pd.DataFrame, metric: str, draws: int, seed: int
) -> dict[str, float]:
    """Return the columns of a verdict that are about single weights.

    The rank correlation is over the weights sampled for any metric whose score of this one is known: the same for
    every metric where every score is kept. The top weights, which were not sampled, stay out of it. The predictions
    are judged on the weights taken for this metric, where neither side is exactly 0.

    Args:
        weights: ``single_weights.csv``.
        scores: ``single_scores.csv``.
        metric: path name.
        draws: bootstrap draws of weights for the interval.
        seed: of the draws.

    """
    sampled = set(scores.loc[scores["drawn"].str.contains("sample"), "number"])
    own = scores[scores["metric"] == metric].merge(weights, on="number").sort_values("number")
    known = own[own["number"].isin(sampled) & own["score"].notna() & np.isfinite(own["dnll"])]
    score, damage = known["score"].to_numpy(np.float64), known["dnll"].to_numpy(np.float64)
    rng = np.random.default_rng([seed, 4])
    drawn = rng.integers(len(known), size=(draws, len(known))) if len(known) else np.zeros((draws, 0), np.int64)
    spread = spearman(score[drawn], np.abs(damage)[drawn])
    low, high = quantiles(spread[None])
    taken = own[(own["drawn"] != "") & np.isfinite(own["dnll"])]
    tops = own[own["drawn"].str.contains("top")]
    return {
        "spearman": spearman(score[None], np.abs(damage)[None])[0],
        "spearman_low": low[0],
        "spearman_high": high[0],
        "spearman_signed": spearman(score[None], damage[None])[0],
        "n_single": len(known),
        "first_order_ratio": _median_ratio(taken["first_order"], taken["dnll"]),
        "second_order_ratio": _median_ratio(taken["second_order"], taken["dnll"]),
        "first_order_sign": _same_sign(taken["first_order"], taken["dnll"]),
        "largest_single": tops["dnll"].max() if len(tops) else np.nan,
    }


def spearman(a: Floats, b: Floats) -> Floats:
    """Return Spearman's rank correlation of each row of two arrays, ties at their mean rank; NaN for a constant row."""
    if a.shape[1] < 2:
        return np.full(len(a), np.nan)
    # By pandas, which is here already: scipy.stats takes longer to import than all of this to compute.
    first, second = (pd.DataFrame(x).rank(axis=1).to_numpy() - (x.shape[1] + 1) / 2 for x in (a, b))
    size = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return np.divide((first * second).sum(1), size, out=np.full(len(a), np.nan), where=size > 0)


def _median_ratio(predicted: pd.Series, measured: pd.Series) -> float:
    both = (predicted != 0) & (measured != 0) & np.isfinite(predicted)
    return float((predicted[both] / measured[both]).abs().median()) if both.any() else np.nan


def _same_sign(predicted: pd.Series, measured: pd.Series) -> float:
    both = (predicted != 0) & (measured != 0)
    return float((np.sign(predicted[both]) == np.sign(measured[both])).mean()) if both.any() else np.nan
