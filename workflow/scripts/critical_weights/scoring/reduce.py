"""From the scores of one tensor to what a store keeps of them, on the device where they are.

Everything is done band by band (:mod:`.bands`): each figure of a band comes while its scores are in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelError
from ..store.histogram import FINE_BINS, SHIFT
from .bands import bands, over_bands


@dataclass(frozen=True)
class Figures:
    """What is counted and summed of a matrix of scores, or of a band of its rows; sums in float64.

    Attributes:
        fine: counts over the fine bins of :mod:`~.store.histogram`, up to the highest one in use; bin 0 holds
            the zeros too.
        sum_sq: sum of squares.
        least: smallest score.
        first_sum, first_max: over the last axis: one value for each index of the first.
        last_sum, last_max: over the first axis: one value for each index of the last.

    """

    fine: Tensor
    sum_sq: Tensor
    least: Tensor
    first_sum: Tensor
    first_max: Tensor
    last_sum: Tensor
    last_max: Tensor


def band_figures(score: Tensor) -> Figures:
    """Return the figures of a (rows, columns) matrix of float32 scores >= 0."""
    if score.device.type == "cpu":  # a float64 copy of a band stays in the cache
        wide = score.double()
        flat = wide.reshape(-1)
        first_sum, last_sum, sum_sq = wide.sum(1), wide.sum(0), torch.dot(flat, flat)
    else:
        first_sum, last_sum = score.sum(1, dtype=torch.float64), score.sum(0, dtype=torch.float64)
        sum_sq = torch.linalg.vector_norm(score, dtype=torch.float64).square()
    bins = (score.view(torch.int32) >> SHIFT).clamp_(0, FINE_BINS - 1)
    return Figures(
        fine=torch.bincount(bins.reshape(-1)),
        sum_sq=sum_sq,
        least=score.amin(),
        first_sum=first_sum,
        first_max=score.amax(1),
        last_sum=last_sum,
        last_max=score.amax(0),
    )


def join_figures(parts: Sequence[Figures]) -> Figures:
    """Join the figures of bands that follow each other."""
    fine = torch.zeros(FINE_BINS, dtype=torch.int64, device=parts[0].fine.device)
    for part in parts:
        fine[: len(part.fine)] += part.fine
    return Figures(
        fine=fine,
        sum_sq=torch.stack([part.sum_sq for part in parts]).sum(),
        least=torch.stack([part.least for part in parts]).amin(),
        first_sum=torch.cat([part.first_sum for part in parts]),
        first_max=torch.cat([part.first_max for part in parts]),
        last_sum=torch.stack([part.last_sum for part in parts]).sum(0),
        last_max=torch.stack([part.last_max for part in parts]).amax(0),
    )


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


def top_indices(score: Tensor, count: int, fine: NDArray[np.int64], above: float | None = None) -> Tensor:
    """Return the flat indices of the ``count`` largest scores >= 0, best first; ties by index ascending.

    The counts give a threshold that a few more scores than asked for reach; only those are sorted.

    Args:
        score: float32, contiguous.
        count: how many; all of them where there are fewer.
        fine: counts of the scores over the fine bins; zeros may be among those of bin 0.
        above: only scores larger than this are wanted.

    """
    flat = score.reshape(-1)
    count = min(count, flat.numel())
    used = np.flatnonzero(fine[1:])[::-1] + 1  # bin 0 holds the zeros, and subnormal scores, looked at one by one
    at_least = np.cumsum(fine[used])
    enough = len(used) > 0 and at_least[-1] >= count
    if above is None and not enough:  # the smallest ones are needed to fill up
        return torch.sort(flat, descending=True, stable=True).indices[:count]
    floor = int(used[np.searchsorted(at_least, count)]) << SHIFT if enough else 0
    if above is not None:
        floor = max(floor, int(np.float32(above).view(np.int32)) + 1)
    index = _at_least(flat.view(torch.int32), floor)
    order = torch.sort(flat[index], descending=True, stable=True).indices[:count]
    return index[order]


def _at_least(bits: Tensor, floor: int) -> Tensor:
    """Return the indices of all values >= ``floor``, ascending."""
    if bits.device.type != "cpu":
        return (bits >= floor).nonzero().squeeze(1)
    parts = bands(len(bits), 1, bits.device)
    found: dict[int, NDArray[np.int64]] = {}

    def work(part: slice) -> None:  # numpy's search is several times as fast where few are found
        found[part.start] = np.flatnonzero((bits[part] >= floor).numpy()) + part.start

    over_bands(work, parts, bits.device)
    return torch.from_numpy(np.concatenate([found[part.start] for part in parts]))


@dataclass(frozen=True)
class LineSums:
    """The signed a = g * w of a tensor, or a slab of it, summed in float64.

    Attributes:
        first: over the last axis, in the shape of the other axes (1-D tensors: a itself).
        last: over the axis before the last, or None for 1-D tensors.
        total: over everything.
        l1: of abs(a), over everything.

    """

    first: Tensor
    last: Tensor | None
    total: float
    l1: float


def line_sums(weight: Tensor, gradient: Tensor) -> LineSums:
    """Sum a = g * w of one tensor, or a slab of it, over its lines."""
    if weight.dim() == 1:
        a = weight.double() * gradient
        return LineSums(a, None, a.sum().item(), a.abs().sum().item())
    matrices = list(zip(as_matrices(weight), as_matrices(gradient), strict=True))
    found: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}
    firsts, lasts, sizes = [], [], []
    for m, (w, g) in enumerate(matrices):
        parts = bands(*w.shape, w.device)

        def work(band: slice, m: int = m, w: Tensor = w, g: Tensor = g) -> None:
            a = (w[band] * g[band]).double()
            found[m, band.start] = a.sum(1), a.sum(0), a.abs_().sum()

        over_bands(work, parts, w.device)
        mine = [found[m, band.start] for band in parts]
        firsts.append(torch.cat([first for first, _, _ in mine]))
        lasts.append(torch.stack([last for _, last, _ in mine]).sum(0))
        sizes += [size for _, _, size in mine]
    first = torch.stack(firsts).reshape(weight.shape[:-1])
    last = torch.stack(lasts).reshape(*weight.shape[:-2], weight.shape[-1])
    return LineSums(first, last, first.sum().item(), torch.stack(sizes).sum().item())


def as_matrices(value: Tensor) -> list[Tensor]:
    """Return a tensor as a list of matrices that share its memory: a vector as one row, experts one by one."""
    if value.dim() <= 2:
        return [value.reshape(1, -1) if value.dim() < 2 else value]
    return list(value.reshape(-1, *value.shape[-2:]))


def by_line(first: Tensor, last: Tensor | None, axes: Sequence[str]) -> dict[str, Tensor]:
    """Name figures over the last axis and over the one before it by what they are of.

    Args:
        first: one value an index of the last axis but one.
        last: one value an index of the last axis.
        axes: meaning of the tensor's axes in storage order (``row``, ``col``, ``expert``).

    Returns:
        ``row`` and ``col``, each with the expert axis in front where there is one; empty where the tensor has no rows
        and columns.

    """
    if last is None or set(axes[-2:]) != {"row", "col"}:
        return {}
    return dict(zip(axes[-2:], (first, last), strict=True))
