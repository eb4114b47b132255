"""Ranked lists of weights, from score stores or elsewhere, in one form for comparing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..orders import descending
from ..store.read import ScoreStore, open_store


@dataclass(frozen=True)
class RankedList:
    """Weights in ranking order: score descending, ties by tensor order and then flat index.

    Attributes:
        names: the tensors that the list may name, in the model's order.
        tensor: place in ``names`` of each weight's tensor.
        index: flat index of each weight, storage order.
        score: its score.
        known_to: by tensor, how many first places of the list are sure to miss none of its weights. A list cut tensor
            by tensor knows a tensor up to that tensor's last place; one that holds a whole tensor knows it throughout
            (``len(list)``); one cut at its own end knows every tensor up to there.
        known_within: by tensor, how many of the tensor's own first weights the list is sure to hold in order; None:
            all that it names, as wherever a list of weights is cut.

    """

    names: tuple[str, ...]
    tensor: NDArray[np.int64]
    index: NDArray[np.int64]
    score: NDArray[np.float32]
    known_to: NDArray[np.int64]
    known_within: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.score)


def list_of_candidates(
    names: Sequence[str], parts: Iterable[tuple[NDArray[np.int64], NDArray[np.float32], int]]
) -> RankedList:
    """Join each tensor's first weights into one list.

    Args:
        names: the tensors, in the model's order.
        parts: for each tensor the flat indices and scores of its first weights, best first, and its number of weights.

    """
    parts = list(parts)
    lengths = np.array([len(index) for index, _, _ in parts], np.int64)
    tensor = np.repeat(np.arange(len(parts)), lengths)
    index = np.concatenate([index for index, _, _ in parts]).astype(np.int64)
    score = np.concatenate([score for _, score, _ in parts])
    order = descending(score)  # parts are in tensor order and ranked within: ties stay right
    tensor, index, score = tensor[order], index[order], score[order]
    last = np.zeros(len(parts), np.int64)
    last[tensor] = np.arange(1, len(tensor) + 1)  # the last place assigned to a tensor is what stays
    whole = lengths == np.array([numel for _, _, numel in parts])
    return RankedList(tuple(names), tensor, index, score, np.where(whole, len(score), last))


def list_of_all(names: Sequence[str], scores: Sequence[NDArray[np.float32]]) -> RankedList:
    """Rank everything that each tensor has.

    Args:
        names: the tensors, in the model's order.
        scores: of each tensor all scores, by flat index.

    """
    lengths = np.array([len(own) for own in scores], np.int64)
    score = np.concatenate([np.zeros(0, np.float32), *scores])
    order = descending(score)
    tensor = np.repeat(np.arange(len(scores)), lengths)[order]
    starts = np.cumsum(lengths) - lengths
    return RankedList(tuple(names), tensor, order - starts[tensor], score[order], np.full(len(scores), len(order)))


def lists_of_stores(paths: Sequence[str | Path]) -> tuple[dict[str, RankedList], dict[str, int]]:
    """Read the candidates of score stores of one model.

    Returns:
        The lists by metric (full name), in the order of ``paths``; and the number of weights of each tensor.

    Raises:
        StoreError: two stores are of one metric, of different models or of different texts.

    """
    lists: dict[str, RankedList] = {}
    population: dict[str, int] = {}
    seen: dict[str, tuple[str, Path]] = {}
    for path in paths:
        with open_store(path) as store:
            refuse_stranger(store, seen)
            population |= {name: store.tensor_attributes(name, ("numel",))["numel"] for name in store.names}
            parts = (first_of_tensor(store, name) for name in store.names)
            lists[store.attributes["metric"]] = list_of_candidates(store.names, parts)
    return lists, population


def refuse_stranger(store: ScoreStore, seen: dict[str, tuple[str, Path]]) -> None:
    """Refuse a store that does not belong to one table with those before it, which are noted in ``seen``.

    Raises:
        StoreError: an earlier one is of the same metric, of another model or, where both read any, of other texts.

    """
    metric = store.attributes["metric"]
    if metric in seen:
        raise StoreError(f"two of the score stores are of {metric}, the second one {store.path}")
    seen[metric] = metric, store.path
    for key, word in (("model_sha256", "another model"), ("calibration_sha256", "other texts")):
        own = store.attributes[key]
        if own is None:  # a metric that reads no texts fits all
            continue
        first, path = seen.setdefault(key, (own, store.path))
        if own != first:
            raise StoreError(f"score store {store.path} is of {word} than {path}", got=own, expected=first)


def first_of_tensor(store: ScoreStore, name: str) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Return the flat indices and scores of a tensor's candidates, best first, and its number of weights."""
    kept = store.candidates(name, ("top_index", "top_score"))
    return kept["top_index"], kept["top_score"], store.tensor_attributes(name, ("numel",))["numel"]
