"""The scores that every metric gives to the weights which one of them ranks at the top, from dense scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..concentration.quantiles import EXACT_LIMIT
from ..log import choice, logger
from ..store.read import open_store
from .groups import Listed

log = logger(__name__)


class KnownScores:
    """Scores of all metrics at the top weights of any, where every score is kept.

    Args:
        paths: the score stores, in the order of ``listed``.
        names: the tensors, as numbered in ``listed``.
        listed: the ranked lists, by metric.
        n_weights: weights of the model's tensors; above :data:`~.concentration.quantiles.EXACT_LIMIT` nothing is
            read, since that would take minutes.
        depth_global: places over all tensors that are wanted.
        depth_tensor: places of each tensor that are wanted.

    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        names: Sequence[str],
        listed: Mapping[str, Listed],
        n_weights: int,
        depth_global: int,
        depth_tensor: int,
    ) -> None:
        self.places = {label: place for place, label in enumerate(listed)}
        self.numbers: NDArray[np.int64] | None = None
        if n_weights > EXACT_LIMIT:
            choice("correlations over the union of two rankings", "left out",
                   f"{n_weights} weights, more than {EXACT_LIMIT}", log)  # fmt: skip
            return
        tensor, index, number = [], [], []
        for one in listed.values():
            # The first of a group that leaves tensors out lie among the first of the tensors' own.
            top = (one.whole.place < depth_global) | (one.within.place < max(depth_tensor, depth_global))
            tensor.append(one.tensor[top])
            index.append(one.index[top])
            number.append(one.number[top])
        self.numbers, first = np.unique(np.concatenate(number), return_index=True)
        tensors, indices = np.concatenate(tensor)[first], np.concatenate(index)[first]
        bounds = np.searchsorted(tensors, np.arange(len(names) + 1))  # numbers, and so tensors, are in order
        self.scores = np.full((len(listed), len(self.numbers)), np.nan, np.float32)
        for row, path in zip(self.scores, paths, strict=True):
            with open_store(path) as store:
                for place, name in enumerate(names):
                    part = slice(bounds[place], bounds[place + 1])
                    if name in store and store.has_dense(name) and bounds[place] < bounds[place + 1]:
                        row[part] = store.dense(name).reshape(-1)[indices[part]]

    def of_pair(self, a: str, b: str) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Return the numbers of weights, ascending, and both metrics' scores of them; NaN where not known.

        None where nothing was read.
        """
        if self.numbers is None:
            return None
        return self.numbers, self.scores[[self.places[a], self.places[b]]]
