"""Selections of weights to describe: of run folders, of the first k of a score store, or of lists made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import RankingError
from ..log import logger
from ..metrics import METRICS
from ..names import Experiment, parse_experiment
from ..ranking.addresses import address_columns
from ..ranking.analysed import analysed_tensors
from ..ranking.ranking import read_ranking
from ..ranking.top_entries import Entries, join, top_of_tensor
from ..store.read import ScoreStore, open_store, refuse_second

log = logger(__name__)

KS = (100, 1000, 10000)
"""The first so many weights of each score store are described, whether or not an experiment asks for them."""


@dataclass(frozen=True)
class Selection:
    """Selected weights.

    Attributes:
        label: run name, or the name of a list.
        metric: full name of the metric, empty for lists made elsewhere.
        mode: ranking mode, or ``list``.
        k: weights asked for of each group.
        frame: ``parameter, indices, sensitivity_score`` (others may follow), in any row order.
        scored: names of the tensors that the metric scores, the only ones that it can select from; None where that is
            not known: then all analysed ones count.

    """

    label: str
    metric: str
    mode: str
    k: int
    frame: pd.DataFrame
    scored: frozenset[str] | None = None


@dataclass(frozen=True)
class Placed:
    """The weights of a selection with a score above 0, by place; equal lengths.

    Attributes:
        tensor: place in the facts' ``tensors``.
        expert: -1 where the tensor has no such axis, as for the next two.
        row: output index.
        col: input index.
        score: their scores.
        zeros: how many more weights of the selection have score 0: only their index put them there.

    """

    tensor: NDArray[np.int64]
    expert: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    score: NDArray[np.float64]
    zeros: int


def selections_of(
    rankings: Sequence[str | Path], stores: Sequence[str | Path], facts: dict[str, Any]
) -> list[Selection]:
    """Return the selections of run folders, then the first weights of each store that no run folder selects.

    Args:
        rankings: ``top_weights.csv`` of run folders.
        stores: score stores; that of a ranking's metric tells what the ranking was taken from.
        facts: the model's facts.

    Raises:
        RankingError: a ranking is damaged.
        StoreError: a store is, is of another model, or two are of one metric.

    """
    experiments: dict[str, tuple[Experiment, str | Path]] = {}
    for path in rankings:
        phase, model, run = Path(path).resolve().parts[-4:-1]
        experiments[run] = parse_experiment(f"{phase}/{model}/{run}", [phase], [model]), path
    seen: dict[str, Path] = {}
    scored: dict[str, frozenset[str]] = {}
    first: list[Selection] = []
    for path in stores:
        with open_store(path, {"model_sha256": facts["sha256"]}) as store:
            refuse_second(store, seen)
            tensors = analysed_tensors(store, facts)
            names = scored[store.attributes["metric"]] = frozenset(tensor["name"] for tensor in tensors)
            first += [own for own in _first_of(store, tensors, names) if own.label not in experiments]
    runs = [
        Selection(run, own.metric_full, own.mode, own.k, read_ranking(path), scored.get(own.metric_full))
        for run, (own, path) in experiments.items()
    ]
    return runs + first


def _first_of(store: ScoreStore, tensors: list[dict[str, Any]], names: frozenset[str]) -> Iterator[Selection]:
    metric = store.attributes["metric"]
    for k in sorted(KS, reverse=True):
        best = _best(store, tensors, k)
        if best is None:
            log.info("the first %d weights of %s are not described: fewer candidates are kept", k, metric)
            continue
        frame = frame_of_entries(best, tensors)
        for length in (length for length in KS if length <= k):
            label = f"{METRICS[metric].path}_global_k{length}"
            yield Selection(label, metric, "global", length, frame.head(length), names)
        return


def _best(store: ScoreStore, tensors: list[dict[str, Any]], k: int) -> Entries | None:
    best: list[Entries] = []
    for tensor in tensors:
        entries = top_of_tensor(store, tensor, k, values=())
        if entries is None:
            return None
        best.append(entries)
        if sum(map(len, best)) > 8 * k:  # what cannot be among the first k need not be carried along
            best = [join(best).best(k)]
    return join(best).best(k)


def frame_of_entries(entries: Entries, tensors: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return scored weights as ``parameter, indices, sensitivity_score``, in their order."""
    names, indices = np.empty(len(entries), object), np.empty(len(entries), object)
    for tensor in tensors:
        places = np.flatnonzero(entries.tensor == tensor["position"])
        if len(places):
            names[places] = tensor["name"]
            indices[places] = address_columns(tensor, entries.index[places])["indices"]
    return pd.DataFrame({"parameter": names, "indices": indices, "sensitivity_score": entries.score})


