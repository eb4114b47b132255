"""The score stores of all configured experiments, and the first weights of each: where the tables over them start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import StoreError
from ..files import read_json
from ..log import logger
from ..ranking.analysed import analysed_tensors
from ..ranking.top_entries import Entries, join, top_of_tensor
from ..store.read import ScoreStore, open_store
from ..tables.schema import Table

log = logger(__name__)

KS = (100, 1000, 10000)
"""The first so many weights, over all tensors, that are compared."""


@dataclass(frozen=True)
class Scored:
    """One score store: of a phase, a model and a metric (full name)."""

    phase: str
    model: str
    metric: str
    path: Path


@dataclass
class Study:
    """All score stores, by phase, model and metric, with the facts of their models.

    Attributes:
        scored: the stores, in the order given.
        facts: ``model.json`` by (phase, model).

    """

    scored: list[Scored]
    facts: dict[tuple[str, str], dict[str, Any]]
    _best: dict[Path, Entries] = field(default_factory=dict)

    def facts_of(self, one: Scored) -> dict[str, Any]:
        """Return the facts of the model of a store."""
        return self.facts[one.phase, one.model]

    def best(self, one: Scored) -> Entries:
        """Return the first weights of a store over all tensors; read once, exact; see :func:`first_weights`."""
        if one.path not in self._best:
            with open_store(one.path) as store:
                self._best[one.path] = first_weights(store, analysed_tensors(store, self.facts_of(one)), max(KS))
        return self._best[one.path]

    def pairs(self, vary: str) -> Iterator[tuple[Scored, Scored]]:
        """Yield the pairs of stores that differ in ``phase`` or ``model`` alone, in the order given."""
        same = {"phase": ("model", "metric"), "model": ("phase", "metric")}[vary]
        for a, b in combinations(self.scored, 2):
            if getattr(a, vary) != getattr(b, vary) and all(getattr(a, word) == getattr(b, word) for word in same):
                yield a, b


def read_study(paths: Sequence[str | Path]) -> Study:
    """Read what the stores are of: their phase and model from ``{phase}/{model}/scores/``, their metric from within.

    Raises:
        StoreError: a path is not of that form, or two stores are of the same phase, model and metric.

    """
    scored: dict[tuple[str, str, str], Scored] = {}
    facts: dict[tuple[str, str], dict[str, Any]] = {}
    for path in map(Path, paths):
        parts = path.absolute().parts
        if parts[-2] != "scores":
            raise StoreError(f"{path} tells no phase and model", expected="PHASE/MODEL/scores/METRIC.h5")
        phase, model = parts[-4:-2]
        if (phase, model) not in facts:
            facts[phase, model] = read_json(path.absolute().parents[1] / "model.json")
        with open_store(path, {"model_sha256": facts[phase, model]["sha256"]}) as store:
            key = phase, model, store.attributes["metric"]
        if key in scored:
            raise StoreError(f"{path} and {scored[key].path} are of the same phase, model and metric")
        scored[key] = Scored(*key, path)
    return Study(list(scored.values()), facts)


def first_weights(store: ScoreStore, tensors: Sequence[dict[str, Any]], most: int) -> Entries:
    """Return the first weights over all tensors, as far as the candidates tell them for sure, with a score above 0.

    A weight beyond a tensor's candidates scores at most what its last candidate does: what is above the largest of
    those last ones is known. Scores of exactly 0 are ordered by index alone and select nothing.

    Args:
        store: scores of one metric.
        tensors: facts of its tensors.
        most: how many at most.

    """
    best: list[Entries] = []
    floor = np.float32(0)
    for tensor in tensors:
        kept = len(store.candidates(tensor["name"])["top_index"])
        entries = top_of_tensor(store, tensor, min(kept, most))
        if len(entries) < min(most, tensor["numel"]) and len(entries):
            floor = max(floor, entries.score[-1])
        best.append(entries)
        if sum(map(len, best)) > 8 * most:  # what cannot be among the first need not be carried along
            best = [join(best).best(most)]
    first = join(best).best(most)
    return first.best(int((first.score > floor).sum()))


def ks_of(*firsts: Entries) -> list[int]:
    """Return the ks for which all of these lists hold the first k."""
    return [k for k in KS if all(len(first) >= k for first in firsts)]


def numbers(entries: Entries, facts: dict[str, Any]) -> np.ndarray:
    """Return one number a weight, the same in all models of this shape."""
    sizes = np.array([tensor["numel"] for tensor in facts["tensors"]], np.int64)
    return (np.cumsum(sizes) - sizes)[entries.tensor] + entries.index


def same_shape(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two models have the same tensors, so that a weight of one is a weight of the other."""
    shapes = [[(t["name"], t["shape"], t["axes"]) for t in facts["tensors"]] for facts in (a, b)]
    return shapes[0] == shapes[1]


def weights_scored(store: ScoreStore) -> int:
    """Return the number of weights that a store has scores of."""
    return sum(store.tensor_attributes(name)["numel"] for name in store.names)


def table_of(rows: Sequence[dict[str, Any]], table: Table, reason: str) -> pd.DataFrame:
    """Return rows as a table; one row with the reason where there are none, because an empty file tells nothing."""
    if not rows:
        log.info("%s: %s", table.name, reason)
    texts = {column.name: "" for column in table.columns if column.dtype == "str"}
    filled = [texts | row for row in (rows or [{"note": reason}])]
    frame = pd.DataFrame(filled, columns=[column.name for column in table.columns], dtype=object)
    return frame.astype({column.name: column.dtype for column in table.columns})
