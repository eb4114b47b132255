"""Removal of what is special about a weight: it becomes the mean of its tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .moments import mean_and_spread
from .registry import Setting, intervention

if TYPE_CHECKING:
    from torch import Tensor


@intervention(name="mean", meaning="the weight becomes the mean of its tensor")
def tensor_mean(values: Tensor, setting: Setting) -> Tensor:
    """Return the mean over all weights of the tensor, for each value."""
    mean, _ = mean_and_spread(setting.tensor)
    return values.new_full(values.shape, mean)