def scored_tensors(selection: Selection, facts: dict[str, Any]) -> list[bool]:
    """Return of each of the facts' tensors whether the selection could take weights from it."""
    return [
        tensor["analysed"] and (selection.scored is None or tensor["name"] in selection.scored)
        for tensor in facts["tensors"]
    ]


def place_weights(selection: Selection, facts: dict[str, Any]) -> Placed:
    """Put the weights of a selection in tensor order by their indices; the order of its rows does not matter.

    Args:
        selection: the weights.
        facts: the model's, or what :func:`critical_weights.structure.tensor_roles.facts_of_names` returns.

    Raises:
        RankingError: a tensor is unknown, an index tuple does not fit its tensor, or a score is below 0 or no number.

    """
    frame = selection.frame
    score = frame["sensitivity_score"].to_numpy(np.float64)
    if not (score >= 0).all():
        wrong = ~(score >= 0)
        raise RankingError(
            f"{int(wrong.sum())} of {len(score)} rows of {selection.label} have a score that is below 0 or no number, "
            f"first {frame['parameter'].iloc[int(wrong.argmax())]} {frame['indices'].iloc[int(wrong.argmax())]} "
            f"({score[int(wrong.argmax())]:g})",
            fix="A score says how much a weight matters: give its absolute value, or leave the weight out",
        )
    order = {tensor["name"]: place for place, tensor in enumerate(facts["tensors"])}
    codes, names = pd.factorize(frame["parameter"])
    unknown = [name for name in names if name not in order]
    if unknown:
        raise RankingError(f"{selection.label} names {unknown[0]}, which the model's facts do not have")
    tensor = np.array([order[name] for name in names], np.int64)[codes] if len(names) else np.zeros(0, np.int64)
    places = {word: np.full(len(frame), -1, np.int64) for word in ("expert", "row", "col")}
    texts = frame["indices"].to_numpy(object)
    for number in np.unique(tensor):
        own = facts["tensors"][number]
        rows = np.flatnonzero(tensor == number)
        for word, values in zip(own["axes"], parse_indices(texts[rows], own, selection.label).T, strict=True):
            if word in places:
                places[word][rows] = values
    kept = np.flatnonzero(score > 0)
    kept = kept[np.lexsort((*(places[word][kept] for word in ("col", "row", "expert")), tensor[kept]))]
    return Placed(tensor[kept], *(places[word][kept] for word in places), score[kept], len(score) - len(kept))


_BRACKETS = str.maketrans("(),", "   ")


def parse_indices(texts: Sequence[str], tensor: dict[str, Any], label: str) -> NDArray[np.int64]:
    """Read index tuples such as ``(3, 5)`` of one tensor: one row a weight, one column an axis.

    Raises:
        RankingError: one has another number of indices than the tensor axes, or lies outside its shape.

    """
    dimensions = len(tensor["axes"])
    try:
        # One pass over all: a tuple with a number too many and one with a number too few would go unnoticed.
        values = np.array(" ".join(texts).translate(_BRACKETS).split(), np.int64).reshape(len(texts), dimensions)
        fits = len({text.count(",") for text in texts} - ({0, 1} if dimensions == 1 else {dimensions - 1})) == 0
    except ValueError:
        fits = False
    if fits and tensor["shape"] is not None:
        fits = bool(((values >= 0) & (values < np.array(tensor["shape"]))).all())
    if not fits:
        shape = tuple(tensor["shape"]) if tensor["shape"] is not None else f"{dimensions} axes"
        raise RankingError(f"{label} has an index tuple that does not fit {tensor['name']}", expected=f"within {shape}")
    return values
