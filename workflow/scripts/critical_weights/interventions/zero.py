"""Removal: the weight becomes 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registry import Setting, intervention

if TYPE_CHECKING:
    from torch import Tensor


@intervention(name="zero", meaning="the weight becomes 0")
def zero(values: Tensor, setting: Setting) -> Tensor:
    """Return zeros."""
    del setting
    return values.new_zeros(values.shape)
