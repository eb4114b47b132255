"""Rounding to n bits, as plain round-to-nearest quantisation of a tensor does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .moments import largest
from .registry import Setting, intervention

if TYPE_CHECKING:
    from torch import Tensor


@intervention(
    name="round_bits",
    meaning="the weight is rounded to the nearest point of a symmetric grid over its tensor's range",
    strength="bits of the grid: 2^bits - 1 points from -max(abs(w)) to max(abs(w))",
    default=4,
    lowest=2,
    whole=True,
)
def round_bits(values: Tensor, setting: Setting) -> Tensor:
    """Return step * round(w / step), step = max(abs(tensor)) / (2^(bits - 1) - 1); halves go to even points."""
    step = largest(setting.tensor) / (2 ** (int(setting.strength) - 1) - 1)
    return values if step == 0 else (values / step).round() * step
