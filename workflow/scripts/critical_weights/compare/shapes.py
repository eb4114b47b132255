"""Which tensors a list made elsewhere may name: from a model's facts, or from the lists alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RankingError, near_names
from ..files import read_json
from ..log import logger
from .lists import WeightRows

log = logger(__name__)

MOST = 2**62
"""More weights than a model has; so many can still be numbered."""


@dataclass(frozen=True)
class Shapes:
    """What is known of the tensors that lists name.

    Attributes:
        tensors: by name, in the model's order: ``shape``, ``axes``, ``numel``, ``layer``, ``component``, ...; without a
            model only ``shape``, as large as the lists' indices need.
        model: the model's name; None where only the lists are known.
        analysed: the tensors that a list over the whole model is over.
        also: other names of tied tensors.
        facts: the model's facts; None where only the lists are known.

    """

    tensors: dict[str, dict[str, Any]]
    model: str | None
    analysed: frozenset[str]
    also: dict[str, str]
    facts: dict[str, Any] | None = None

    @property
    def population(self) -> dict[str, int] | None:
        """The number of weights of each tensor; None where it is not known."""
        return {name: tensor["numel"] for name, tensor in self.tensors.items()} if self.model else None


def shapes_of_facts(facts: Mapping[str, Any]) -> Shapes:
    """Return the tensors of a model's facts (``model.json``)."""
    tensors = {tensor["name"]: tensor for tensor in facts["tensors"]}
    also = {other: name for name, tensor in tensors.items() for other in tensor["tied_to"]}
    return Shapes(tensors, facts["model"], frozenset(n for n, t in tensors.items() if t["analysed"]), also, dict(facts))


def read_shapes(path: str | Path) -> Shapes:
    """Read the tensors of a ``model.json``.

    Raises:
        RankingError: it holds no such facts.

    """
    facts = read_json(path)
    try:
        return shapes_of_facts(facts)
    except (KeyError, TypeError) as error:
        raise RankingError(f"{path} holds no facts of a model ({error})", fix="Name a model.json") from error


def shapes_of_lists(lists: Iterable[WeightRows]) -> Shapes:
    """Return what lists say of the tensors themselves: shapes just large enough for all their indices.

    Tensors are in the order of their names, so that no file's order of rows decides ties.

    Raises:
        RankingError: two lists give weights of one tensor different numbers of indices: they are of different models.

    """
    extents: dict[str, tuple[int, ...]] = {}
    first: dict[str, Path] = {}
    for rows in lists:
        for place, (name, axes) in enumerate(rows.axes().items()):
            own = tuple(int(i) + 1 for i in rows.places[rows.tensor == place, :axes].max(axis=0))
            before = extents.setdefault(name, own)
            if len(before) != axes:
                raise RankingError(
                    f"{first[name]} and {rows.path} are lists of different models: weights of {name} have "
                    f"{len(before)} indices in the one and {axes} in the other"
                )
            extents[name] = tuple(map(max, before, own))
            first.setdefault(name, rows.path)
    tensors = {name: {"name": name, "shape": list(extents[name])} for name in sorted(extents)}
    return Shapes(tensors, None, frozenset(), {})


OTHER_MODEL = "Name the model that the list is of, or leave 'model' out"


def check_rows(rows: WeightRows, shapes: Shapes, fix: str = OTHER_MODEL) -> None:
    """Refuse a list that names what the model has not.

    Args:
        rows: the list's.
        shapes: the model's.
        fix: what to do about unknown tensors.

    Raises:
        RankingError: a tensor is unknown, has another number of axes, or an index is out of range; counted.

    """
    names = [shapes.also.get(name, name) for name in rows.names]
    lacking = [name for name in names if name not in shapes.tensors]
    if lacking:
        count = int(np.isin(rows.tensor, [names.index(name) for name in lacking]).sum())
        raise RankingError(
            f"{rows.path} names {len(lacking)} of {len(names)} tensors ({count} of {len(rows)} rows) that "
            f"{shapes.model} has not, first {lacking[0]}",
            near=near_names(lacking[0], shapes.tensors),
            fix=fix,
        )
    if len(set(names)) < len(names):
        own = [name for name in rows.names if shapes.also.get(name) in rows.names]
        raise RankingError(f"{rows.path} names {own[0]} beside {shapes.also[own[0]]}, which are one tied tensor",
                           fix="Keep the rows of one of the two names")  # fmt: skip
    limits = np.zeros((len(names), rows.places.shape[1]), np.int64)
    for place, (name, axes) in enumerate(zip(names, rows.axes().values(), strict=True)):
        shape = shapes.tensors[name]["shape"]
        if len(shape) != axes:
            raise RankingError(f"weights of {name} have {axes} indices in {rows.path}",
                               expected=f"{len(shape)}, as {shapes.model} has it in shape {shape}")  # fmt: skip
        limits[place, :axes] = shape
    beyond = (rows.places >= limits[rows.tensor]).any(axis=1)
    if beyond.any():
        row = int(beyond.argmax())
        name = names[rows.tensor[row]]
        index = tuple(int(i) for i in rows.places[row] if i >= 0)
        raise RankingError(
            f"{int(beyond.sum())} of {len(rows)} rows of {rows.path} lie outside their tensor, first {name} {index}",
            expected=f"indices in shape {shapes.tensors[name]['shape']}, as {shapes.model} has it",
        )


def flat_indices(rows: WeightRows, shapes: Shapes) -> NDArray[np.int64]:
    """Return the flat index of each row in its tensor's storage order; the rows were checked against the shapes.

    Raises:
        RankingError: a tensor of this size has more weights than can be numbered.

    """
    flat = np.zeros(len(rows), np.int64)
    by_tensor = np.argsort(rows.tensor, kind="stable")
    ends = np.cumsum(np.bincount(rows.tensor, minlength=len(rows.names)))
    for name, inside in zip(rows.names, np.split(by_tensor, ends[:-1]), strict=True):
        shape = shapes.tensors[shapes.also.get(name, name)]["shape"]
        size = 1
        for length in shape:
            size *= int(length)
        if size > MOST // max(len(rows.names), 1):
            raise RankingError(f"{rows.path}: indices of {name} are too large", got=f"shape {tuple(shape)} at least")
        flat[inside] = np.ravel_multi_index(tuple(rows.places[inside, : len(shape)].T), tuple(shape))
    return flat
