"""The place of single weights in a score store's ranking: exact where the kept scores can tell, else a bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..store.read import ScoreStore


@dataclass
class PlaceOfWeight:
    """Where a weight stands by one metric; places from 1, ties by tensor order and then flat index.

    Attributes:
        score: its score; None where it is not among the candidates and the store holds no dense scores of its tensor.
        rank: its place among all scored weights, or None.
        rank_above: what its place is greater than, where ``rank`` is None.
        rank_in_tensor: its place within its tensor, or None.
        rank_in_tensor_above: likewise.
        note: why there is no score at all; then all places are None.

    """

    score: float | None = None
    rank: int | None = None
    rank_above: int | None = None
    rank_in_tensor: int | None = None
    rank_in_tensor_above: int | None = None
    note: str = ""


def places_of(store: ScoreStore, weights: Sequence[tuple[str, int]]) -> list[PlaceOfWeight]:
    """Find the places of weights in a store's ranking.

    Scores are known of the candidates of each tensor and, where they are kept, of all weights. Of a weight beyond both
    it is only known that it scores no more than its tensor's last candidate.

    Args:
        store: scores of one metric.
        weights: tensor name and flat index of each weight.

    """
    result = [PlaceOfWeight() for _ in weights]
    known: list[tuple[int, np.float32, bool]] = []
    for place, (name, index) in enumerate(weights):
        if name not in store:
            result[place].note = store.attributes["skipped"].get(name, "the store has no scores of this tensor")
            continue
        score, exact = _score(store, name, index)
        result[place].score = float(score) if exact else None
        known.append((place, score, exact))
    before = {place: [0, exact] for place, _, exact in known}  # weights before it, and whether that is all of them
    for position, name in enumerate(store.names) if known else ():
        kept = store.candidates(name, ("top_index", "top_score"))
        counter = _Counter(store, name, kept["top_index"], kept["top_score"])
        for place, score, exact in known:
            own, index = weights[place]
            at = store.names.index(own)
            ties = index if at == position else np.inf if position < at else -1
            count, sure = counter.before(score, ties if exact else -1)
            before[place][0] += count
            before[place][1] &= sure
            if at == position:
                if not exact:  # its score is at most the last candidate's, and it is none of the candidates
                    before[place][0] += len(kept["top_index"]) - count
                    count = len(kept["top_index"])
                found = (count + 1, None) if sure and exact else (None, count)
                result[place].rank_in_tensor, result[place].rank_in_tensor_above = found
    for place, (count, sure) in before.items():
        result[place].rank, result[place].rank_above = (count + 1, None) if sure else (None, count)
    return result


def _score(store: ScoreStore, name: str, index: int) -> tuple[np.float32, bool]:
    """Return a weight's score, or the bound that the last candidate gives, and which of the two it is."""
    kept = store.candidates(name, ("top_index", "top_score"))
    found = np.flatnonzero(kept["top_index"] == index)
    if len(found):
        return kept["top_score"][found[0]], True
    if store.has_dense(name):
        return store.dense(name).reshape(-1)[index], True
    return kept["top_score"][-1], False


class _Counter:
    """Counts the weights of one tensor that come before a score."""

    def __init__(self, store: ScoreStore, name: str, index: NDArray[np.int64], score: NDArray[np.float32]) -> None:
        self._index, self._score = index, score
        self._numel = store.tensor_attributes(name, ("numel",))["numel"]
        self._edges = store.edges
        self._read = partial(store.dense, name) if store.has_dense(name) else None
        self._count = partial(store.histogram, name)
        self._dense: NDArray[np.float32] | None = None

    def before(self, score: np.float32, ties: float) -> tuple[int, bool]:
        """Return how many weights score more, or as much with an index below ``ties``, and whether these are all."""
        if len(self._index) == self._numel or self._score[-1] < score:
            return _before(self._score, self._index, score, ties), True
        if self._read:
            self._dense = self._read().reshape(-1) if self._dense is None else self._dense
            more = int((self._dense > score).sum())
            return more + int((np.flatnonzero(self._dense == score) < ties).sum()), True
        # Candidates of one score are the first of that score by index: ties below one of them are all among them.
        if self._score[-1] == score and ties <= self._index[-1]:
            return _before(self._score, self._index, score, ties), True
        above = int(np.searchsorted(self._edges, np.float64(score), side="right"))
        in_bins_above = int(self._count()[above:].sum())
        return max(_before(self._score, self._index, score, ties), in_bins_above), False


def _before(scores: NDArray[np.float32], index: NDArray[np.int64], score: np.float32, ties: float) -> int:
    return int(((scores > score) | ((scores == score) & (index < ties))).sum())
