"""The weight times a factor: 1 leaves it, 0 removes it, -1 turns it round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registry import Setting, intervention

if TYPE_CHECKING:
    from torch import Tensor


@intervention(name="scale", meaning="the weight times a factor", strength="the factor", default=0.5)
def scale(values: Tensor, setting: Setting) -> Tensor:
    """Return strength * w."""
    return values * setting.strength
