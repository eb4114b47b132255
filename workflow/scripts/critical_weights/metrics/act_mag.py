"""The weight's size times the mean size of what it multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="act_mag",
    path="actmag",
    needs=("input_abs",),
    units="weight * activation",
    normalisation="mean over tokens",
    source="Lin et al. 2023 (AWQ), 2306.00978",
)
def act_mag(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return abs(w_ij) * mean over tokens of abs(x_j); the statistic broadcasts along the input axis."""
    return weight.abs() * statistics["input_abs"]
