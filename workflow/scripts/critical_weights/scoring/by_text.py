"""What a store keeps of each text at a tensor's first candidates, gathered slab by slab beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..metrics import Metric
from .activations import WITHOUT_FIRST
from .seam import TensorStatistics
from .text_gradients import TEXT_CANDIDATES


class ByText:
    """The first candidates of one tensor by one metric: each text's gradient, and the score without position 0.

    The candidates are the same, in the same order, as the first ones of :class:`.reducer.TensorReducer`: by score
    descending, ties by index.

    Args:
        metric: what to compute.
        candidates: how many the reducer keeps.

    """

    def __init__(self, metric: Metric, candidates: int) -> None:
        self._metric = metric
        self._most = min(TEXT_CANDIDATES, candidates)
        self._kept: dict[str, NDArray[Any]] = {}

    def add(self, item: TensorStatistics, index: Tensor, start: int, score: NDArray[np.float32]) -> None:
        """Take a slab's best weights.

        Args:
            item: the slab.
            index: their flat indices within the slab, best first.
            start: flat index of the slab's first weight.
            score: their scores.

        """
        index, score = index[: self._most], score[: self._most]
        if self._kept and len(self._kept["score"]) == self._most:
            better = int((score > self._kept["score"][-1]).sum())
            index, score = index[:better], score[:better]
        found = self._of_gradients(item, index, start) if item.texts else self._of_inputs(item, index)
        if not found:
            return
        new = {"score": score} | {name: value.float().cpu().numpy() for name, value in found.items()}
        joined = {name: np.concatenate([self._kept[name], new[name]]) for name in new} if self._kept else new
        order = np.argsort(-joined["score"], kind="stable")[: self._most]
        self._kept = {name: values[order] for name, values in joined.items()}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return ``text_gradient`` and ``top_without_first`` as far as they can be had."""
        return {name: value for name, value in self._kept.items() if name != "score"}

    def _of_gradients(self, item: TensorStatistics, index: Tensor, start: int) -> dict[str, Tensor]:
        if not self._metric.has_gradient:
            return {}
        gradients, first = item.texts.at(index + start)
        weight = item.weight.reshape(-1)[index]
        without = self._metric.score(weight, item.texts.statistics(gradients - first))
        return {"text_gradient": gradients, "top_without_first": without}

    def _of_inputs(self, item: TensorStatistics, index: Tensor) -> dict[str, Tensor]:
        variant = {need: item.statistics.get(need + WITHOUT_FIRST) for need in self._metric.needs}
        if not variant or any(value is None for value in variant.values()):
            return {}
        places = torch.unravel_index(index, item.weight.shape)
        at = {need: value.expand(item.weight.shape)[places] for need, value in variant.items()}
        return {"top_without_first": self._metric.score(item.weight[places], at)}
