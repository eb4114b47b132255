"""One tensor's scores by one metric, reduced to what the store keeps, in one piece or slab by slab.

A slab is a run of whole slices along the first storage axis; slabs come in ascending order. The result does not
depend on how a tensor is cut, but for the last bits of sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..metrics import Metric
from ..score_store import TensorScores
from .reduce import check_finite, fine_histogram, line_figures, moments, top_indices
from .seam import TensorStatistics

Arrays = dict[str, NDArray[Any]]


class TensorReducer:
    """Takes the slabs of one tensor and gives what a store keeps of it.

    Args:
        metric: what to compute.
        entry: the tensor's facts (``model.json``).
        candidates: how many of the best weights to keep exactly.
        dense: whether to keep every score.

    """

    def __init__(self, metric: Metric, entry: Mapping[str, Any], *, candidates: int, dense: bool) -> None:
        self._metric = metric
        self._entry = entry
        self._candidates = candidates
        self._moments: list[dict[str, float | int]] = []
        self._histogram: NDArray[np.int64] | int = 0
        self._best: Arrays = {}
        self._lines: dict[str, list[NDArray[np.float64]]] = {}
        self._clipped = 0
        self._dense: list[NDArray[np.float32]] | None = [] if dense else None
        self._slices = 0

    @property
    def complete(self) -> bool:
        """Whether the whole tensor has been seen."""
        return self._slices == self._entry["shape"][0]

    def add(self, item: TensorStatistics) -> None:
        """Score and reduce the next slab.

        Raises:
            ModelError: a score is NaN or infinite.

        """
        metric, statistics = self._metric, item.statistics
        score = metric.score(item.weight, statistics).expand(item.weight.shape).to(torch.float32).contiguous()
        check_finite(score, item.name, metric.name)
        self._moments.append(moments(score))
        fine, counts = fine_histogram(score)
        self._histogram = self._histogram + counts
        self._keep_best(item, score, fine)
        self._add_lines(item, score)
        if metric.name == "obd_hutch":
            self._clipped += int((statistics["hessian_diag"] < 0).sum())
        if self._dense is not None:
            self._dense.append(score.cpu().numpy())
        self._slices += score.shape[0]

    def finish(self) -> TensorScores:
        """Return what the store keeps."""
        entry = self._entry
        attributes = {
            "shape": tuple(entry["shape"]),
            "layer": entry["layer"],
            "component": entry["component"],
            "axes": tuple(entry["axes"]),
            "tied_to": tuple(entry["tied_to"]),
            "numel": entry["numel"],
            **_joined(self._moments),
        }
        if self._metric.name == "obd_hutch":
            attributes["clipped"] = self._clipped
        return TensorScores(
            name=entry["name"],
            position=entry["position"],
            attributes=attributes,
            histogram=np.asarray(self._histogram),
            candidates=self._best,
            lines={name: self._joined_lines(name, parts) for name, parts in self._lines.items()},
            scores=None if self._dense is None else np.concatenate(self._dense),
        )

    def _keep_best(self, item: TensorStatistics, score: Tensor, fine: NDArray[np.int64]) -> None:
        index = top_indices(score, self._candidates, fine)

        def at(values: Tensor) -> NDArray[np.float32]:
            return values.expand(score.shape).reshape(-1)[index].to(torch.float32).cpu().numpy()

        new: Arrays = {"top_score": at(score), "top_index": index.cpu().numpy(), "top_weight": at(item.weight)}
        if self._metric.has_gradient:
            new["top_gradient"] = at(item.statistics["grad"])
        if self._metric.signed:
            new["top_signed"] = at(item.statistics[self._metric.signed])
            new["top_stderr"] = at(item.statistics["hessian_stderr"])
        new["top_index"] = new["top_index"] + self._slices * (score.numel() // score.shape[0])
        if not self._best:
            self._best = new
            return
        joined = {name: np.concatenate([self._best[name], new[name]]) for name in new}
        # Earlier slabs have the lower indices and come first: a stable sort keeps ties in their order.
        order = np.argsort(-joined["top_score"], kind="stable")[: self._candidates]
        self._best = {name: values[order] for name, values in joined.items()}

    def _add_lines(self, item: TensorStatistics, score: Tensor) -> None:
        axes = self._entry["axes"]
        figures = {f"{line}_sum": v for line, v in line_figures(score, axes, "sum").items()}
        figures |= {f"{line}_max": v for line, v in line_figures(score, axes, "max").items()}
        if self._metric.has_gradient:
            signed = item.weight * item.statistics["grad"]
            figures |= {f"{line}_gw": v for line, v in line_figures(signed, axes, "sum").items()}
        for name, value in figures.items():
            self._lines.setdefault(name, []).append(value.double().cpu().numpy())

    def _joined_lines(self, name: str, parts: list[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Put slabs side by side where their slices are distinct lines; else add them up, or take the larger."""
        first_axis = self._entry["axes"][0]
        if first_axis == "expert" or name.startswith(first_axis):
            return np.concatenate(parts).astype(np.float32)
        reduce = np.max if name.endswith("max") else np.sum
        return reduce(np.stack(parts), axis=0).astype(np.float32)


def _joined(parts: list[dict[str, float | int]]) -> dict[str, float | int]:
    how = {"min": min, "max": max}
    return {name: how.get(name, sum)(part[name] for part in parts) for name in parts[0]}
