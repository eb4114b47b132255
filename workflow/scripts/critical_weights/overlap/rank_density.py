"""Where the weights of one metric's ranking stand in another's: a joint histogram of places, for every pair.

Places are counted in bins of 1, 2 and 5 times a power of ten, so that the first ten weights are seen as well as the
last million. Only places that the stores are sure of are used: every place where all scores are kept, else those down
to where the first tensor's candidates run out. Weights of score 0 are all equal and have no place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..concentration.quantiles import EXACT_LIMIT
from ..log import choice, logger
from ..orders import numbered_alike
from ..store.read import ScoreStore, open_store
from ..tables.ranks import RANK_DENSITY
from .ranked_lists import first_of_tensor, list_of_candidates, refuse_stranger

log = logger(__name__)


@dataclass(frozen=True)
class Places:
    """The weights whose place a store knows, best first.

    Attributes:
        metric: full name.
        tensor: number of each weight's tensor, in the order of all stores' tensors.
        index: flat index, storage order.
        tensors: numbers of the tensors that the store has.

    """

    metric: str
    tensor: NDArray[np.int64]
    index: NDArray[np.int64]
    tensors: frozenset[int]


def rank_density_table(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Return the joint histogram of places for every pair of score stores.

    Args:
        paths: score stores of one phase and model, one a metric.

    Returns:
        The columns of :data:`critical_weights.tables.ranks.RANK_DENSITY`; all bins of a pair, empty ones too.

    Raises:
        StoreError: two stores are of one metric, of different models or of different texts.

    """
    sizes: dict[str, int] = {}
    seen: dict[str, tuple[str, Path]] = {}
    found: list[Places] = []
    for path in paths:
        with open_store(path) as store:
            refuse_stranger(store, seen)
            for name in store.names:
                sizes.setdefault(name, store.tensor_attributes(name, ("numel",))["numel"])
            found.append(read_places(store, {name: number for number, name in enumerate(sizes)}))
    return density_of(found, np.array(list(sizes.values()), np.int64))


def read_places(store: ScoreStore, numbers: dict[str, int]) -> Places:
    """Return the weights of a store in ranking order, as far as it is sure of it.

    Args:
        store: scores of one metric.
        numbers: of the tensors, by name.

    """
    metric = store.attributes["metric"]
    own = np.array([numbers[name] for name in store.names], np.int64)
    n_weights = sum(store.tensor_attributes(name, ("numel",))["numel"] for name in store.names)
    dense = all(store.has_dense(name) for name in store.names)
    if dense and n_weights <= EXACT_LIMIT:
        parts = [store.dense(name).reshape(-1) for name in store.names]
        score = np.concatenate(parts)
        tensor = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        index = np.concatenate([np.arange(len(part)) for part in parts])
        order = np.argsort(-score, kind="stable")  # ties stay in tensor order, then by index
        tensor, index, score = tensor[order], index[order], score[order]
        sure = len(score)
    else:
        ranked = list_of_candidates(store.names, (first_of_tensor(store, name) for name in store.names))
        tensor, index, score = ranked.tensor, ranked.index, ranked.score
        sure = int(ranked.known_to.min()) if len(ranked) else 0
        choice(f"places of {metric}", f"the first {sure}", "beyond them the store does not keep every score", log)
    sure = min(sure, int((score > 0).sum()))
    return Places(metric, own[tensor[:sure]], index[:sure], frozenset(own.tolist()))


def density_of(found: Sequence[Places], sizes: NDArray[np.int64]) -> pd.DataFrame:
    """Count the weights of every pair of rankings by their places in both.

    Args:
        found: the rankings.
        sizes: weights of each tensor.

    """
    columns = [column.name for column in RANK_DENSITY.columns]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    numbers = [starts[places.tensor] + places.index for places in found]
    if len(found) < 2:
        return pd.DataFrame(columns=columns)
    n_union, numbered = numbered_alike(numbers)
    edges = [bin_edges(len(places.index)) for places in found]
    tensor_of = np.empty(n_union, np.int32)
    bins = np.empty((len(found), n_union), np.uint8)  # there are some 60 at most
    for row, places, (own, order), edge in zip(bins, found, numbered, edges, strict=True):
        tensor_of[own] = places.tensor[order]
        row[:] = len(edge) - 1  # without a place, unless it is found
        bin_of_place = np.repeat(np.arange(len(edge) - 1, dtype=np.uint8), np.diff(edge))
        row[own] = bin_of_place[order]
    frames = []
    for a, b in combinations(range(len(found)), 2):
        both = np.zeros(len(sizes), bool)
        both[sorted(found[a].tensors & found[b].tensors)] = True
        shape = (len(edges[a]), len(edges[b]))
        cells = bins[a] * np.uint16(shape[1]) + bins[b]
        cells = cells if both.all() else cells[both[tensor_of]]
        counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
        population = int(sizes[both].sum())
        counts[-1, -1] += population - int(counts.sum())  # those that no list names
        frames.append(_pair(found[a].metric, found[b].metric, counts, edges[a], edges[b], population))
    return pd.concat(frames, ignore_index=True)[columns]


def bin_edges(known: int) -> NDArray[np.int64]:
    """Return the first place of each bin: 1, 2, 5, 10, ... up to ``known``; at the end that of what has no place."""
    ladder = [step * 10**power for power in range(19) for step in (1, 2, 5) if step * 10**power <= known]
    return np.array([*ladder, known + 1], np.int64)


def _pair(a: str, b: str, counts: NDArray[np.int64], of_a: NDArray, of_b: NDArray, population: int) -> pd.DataFrame:
    expected = counts.sum(1)[:, None] * (counts.sum(0)[None, :] / max(population, 1))
    row, column = np.indices(counts.shape).reshape(2, -1)
    frame = pd.DataFrame({
        "a": a, "b": b, "a_from": of_a[row], "a_to": np.append(of_a[1:] - 1, -1)[row], "b_from": of_b[column],
        "b_to": np.append(of_b[1:] - 1, -1)[column], "weights": counts.reshape(-1), "expected": expected.reshape(-1),
        "population": population,
    })  # fmt: skip
    ends = {name: frame[name].astype("Int64").mask(frame[name] < 0) for name in ("a_to", "b_to")}
    return frame.assign(**ends)
