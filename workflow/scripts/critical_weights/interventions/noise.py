"""Gaussian noise relative to the spread of the weight's tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .moments import mean_and_spread
from .registry import Setting, intervention

if TYPE_CHECKING:
    from torch import Tensor


@intervention(
    name="noise",
    meaning="Gaussian noise is added",
    strength="standard deviation of the noise / standard deviation of the tensor",
    default=1.0,
    lowest=0.0,
)
def noise(values: Tensor, setting: Setting) -> Tensor:
    """Return w + strength * sd(tensor) * e, e a standard normal number for each weight."""
    import torch

    _, spread = mean_and_spread(setting.tensor)
    # Drawn on the CPU, so that the same seed gives the same noise on every device.
    drawn = torch.randn(values.shape, generator=setting.generator, dtype=values.dtype).to(values.device)
    return values + setting.strength * spread * drawn
