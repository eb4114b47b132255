"""From the scores of one tensor to what a store keeps of them, on the device where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelError
from ..histogram import FINE_BINS, SHIFT, merge_fine

_CHUNK = 1 << 22


def check_finite(score: Tensor, name: str, metric: str) -> None:
    """Refuse scores that are NaN or infinite.

    Raises:
        ModelError: some are; the message names the tensor and their number.

    """
    bad = score.numel() - int(torch.isfinite(score).sum())
    if bad:
        raise ModelError(
            f"{bad} of {score.numel()} {metric} scores of {name} are NaN or infinite",
            fix="Use a wider dtype (scoring: dtype: float32), or check the model's weights",
        )


def moments(score: Tensor) -> dict[str, float | int]:
    """Return zeros, nonfinite, sum, sum_sq, min and max of finite scores; sums in float64."""
    flat = score.reshape(-1)
    total = square = 0.0
    for part in flat.split(_CHUNK):
        wide = part.double()
        total += wide.sum().item()
        square += wide.square().sum().item()
    return {
        "zeros": int((flat == 0).sum()),
        "nonfinite": 0,
        "sum": total,
        "sum_sq": square,
        "min": flat.min().item(),
        "max": flat.max().item(),
    }


def fine_histogram(score: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count positive float32 scores, zeros left out.

    Returns:
        Counts over the fine bins of :mod:`critical_weights.histogram`, and over the store's bins.

    """
    bits = score.reshape(-1).view(torch.int32)
    fine = torch.zeros(FINE_BINS, dtype=torch.int64, device=score.device)
    for part in bits.split(_CHUNK):
        fine += torch.bincount(part[part > 0] >> SHIFT, minlength=FINE_BINS)
    counts = fine.cpu().numpy()
    return counts, merge_fine(counts)


def top_indices(score: Tensor, count: int, fine: NDArray[np.int64]) -> Tensor:
    """Return the flat indices of the ``count`` largest scores >= 0, best first; ties by index ascending.

    The counts give a threshold that a few more scores than asked for reach; only those are sorted.

    Args:
        score: float32, contiguous.
        count: how many; all of them where there are fewer.
        fine: the counts of :func:`fine_histogram`.

    """
    flat = score.reshape(-1)
    count = min(count, flat.numel())
    at_least = np.cumsum(fine[::-1])
    if at_least[-1] >= count:
        lowest = len(fine) - 1 - int(np.searchsorted(at_least, count))
        index = (flat.view(torch.int32) >= max(lowest << SHIFT, 1)).nonzero().squeeze(1)
    else:  # zeros are needed to fill up
        positive = (flat > 0).nonzero().squeeze(1)
        index = torch.cat([positive, (flat == 0).nonzero().squeeze(1)[: count - len(positive)]])
    order = torch.sort(flat[index], descending=True, stable=True).indices[:count]
    return index[order]


def line_figures(value: Tensor, axes: Sequence[str], how: str) -> dict[str, Tensor]:
    """Reduce a tensor to its rows and columns.

    Args:
        value: two dimensions, or three with an expert axis.
        axes: meaning of its axes in storage order (``row``, ``col``, ``expert``).
        how: ``sum`` (in float64) or ``max``.

    Returns:
        ``row`` (summed or maximised over columns) and ``col``, each with the expert axis in front where there is one;
        empty where the tensor has no rows and columns.

    """
    if "row" not in axes or "col" not in axes:
        return {}
    found: dict[str, list[Tensor]] = {"row": [], "col": []}
    step = max(1, _CHUNK * value.shape[0] // max(value.numel(), 1))
    for slab in value.split(step):
        # Cast once, for both sums.
        slab = slab.double() if how == "sum" else slab
        for line, over in (("row", axes.index("col")), ("col", axes.index("row"))):
            found[line].append(slab.sum(over) if how == "sum" else slab.amax(over))
    return {line: _join(line, parts, axes, how) for line, parts in found.items()}


def _join(line: str, parts: list[Tensor], axes: Sequence[str], how: str) -> Tensor:
    """Put slabs along the first axis side by side where their slices are distinct lines; else reduce over them."""
    if axes[0] in (line, "expert"):
        return torch.cat(parts)
    stacked = torch.stack(parts)
    return stacked.sum(0) if how == "sum" else stacked.amax(0)


def wide_sum(values: Tensor) -> float:
    """Sum in float64, without a float64 copy of the whole."""
    return sum(part.double().sum().item() for part in values.reshape(-1).split(_CHUNK))
