"""The weight changes its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registry import Setting, intervention

if TYPE_CHECKING:
    from torch import Tensor


@intervention(name="sign_flip", meaning="the weight changes its sign")
def sign_flip(values: Tensor, setting: Setting) -> Tensor:
    """Return -w; a 0 stays as it is, its sign included."""
    del setting
    return values.where(values == 0, -values)
