"""The candidates of a store that can be resampled: their places, where they end, and how far they can answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..names import MODES
from ..overlap.groups import LADDER
from ..ranking.analysed import place
from ..store.read import ScoreStore
from .resample_columns import Columns, Scores

_EDGE = 0.9


@dataclass(frozen=True)
class Pool:
    """The first candidates of every tensor, in tensor order and by flat index, as ties are decided.

    Attributes:
        names: the tensors, in the model's order.
        layers: of each tensor the index of its block, None outside.
        start: (tensors + 1,) where each tensor's weights start.
        index: (n,) flat index of each weight, storage order.
        stored: (n,) its score in the store.
        edge: (n,) whether it is of the last tenth of the candidates of a tensor that has more weights than those: where
            many weights from there get to the first places, others that are not there would, too.
        floor: (tensors,) the score that no weight beyond the candidates exceeds; minus infinity where all are there.

    """

    names: tuple[str, ...]
    layers: tuple[int | None, ...]
    start: NDArray[np.int64]
    index: NDArray[np.int64]
    stored: Scores
    edge: NDArray[np.bool_]
    floor: NDArray[np.float64]


def read_pool(
    store: ScoreStore,
    fields: Sequence[str],
    resample: Callable[[str, dict[str, NDArray]], tuple[NDArray[np.int64], Scores] | None],
) -> tuple[Pool, Columns]:
    """Read a store's candidates and resample their scores, a tensor at a time.

    Args:
        store: scores of one metric.
        fields: what ``resample`` needs of the candidates besides ``top_index`` and ``top_score``.
        resample: given a tensor's name and candidates, the order by index of the first m of them and their scores
            (rows, m) in each resample, in that order; None where it has none: then the first candidate's score is the
            floor of that tensor.

    Returns:
        The pool, and (rows, n) scores, columns in the pool's order.

    """
    index, stored, edge, floor, layers, rows = [], [], [], [], [], []
    for name in store.names:
        kept = store.candidates(name, ("top_score", "top_index", *fields))
        order, drawn = resample(name, kept) or (np.zeros(0, np.int64), np.zeros((1, 0), np.float32))
        m = len(order)
        tensor = store.tensor_attributes(name, ("numel", "layer"))
        cut = m < tensor["numel"]
        layers.append(tensor["layer"])
        index.append(kept["top_index"][order])
        stored.append(kept["top_score"][order])
        edge.append((order >= _EDGE * m) & cut)
        floor.append(kept["top_score"][max(m - 1, 0)] if cut else -np.inf)
        rows.append(drawn)
    start = np.cumsum([0, *map(len, index)]).astype(np.int64)
    joined = [np.concatenate(parts) for parts in (index, stored, edge)]
    return Pool(tuple(store.names), tuple(layers), start, *joined, np.array(floor, np.float64)), Columns(rows)


@dataclass(frozen=True)
class Group:
    """Weights that compete for the first k places.

    Attributes:
        columns: of the pool, ascending.
        floor: the score that no weight of these tensors beyond the candidates exceeds.
        known: how many first weights of the group are sure to be the first of all weights of its tensors.

    """

    columns: NDArray[np.int64]
    floor: float
    known: int

    def ladder(self, scores: Scores) -> list[int]:
        """Return the ks that can be compared: known, less than everything, and with a score above 0 at place k.

        Args:
            scores: of all weights, by which they are ranked.

        """
        ranked = np.sort(scores[self.columns])[::-1]
        return [k for k in LADDER if k <= self.known and k < len(ranked) and ranked[k - 1] > 0]


def groups(pool: Pool, mode: str) -> dict[str, Group]:
    """Return the groups of a ranking mode with at least one candidate: tensors, blocks, or all weights together."""
    assert mode in MODES
    members: dict[str, list[int]] = {}
    for position, (name, layer) in enumerate(zip(pool.names, pool.layers, strict=True)):
        key = {"perlayer": name, "perblock": place(layer), "global": "all"}[mode]
        members.setdefault(key, []).append(position)
    found = {}
    for key, tensors in members.items():
        columns = np.concatenate([np.arange(pool.start[t], pool.start[t + 1]) for t in tensors])
        floor = float(pool.floor[tensors].max())
        if len(columns):
            found[key] = Group(columns, floor, int((pool.stored[columns] > floor).sum()))
    return found
