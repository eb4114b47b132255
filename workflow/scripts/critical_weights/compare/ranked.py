"""Lists made elsewhere as ranked lists, with how far each is sure to hold the first weights of the model."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..log import logger
from ..names import MODES
from ..overlap.ranked_lists import RankedList
from .lists import WeightRows
from .shapes import MOST, Shapes, flat_indices

log = logger(__name__)


@dataclass(frozen=True)
class ForeignList:
    """A list made elsewhere, ranked.

    Attributes:
        ranked: the list, its tensors in the model's order (without a model by name).
        cut: what it holds the first weights of: each ``tensor``, each ``block``, ``all``; or ``unknown``.
        k: weights of each group that it was cut to; None where ``cut`` is unknown.
        global_k: up to this K the first K of the list are sure to be the first K over all tensors that it names.
        ends: the tensor whose weights run out there; None where none does.

    """

    ranked: RankedList
    cut: str
    k: int | None
    global_k: int
    ends: str | None


def rank_rows(rows: WeightRows, shapes: Shapes, listed_anywhere: Collection[str]) -> ForeignList:
    """Rank a list, whatever the order of its rows: score descending, then tensor, then flat index.

    A list tells nothing of the weights that it leaves out, but that they score no more than the last one named of
    their tensor. So its first weights are the model's only while they score more than the largest of these last
    scores: beyond the K where one tensor's list runs out, a weight of that tensor may be missing. How a list was cut
    is read off the numbers of weights: as many of every tensor (all of a smaller one) are the first k of each. A run
    folder of this workflow says it by its name.

    Args:
        rows: of one file; checked against ``shapes``.
        shapes: of all tensors that the lists name.
        listed_anywhere: the tensors that any of the lists names.

    Raises:
        RankingError: its indices are too large to number the weights.

    """
    named = {shapes.also.get(name, name): place for place, name in enumerate(rows.names)}
    mode, k = _folder_says(rows.path)
    sizes = np.bincount(rows.tensor, minlength=len(rows.names))
    numel = np.array([shapes.population[name] if shapes.population else MOST for name in named])
    whole = sizes == numel
    if mode == "global":
        cut, k = "all", len(rows)
    elif mode == "perblock" and shapes.model:
        cut = "block"
    elif mode == "perlayer" or (sizes[~whole] == sizes.max()).all():
        cut, k = "tensor", k or int(sizes.max())
    else:
        cut, k = "unknown", None
    possible = set(named) if cut == "tensor" else set(named) | set(listed_anywhere) | shapes.analysed
    names = [name for name in shapes.tensors if name in possible]
    number = {name: place for place, name in enumerate(names)}
    tensor = np.array([number[name] for name in named], np.int64)[rows.tensor]
    index = flat_indices(rows, shapes)
    order = np.lexsort((index, tensor, -rows.score))
    tensor, index, score = tensor[order], index[order], rows.score[order]
    known_to = np.full(len(names), len(score), np.int64)
    if cut != "all":
        group = np.arange(len(names))
        if cut == "block":
            layers = [str(shapes.tensors[name]["layer"]) for name in names]
            group = np.unique(layers, return_inverse=True)[1]
        last = np.full(len(names), np.inf)
        np.minimum.at(last, group[tensor], score)  # of a group without a weight nothing is sure
        listed = np.bincount(tensor, minlength=len(names))
        full = np.array([shapes.population[name] if shapes.population else MOST for name in names]) == listed
        above = np.searchsorted(-score, -last[group], side="left")
        known_to = np.where(full, len(score), above)
    ends = names[int(known_to.argmin())] if known_to.min() < len(score) else None
    ranked = RankedList(tuple(names), tensor, index, score, known_to)
    return ForeignList(ranked, cut, k, int(known_to.min()), ends)


def tell(label: str, found: ForeignList) -> None:
    """Log what a list is, and warn where it cannot answer a question over all tensors."""
    n, tensors = len(found.ranked), len(np.unique(found.ranked.tensor))
    kinds = {
        "tensor": f"the first {found.k} of each of {tensors} tensors",
        "block": f"the first {found.k} of each block",
        "all": "the first over all tensors",
        "unknown": f"of {tensors} tensors in unequal numbers, so that how it was cut is not known",
    }
    log.info("%s: %d weights, %s", label, n, kinds[found.cut])
    if found.ends is not None:
        log.warning(
            "WARNING: %s cannot answer every question over all tensors: surely exact up to K = %d of its %d weights, "
            "since it has no further weight of %s, one of which may be missing. A ranking over all tensors of this "
            "workflow is known as such by its path, results/.../top_weights.csv",
            label, found.global_k, n, found.ends,
        )  # fmt: skip


def _folder_says(path: Path) -> tuple[str | None, int | None]:
    """Return mode and k of a ranking in a run folder of this workflow; None for other files."""
    found = re.fullmatch(rf".+_({'|'.join(MODES)})_k([1-9][0-9]*)", path.absolute().parent.name)
    if path.name != "top_weights.csv" or not found:
        return None, None
    return found[1], int(found[2])
