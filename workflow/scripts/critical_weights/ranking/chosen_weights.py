"""A selection of weights as flat indices by tensor: of a run folder, a list made elsewhere, or an index list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compare.lists import read_list
from ..compare.shapes import check_rows, flat_indices, read_shapes
from ..errors import ConfigError, RankingError, near_names
from ..files import read_json
from ..run_manifest import experiment_of

ORIGIN = ("model", "repo", "revision", "checkpoint", "model_sha256", "experiment", "metric", "mode", "k", "list")
"""What a selection tells of where it comes from; empty where it is not known."""


@dataclass(frozen=True)
class Chosen:
    """The selected weights of one parameter tensor, the best first.

    Attributes:
        shape: of the tensor.
        index: flat indices, storage order (int64).
        score: their scores (float32); ties stand by index.

    """

    shape: tuple[int, ...]
    index: NDArray[np.int64]
    score: NDArray[np.float32]


@dataclass(frozen=True)
class ChosenWeights:
    """A selection.

    Attributes:
        origin: a text for each of :data:`ORIGIN`.
        tensors: by name, in the model's order; only tensors with a selected weight.

    """

    origin: dict[str, str]
    tensors: dict[str, Chosen]

    def __len__(self) -> int:
        return sum(len(chosen.index) for chosen in self.tensors.values())


def weights_of_list(source: str | Path, facts: str | Path | None = None) -> ChosenWeights:
    """Read the selection of a run folder, or of a CSV with ``parameter, indices, sensitivity_score``.

    Args:
        source: a run folder, its ``top_weights.csv``, or another CSV with rows in any order.
        facts: ``model.json`` of the model; of a run folder the one beside it where none is named.

    Raises:
        ConfigError: there is no such run folder or list, or there are no facts.
        RankingError: the list is damaged, or is of another model than the facts.

    """
    path = Path(source)
    if not path.exists():
        near = near_names(path.name, [beside.name for beside in path.parent.glob("*")])
        raise ConfigError(f"there is no run folder or list {path}", near=near)
    run = path if path.is_dir() else path.parent
    path = run / "top_weights.csv" if path.is_dir() else path
    if not path.is_file():
        inside = sorted(ranking.parent.name for ranking in run.glob(f"*/{path.name}"))
        raise ConfigError(f"{run} is no run folder: it has no {path.name}",
                          fix=f"Name one in it, such as {inside[0]}" if inside else None)  # fmt: skip
    facts = Path(facts) if facts else run.parent / "model.json"
    if not facts.is_file():
        raise ConfigError(f"there is no {facts}, which tells the tensors' shapes", fix="Name one with --facts")
    rows, shapes = read_list(path), read_shapes(facts)
    check_rows(rows, shapes, fix="Name the facts of the model that the list is of")
    _check_model(run, path, shapes.facts)
    tensors, flat = {}, flat_indices(rows, shapes)
    names = [shapes.also.get(name, name) for name in rows.names]
    order = {name: place for place, name in enumerate(shapes.tensors)}
    for name in sorted(names, key=order.__getitem__):
        own = np.flatnonzero(rows.tensor == names.index(name))
        shape = tuple(shapes.tensors[name]["shape"])
        index = flat[own]
        best = np.lexsort((index, -rows.score[own]))
        tensors[name] = Chosen(shape, index[best], rows.score[own][best].astype(np.float32))
    return ChosenWeights(_origin(path, shapes.facts), tensors)


def first_of(weights: ChosenWeights, k: int) -> ChosenWeights:
    """Return the first ``k`` by score over all tensors; ties by tensor order, then flat index.

    Raises:
        RankingError: the selection has fewer.

    """
    if k > len(weights):
        raise RankingError(f"the selection has {len(weights)} weights, and the first {k} are asked for")
    names = list(weights.tensors)
    tensor = np.concatenate([np.full(len(c.index), place) for place, c in enumerate(weights.tensors.values())])
    index = np.concatenate([chosen.index for chosen in weights.tensors.values()])
    score = np.concatenate([chosen.score for chosen in weights.tensors.values()])
    best = np.lexsort((index, tensor, -score))[:k]
    tensors = {}
    for place, name in enumerate(names):
        own = best[tensor[best] == place]
        if len(own):
            tensors[name] = Chosen(weights.tensors[name].shape, index[own], score[own])
    return ChosenWeights(weights.origin, tensors)


def _check_model(run: Path, path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse the list of a run folder whose scores were made with another model than the facts are of."""
    stats = run / "sensitivity_stats.json"
    if path.name != "top_weights.csv" or not stats.is_file():
        return
    made_with = read_json(stats).get("store", {}).get("model_sha256")
    if made_with not in (None, facts.get("sha256")):
        raise RankingError(f"{path} was made with another model", got=made_with, expected=facts.get("sha256"),
                           fix="Name the model.json beside the run folder")  # fmt: skip


def _origin(path: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    origin = {key: str(facts.get(key) or "") for key in ("model", "repo", "revision", "checkpoint")}
    origin |= {"model_sha256": str(facts.get("sha256") or ""), "list": path.name}
    try:
        experiment = experiment_of("/".join(path.resolve().parts[-4:-1]))
    except ConfigError:  # no run folder: the list was made elsewhere
        return {key: origin.get(key, "") for key in ORIGIN}
    origin |= {"experiment": experiment.path, "metric": experiment.metric_full, "mode": experiment.mode}
    return {key: (origin | {"k": str(experiment.k)}).get(key, "") for key in ORIGIN}
