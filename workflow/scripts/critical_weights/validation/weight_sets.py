"""Sets of weights to intervene on: the top and the bottom of a score store by mode and k, and lists from a CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..compare.lists import read_list
from ..compare.shapes import check_rows, flat_indices, shapes_of_facts
from ..errors import RankingError
from ..metrics import METRICS
from ..ranking.analysed import analysed_tensors, place
from ..ranking.ranking import rank
from ..store.read import ScoreStore
from ..structure.selections import parse_indices

Places = dict[str, NDArray[np.int64]]
"""Tensor name -> flat indices in storage order."""
KINDS = ("top", "bottom", "random", "matched", "list", "weight", "row", "col", "neuron")
"""The k highest or lowest scores; as many others, of any or of the same abs(w); a file's; one weight or line."""


@dataclass(frozen=True)
class WeightSet:
    """Weights to intervene on together.

    Attributes:
        metric: path name of the metric that chose them, or whose selection a control stands beside; a list's name.
        mode: ranking mode, or ``list``.
        kind: one of :data:`KINDS`.
        k: what was asked for of each group of the mode.
        places: the weights.
        seed: of a control's draw.
        name: what else tells it apart: the tensor and line of a single weight, row, column or neuron.
        unmatched: weights of a ``matched`` control that are of another decile, because their own had too few.

    """

    metric: str
    mode: str
    kind: str
    k: int
    places: Places
    seed: int | None = None
    name: str = ""
    unmatched: int = 0

    @property
    def count(self) -> int:
        """Number of weights."""
        return sum(map(len, self.places.values()))


def top_sets(store: ScoreStore, facts: Mapping[str, Any], mode: str, ks: Sequence[int]) -> list[WeightSet]:
    """Return the k highest scores of each group of a mode, for each k.

    Args:
        store: scores of one metric.
        facts: the model's.
        mode: ``perlayer``, ``perblock`` or ``global``.
        ks: weights of each group.

    Raises:
        RankingError: the mode is unknown, or the largest k lies beyond what the store tells.

    """
    frame = rank(store, dict(facts), (), mode, max(ks))
    groups = {"perlayer": frame["parameter"], "perblock": frame["layer"].fillna(-1)}.get(
        mode, pd.Series("", frame.index)
    )
    nth = frame.groupby(groups.to_numpy()).cumcount()
    path = METRICS[store.attributes["metric"]].path
    chosen = ((k, frame[nth < k]) for k in ks)
    return [WeightSet(path, mode, "top", k, _places_of_ranking(part, facts, f"{path}_{mode}")) for k, part in chosen]


def bottom_sets(store: ScoreStore, facts: Mapping[str, Any], mode: str, ks: Sequence[int]) -> list[WeightSet]:
    """Return the k lowest scores of each group; ties by tensor order, then flat index (many scores may be exactly 0).

    Raises:
        RankingError: the store does not hold every score.

    """
    tensors = analysed_tensors(store, dict(facts))
    path = METRICS[store.attributes["metric"]].path
    parts = []
    for tensor in tensors:
        if not store.has_dense(tensor["name"]):
            raise RankingError(f"the lowest scores of {path} are not known: {store.path.name} holds only the highest",
                               fix="Set scoring: dense: true")  # fmt: skip
        scores = store.dense(tensor["name"]).reshape(-1)
        flat = lowest(scores, max(ks))
        group = {"perlayer": tensor["name"], "perblock": place(tensor["layer"])}.get(mode, "")
        parts.append(pd.DataFrame({"name": tensor["name"], "position": tensor["position"], "flat": flat,
                                   "score": scores[flat], "group": group}))  # fmt: skip
    frame = pd.concat(parts).sort_values(["score", "position", "flat"], kind="stable", ignore_index=True)
    nth = frame.groupby("group").cumcount()
    return [WeightSet(path, mode, "bottom", k, _grouped(frame[nth < k], facts)) for k in ks]


def lowest(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the flat indices of the ``count`` lowest scores (all of fewer), ties by index, ascending by score."""
    count = min(count, len(scores))
    threshold = np.partition(scores, count - 1)[count - 1]
    below = np.flatnonzero(scores < threshold)
    chosen = np.concatenate([below, np.flatnonzero(scores == threshold)[: count - len(below)]])
    return chosen[np.argsort(scores[chosen], kind="stable")]


def list_sets(path: str | Path, facts: Mapping[str, Any], ks: Sequence[int]) -> list[WeightSet]:
    """Return the first k weights of a CSV with ``parameter, indices, sensitivity_score``, rows in any order.

    The first are those of the highest score; ties by tensor order, then flat index. A k beyond the list is all of it.

    Raises:
        RankingError: the file cannot be read, has a score that is below 0 or no number, names a weight twice, or is of
            another model.

    """
    path = Path(path)
    rows, shapes = read_list(path), shapes_of_facts(facts)
    check_rows(rows, shapes, fix="The list is of another model")
    names = np.array([shapes.also.get(name, name) for name in rows.names], dtype=object)
    position = {name: place for place, name in enumerate(shapes.tensors)}
    tensor = np.array([position[name] for name in names], np.int64)[rows.tensor]
    flat = flat_indices(rows, shapes)
    best = np.lexsort((flat, tensor, -rows.score))
    frame = pd.DataFrame({"name": names[rows.tensor[best]], "flat": flat[best]})
    lengths = sorted({min(k, len(frame)) for k in ks})
    return [WeightSet(path.stem, "list", "list", k, _grouped(frame.head(k), facts)) for k in lengths]


def _places_of_ranking(frame: pd.DataFrame, facts: Mapping[str, Any], label: str) -> Places:
    """Return the weights of a ranking's ``parameter`` and ``indices`` (text such as ``(3, 5)``, storage order)."""
    tensors = {tensor["name"]: tensor for tensor in facts["tensors"]}
    parts = []
    for name, rows in frame.groupby("parameter", sort=False):
        places = parse_indices(rows["indices"].to_numpy(object), tensors[name], label)
        flat = np.ravel_multi_index(tuple(places.T), tuple(tensors[name]["shape"]))
        parts.append(pd.DataFrame({"name": name, "flat": np.asarray(flat, np.int64)}))
    return _grouped(pd.concat(parts), facts) if parts else {}


def union_of(every: Iterable[Places]) -> Places:
    """Return all weights of many sets, each once, ascending within each tensor."""
    found: dict[str, list[NDArray[np.int64]]] = {}
    for places in every:
        for name, flat in places.items():
            found.setdefault(name, []).append(flat)
    return {name: np.unique(np.concatenate(parts)) for name, parts in found.items()}


def _grouped(frame: pd.DataFrame, facts: Mapping[str, Any]) -> Places:
    found = {name: np.sort(rows["flat"].to_numpy(np.int64)) for name, rows in frame.groupby("name", sort=False)}
    return {tensor["name"]: found[tensor["name"]] for tensor in facts["tensors"] if tensor["name"] in found}
