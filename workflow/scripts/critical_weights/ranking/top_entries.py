"""The exact first weights of one tensor, from a store's candidates or, beyond them, from its dense scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..store.read import ScoreStore

VALUES = ("top_weight", "top_gradient")
_SMALLEST = np.float32(2.0**-149)


@dataclass(frozen=True)
class Entries:
    """Scored weights, one an element of arrays of equal length.

    Attributes:
        tensor: ``position`` of the weight's tensor in the model's order (int64).
        index: flat index in storage order (int64).
        score: float32.
        weight: the weight's value, NaN where the store does not keep it.
        gradient: its signed gradient, NaN where the metric has none or the store does not keep it.

    """

    tensor: NDArray[np.int64]
    index: NDArray[np.int64]
    score: NDArray[np.float32]
    weight: NDArray[np.float32]
    gradient: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

    def best(self, k: int) -> Entries:
        """Return the first ``k`` in ranking order: score descending, then tensor order, then flat index."""
        chosen = np.arange(len(self))
        if len(self) > k:
            threshold = np.partition(self.score, len(self) - k)[len(self) - k]
            chosen = np.flatnonzero(self.score >= threshold)
        order = np.lexsort((self.index[chosen], self.tensor[chosen], -self.score[chosen]))[:k]
        return Entries(*(getattr(self, field.name)[chosen[order]] for field in fields(self)))


def join(parts: Sequence[Entries]) -> Entries:
    """Put several lists of weights one after the other."""
    return Entries(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Entries)))


def top_of_tensor(
    store: ScoreStore, tensor: dict[str, Any], count: int, values: Sequence[str] = VALUES
) -> Entries | None:
    """Return the first ``count`` weights of a tensor (all of a smaller one), ties by flat index; exact.

    The values of weights and gradients are kept with the candidates only; beyond them they are NaN.

    Args:
        store: scores of one metric.
        tensor: the tensor's facts (``name, position, numel``).
        count: weights wanted.
        values: those of :data:`VALUES` that are wanted; others are NaN.

    Returns:
        The weights in ranking order, or None where neither candidates nor dense scores reach so far.

    Raises:
        StoreError: the dense scores contradict the histogram or the candidates.

    """
    name, count = tensor["name"], min(count, tensor["numel"])
    kept = store.candidates(name, ("top_index", "top_score", *values))
    known = min(count, len(kept["top_index"]))
    index, score = kept["top_index"][:count], kept["top_score"][:count]
    if count > known:
        if not store.has_dense(name):
            return None
        flat = store.dense(name).reshape(-1)
        dense_index = _top_of_dense(flat, store.histogram(name), store.edges, count)
        if len(dense_index) < count or not np.array_equal(dense_index[:known], index):
            raise StoreError(
                f"score store {store.path} contradicts itself: dense scores and candidates of {name} differ",
                fix="Delete it; the next run scores again",
            )
        index, score = dense_index, flat[dense_index]
    found = {field: np.full(count, np.nan, np.float32) for field in VALUES}
    for field in found.keys() & kept.keys():
        found[field][:known] = kept[field][:known]
    position = np.full(count, tensor["position"], np.int64)
    return Entries(position, index.astype(np.int64), score, *found.values())


def _top_of_dense(
    flat: NDArray[np.float32], counts: NDArray[np.int64], edges: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Return the flat indices of the ``count`` largest scores in ranking order.

    The histogram says from which bin on they lie, so that only a few more than ``count`` scores are sorted.
    """
    from_top = np.cumsum(counts[::-1])
    floor = _SMALLEST
    if from_top[-1] >= count:
        floor = np.float32(edges[len(counts) - 1 - int(np.searchsorted(from_top, count))])
    chosen = np.flatnonzero(flat >= floor)
    chosen = chosen[np.argsort(-flat[chosen], kind="stable")][:count]
    if len(chosen) == count:
        return chosen
    return np.concatenate([chosen, np.flatnonzero(flat == 0)[: count - len(chosen)]])
