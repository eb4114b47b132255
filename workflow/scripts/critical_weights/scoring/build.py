"""One tensor's statistics and one metric -> what the store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..metrics import Metric
from ..score_store import TensorScores
from .reduce import check_finite, histogram, line_figures, moments, top_indices
from .seam import TensorStatistics


def build_scores(
    item: TensorStatistics, metric: Metric, entry: Mapping[str, Any], *, candidates: int, dense: bool
) -> TensorScores:
    """Compute a metric on one tensor and reduce its scores.

    Args:
        item: the tensor's weight and statistics.
        metric: what to compute; the statistics that it needs are there.
        entry: the tensor's facts (``model.json``).
        candidates: how many of the best weights to keep exactly.
        dense: whether to keep every score.

    Raises:
        ModelError: a score is NaN or infinite.

    """
    score = metric.score(item.weight, item.statistics).expand(item.weight.shape).to(torch.float32).contiguous()
    check_finite(score, item.name, metric.name)
    index = top_indices(score, candidates)
    attributes = {
        "shape": tuple(entry["shape"]),
        "layer": entry["layer"],
        "component": entry["component"],
        "axes": tuple(entry["axes"]),
        "tied_to": ",".join(entry["tied_to"]),
        "numel": entry["numel"],
        **moments(score),
    }
    if metric.name == "obd_hutch":
        attributes["clipped"] = int((item.statistics["hessian_diag"] < 0).sum())
    return TensorScores(
        name=item.name,
        position=entry["position"],
        attributes=attributes,
        histogram=histogram(score),
        candidates=_candidates(item, metric, score, index),
        lines=_lines(item, metric, score, entry["axes"]),
        scores=score.cpu().numpy() if dense else None,
    )


def _candidates(item: TensorStatistics, metric: Metric, score: Tensor, index: Tensor) -> dict[str, Any]:
    def at(values: Tensor) -> Any:
        return values.reshape(-1)[index].to(torch.float32).cpu().numpy()

    kept = {"top_score": at(score), "top_index": index.cpu().numpy(), "top_weight": at(item.weight)}
    if metric.has_gradient:
        kept["top_gradient"] = at(item.statistics["grad"])
    if metric.signed:
        kept["top_signed"] = at(item.statistics[metric.signed])
        kept["top_stderr"] = at(item.statistics["hessian_stderr"])
    return kept


def _lines(item: TensorStatistics, metric: Metric, score: Tensor, axes: list[str]) -> dict[str, Any]:
    figures = {f"{line}_sum": v for line, v in line_figures(score, axes, "sum").items()}
    figures |= {f"{line}_max": v for line, v in line_figures(score, axes, "max").items()}
    if metric.has_gradient:
        signed = item.weight * item.statistics["grad"]
        figures |= {f"{line}_gw": v for line, v in line_figures(signed, axes, "sum").items()}
    return {name: value.to(torch.float32).cpu().numpy() for name, value in figures.items()}
