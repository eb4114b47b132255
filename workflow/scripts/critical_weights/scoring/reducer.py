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
from ..store.histogram import merge_fine
from ..store.schema import TensorScores
from .bands import bands, over_bands
from .by_text import ByText
from .reduce import Figures, as_matrices, band_figures, by_line, check_finite, join_figures, top_indices
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
        self._dense = np.empty(entry["shape"], np.float32) if dense else None
        self._slices = 0
        self._buffer: Tensor | None = None
        self._by_text = ByText(metric, candidates)

    @property
    def complete(self) -> bool:
        """Whether the whole tensor has been seen."""
        return self._slices == self._entry["shape"][0]

    def add(self, item: TensorStatistics) -> None:
        """Score and reduce the next slab.

        Raises:
            ModelError: a score is NaN or infinite.

        """
        score, figures = self._score(item)
        total = torch.stack([f.first_sum.sum() for f in figures]).sum().item()
        if not np.isfinite(total):
            check_finite(score, item.name, self._metric.name)
        least = min(f.least.item() for f in figures)
        largest = max(f.last_max.max().item() for f in figures)
        zeros = int((score == 0).sum()) if least == 0 else 0
        square = sum(f.sum_sq.item() for f in figures)
        self._moments.append(
            {"zeros": zeros, "nonfinite": 0, "sum": total, "sum_sq": square, "min": least, "max": largest}
        )
        fine = torch.stack([f.fine for f in figures]).sum(0).cpu().numpy()
        if largest > self._least_kept:
            self._keep_best(item, score, fine)
        fine[0] -= zeros
        self._histogram = self._histogram + merge_fine(fine)
        self._add_lines(item, figures)
        if self._metric.name == "obd_hutch":
            self._clipped += int((item.statistics["hessian_diag"] < 0).sum())
        if self._dense is not None:
            self._dense[self._slices : self._slices + len(score)] = score.cpu().numpy()
        self._slices += score.shape[0]

    @property
    def _least_kept(self) -> float:
        """The score that another one has to exceed in order to be kept; an equal one comes too late."""
        full = bool(self._best) and len(self._best["top_score"]) == self._candidates
        return float(self._best["top_score"][-1]) if full else -1.0

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
            scores=self._dense,
            texts=self._by_text.arrays(),
        )

    def _score(self, item: TensorStatistics) -> tuple[Tensor, list[Figures]]:
        """Return a slab's scores, and the figures of each of its matrices."""
        shape = item.weight.shape
        if self._buffer is None or self._buffer.numel() < item.weight.numel():
            self._buffer = torch.empty(item.weight.numel(), dtype=torch.float32, device=item.weight.device)
        score = self._buffer[: item.weight.numel()].view(shape)
        weights, scores = as_matrices(item.weight), as_matrices(score)
        statistics = {s: _matched(v, shape) for s, v in item.statistics.items() if s in self._metric.needs}
        figures = []
        for m, (weight, out) in enumerate(zip(weights, scores, strict=True)):
            parts = bands(*weight.shape, weight.device)
            found: dict[int, Figures] = {}

            def work(
                band: slice,
                m: int = m,
                weight: Tensor = weight,
                out: Tensor = out,
                found: dict[int, Figures] = found,
            ) -> None:
                own = {s: v[m] if len(v[m]) == 1 else v[m][band] for s, v in statistics.items()}
                # The absolute value also makes -0 a 0, whose bits are those of no other number.
                values = self._metric.score(weight[band], own).expand(weight[band].shape).to(torch.float32)
                torch.abs(values, out=out[band])
                found[band.start] = band_figures(out[band])

            over_bands(work, parts, weight.device)
            figures.append(join_figures([found[band.start] for band in parts]))
        return score, figures

    def _keep_best(self, item: TensorStatistics, score: Tensor, fine: NDArray[np.int64]) -> None:
        above = self._least_kept
        index = top_indices(score, self._candidates, fine, above if above >= 0 else None)

        def at(values: Tensor) -> NDArray[np.float32]:
            if values.shape == score.shape:
                return values.reshape(-1)[index].to(torch.float32).cpu().numpy()
            return values.expand(score.shape)[np.unravel_index(index.cpu().numpy(), score.shape)].float().cpu().numpy()

        new: Arrays = {"top_score": at(score), "top_index": index.cpu().numpy(), "top_weight": at(item.weight)}
        if self._metric.has_gradient:
            new["top_gradient"] = at(item.statistics["grad"])
        if self._metric.signed:
            new["top_signed"] = at(item.statistics[self._metric.signed])
            new["top_stderr"] = at(item.statistics["hessian_stderr"])
        start = self._slices * (score.numel() // score.shape[0])
        self._by_text.add(item, index, start, new["top_score"])
        new["top_index"] = new["top_index"] + start
        if not self._best:
            self._best = new
            return
        joined = {name: np.concatenate([self._best[name], new[name]]) for name in new}
        # Earlier slabs have the lower indices and come first: a stable sort keeps ties in their order.
        order = np.argsort(-joined["top_score"], kind="stable")[: self._candidates]
        self._best = {name: values[order] for name, values in joined.items()}

    def _add_lines(self, item: TensorStatistics, figures: list[Figures]) -> None:
        axes, shape = self._entry["axes"], item.weight.shape
        if len(shape) < 2:
            return

        def shaped(name: str) -> Tensor:
            parts = torch.stack([getattr(f, name) for f in figures])
            return parts.reshape(shape[:-1] if name.startswith("first") else (*shape[:-2], shape[-1]))

        found = {}
        for how in ("sum", "max"):
            lines = by_line(shaped(f"first_{how}"), shaped(f"last_{how}"), axes)
            found |= {f"{line}_{how}": value for line, value in lines.items()}
        if self._metric.has_gradient:
            signed = item.signed
            found |= {f"{line}_gw": value for line, value in by_line(signed.first, signed.last, axes).items()}
        for name, value in found.items():
            self._lines.setdefault(name, []).append(value.double().cpu().numpy())

    def _joined_lines(self, name: str, parts: list[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Put slabs side by side where their slices are distinct lines; else add them up, or take the larger."""
        first_axis = self._entry["axes"][0]
        if first_axis == "expert" or name.startswith(first_axis):
            return np.concatenate(parts).astype(np.float32)
        reduce = np.max if name.endswith("max") else np.sum
        return reduce(np.stack(parts), axis=0).astype(np.float32)


def _matched(value: Tensor, shape: torch.Size) -> list[Tensor]:
    """Return a statistic that broadcasts to ``shape`` as one matrix for each of the weight's."""
    count = 1 if len(shape) < 3 else shape[:-2].numel()
    if len(shape) > 3:
        value = value.expand(shape)
    found = as_matrices(value)
    return found * count if len(found) == 1 else found


def _joined(parts: list[dict[str, float | int]]) -> dict[str, float | int]:
    how = {"min": min, "max": max}
    return {name: how.get(name, sum)(part[name] for part in parts) for name in parts[0]}
