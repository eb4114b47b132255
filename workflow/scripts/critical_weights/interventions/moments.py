"""Mean, spread and range of a whole tensor, summed in float64 piece by piece: no wide copy of it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 22


def mean_and_spread(tensor: Tensor) -> tuple[float, float]:
    """Return the mean and the standard deviation (n in the denominator) over all entries."""
    n = tensor.numel()
    mean = sum(float(piece.sum()) for piece in _pieces(tensor)) / n
    square = sum(float((piece - mean).square_().sum()) for piece in _pieces(tensor)) / n
    return mean, square**0.5


def largest(tensor: Tensor) -> float:
    """Return the largest absolute entry."""
    return float(tensor.abs().max()) if tensor.numel() <= _PIECE else max(float(p.abs().max()) for p in _pieces(tensor))


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    for piece in tensor.reshape(-1).split(_PIECE):
        yield piece.double()
