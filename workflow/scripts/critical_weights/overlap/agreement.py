"""How far two metrics rank and score alike: rank-biased overlap, and correlations of the scores of top weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..log import logger
from ..orders import grouped
from ..tables.agreement import AGREEMENT
from .agreement_scores import KnownScores
from .groups import Groups, Listed, in_one_numbering
from .rank_biased_overlap import rank_biased_overlap
from .rank_correlation import rank_correlations
from .ranked_lists import lists_of_stores

log = logger(__name__)

PERSISTENCE = (0.9, 0.98, 0.999)
"""Mean depths of comparison of 10, 50 and 1000 places."""
DEPTH_GLOBAL, DEPTH_TENSOR = 10_000, 1000
"""Places of each ranking whose weights are correlated."""


def agreement_table(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Compare all pairs of score stores of one model, over all tensors and within each.

    - ``rbo``: rank-biased overlap at each of :data:`PERSISTENCE`, of the rankings down to the place where one is no
      longer sure (its candidates have run out, or its scores are 0, whose order means nothing).
    - ``spearman``, ``kendall`` (tau-b) of the two scores, over the weights ``shared`` by the first ``depth`` places of
      both, and over the ``union`` of these where every score of it is known: stores with dense scores.

    Returns:
        The columns of :data:`critical_weights.tables.agreement.AGREEMENT`.

    Raises:
        StoreError: two stores are of one metric, of different models or of different texts.

    """
    lists, population = lists_of_stores(paths)
    names, listed = in_one_numbering(lists)
    known = KnownScores(paths, names, listed, sum(population.values()), DEPTH_GLOBAL, DEPTH_TENSOR)
    rows: list[dict[str, Any]] = []
    for a, b in combinations(listed, 2):
        for scope, tensor, figures in _groups(listed[a], listed[b], names, known.of_pair(a, b)):
            rows += [{"scope": scope, "tensor": tensor, "a": a, "b": b, **figure} for figure in figures]
    columns = {column.name: column.dtype for column in AGREEMENT.columns}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _groups(
    a: Listed, b: Listed, names: Sequence[str], known: tuple[NDArray[np.int64], NDArray[np.float32]] | None
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield the scope, the tensor and the figures of each group of tensors."""
    shared = [one.places[held] for one, held in zip((a, b), a.shared_with(b), strict=True)]
    both = a.named & b.named
    over_all = [one.whole if both.all() else one.grouped(np.where(both, 0, -1), 1) for one in (a, b)]
    for scope, sides, limit in (("global", over_all, DEPTH_GLOBAL), ("tensor", [a.within, b.within], DEPTH_TENSOR)):
        depths = np.minimum(sides[0].depth, sides[1].depth)
        deeper = np.maximum(sides[0].place[shared[0]], sides[1].place[shared[1]])
        # Weights that both have come tensor by tensor, and what is not divided by tensor is one group.
        bounds = np.searchsorted(sides[0].group[shared[0]], np.arange(len(depths) + 1, dtype=np.int32))
        if known is not None:
            tops = [_by_group(one, side, depths, limit) for one, side in zip((a, b), sides, strict=True)]
        for place, depth in enumerate(depths):
            if scope == "tensor" and not both[place]:
                continue
            own = slice(bounds[place], bounds[place + 1])
            figures = list(_rbo(deeper[own], int(depth)))
            top = deeper[own] < min(depth, limit)
            scores = (one.score[places[own][top]] for one, places in zip((a, b), shared, strict=True))
            figures += _correlations("shared", min(int(depth), limit), *scores)
            if known is not None:
                union = np.union1d(tops[0][place], tops[1][place])
                values = known[1][:, np.searchsorted(known[0], union)]
                if not np.isnan(values).any():
                    figures += _correlations("union", min(int(depth), limit), *values)
            yield scope, names[place] if scope == "tensor" else "", figures


def _by_group(listed: Listed, side: Groups, depths: NDArray[np.int64], limit: int) -> list[NDArray[np.int64]]:
    """Return the numbers of the first weights of each group, to its depth or the limit."""
    inside = np.flatnonzero((side.group >= 0) & (side.place < np.minimum(depths, limit)[side.group]))
    inside = inside[grouped(side.group[inside])]
    return np.split(listed.number[inside], np.searchsorted(side.group[inside], np.arange(1, len(depths))))


def _rbo(deeper: NDArray[np.int64], depth: int) -> Iterator[dict[str, Any]]:
    inside = deeper[deeper < depth]
    for p in PERSISTENCE:
        value, low, high = rank_biased_overlap(inside, depth, p)
        yield {"quantity": "rbo", "over": "ranking", "persistence": p, "value": value, "low": low, "high": high,
               "depth": depth, "n": len(inside)}  # fmt: skip


def _correlations(over: str, depth: int, a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    for quantity, value in zip(("spearman", "kendall"), rank_correlations(a, b), strict=True):
        yield {"quantity": quantity, "over": over, "persistence": np.nan, "value": value, "low": np.nan,
               "high": np.nan, "depth": depth, "n": len(a)}  # fmt: skip
