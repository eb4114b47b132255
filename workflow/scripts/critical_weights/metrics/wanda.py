"""The weight's size times the norm of what it multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="wanda",
    path="wanda",
    needs=("input_sq",),
    units="weight * activation",
    normalisation="mean over texts of the sum over tokens, under the root",
    source="Sun et al. 2023 (Wanda), 2306.11695, eq. 1",
)
def wanda(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return abs(w_ij) * sqrt(mean over texts of sum_t x_tj^2); defined in its paper as a comparison within a row."""
    return weight.abs() * statistics["input_sq"].sqrt()
