"""Rank-biased overlap of two rankings that are known to a depth, with what their unknown rest leaves open."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_NEGLIGIBLE = 1e-18


def rank_biased_overlap(deeper: NDArray[np.int64], depth: int, p: float) -> tuple[float, float, float]:
    """Return the rank-biased overlap of two rankings: (extrapolated, lower bound, upper bound).

    RBO = (1 - p) sum over d >= 1 of p^(d - 1) A_d, with A_d the part of the first d places that both have in common:
    1 for equal rankings, 0 for disjoint ones. Only ``depth`` places are known: the lower bound takes what follows for
    disjoint, the upper bound for as much in common as can be, and the extrapolation lets A stay as it is at the end.
    Source: Webber, Moffat & Zobel 2010, A similarity measure for indefinite rankings, equations 11, 30 and 32.

    Args:
        deeper: for each weight in the first ``depth`` places of both, the larger of its two places, from 0.
        depth: places known of both.
        p: persistence, above 0 and below 1: the mean depth of comparison is 1 / (1 - p).

    Returns:
        Three times NaN where ``depth`` is 0.

    """
    if depth == 0:
        return float("nan"), float("nan"), float("nan")
    last = min(depth, int(np.ceil(np.log(_NEGLIGIBLE) / np.log(p))))  # beyond that no place has a weight
    common = np.cumsum(np.bincount(deeper[deeper < last], minlength=last))
    places, powers = np.arange(1, last + 1), _powers(p, 0, last)
    seen = (1 - p) / p * float((common / places * powers).sum())
    shared = len(deeper)
    rest = p**depth
    # (1 - p) / p * the sum of p^d / d over the places beyond the known ones: the series of -log(1 - p) less these.
    beyond = (-np.log1p(-p) - float((powers / places).sum())) * (1 - p) / p if last == depth else 0.0
    low = seen + shared * max(beyond, 0.0)
    # At best every further place brings both lists a weight that the other already has, until all are shared.
    most = depth + int(np.ceil(-np.log(_NEGLIGIBLE) / (1 - p)))
    full = min(2 * depth - shared, most)
    further = np.arange(depth + 1, full + 1)
    growth = np.minimum((2 * further - 2 * depth + shared) / further, 1.0) if len(further) else further
    high = (
        seen + (1 - p) / p * float((growth * _powers(p, depth, min(2 * depth, most))[: len(further)]).sum()) + p**full
    )
    value = seen + shared / depth * rest
    return value, min(low, value), max(high, value)


@lru_cache(maxsize=8)
def _powers(p: float, start: int, stop: int) -> NDArray[np.float64]:
    """Return p to the powers after ``start`` up to ``stop``, which all rankings of one depth need."""
    return p ** np.arange(start + 1, stop + 1)
