"""The size of the weight itself: no text, no run of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="magnitude",
    path="mag",
    needs=(),
    units="weight",
    normalisation="none",
    source="Han et al. 2015, 1506.02626",
)
def magnitude(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return abs(w), elementwise; shape of the weight."""
    return weight.abs()
