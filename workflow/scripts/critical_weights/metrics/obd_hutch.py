"""Second-order estimate of the loss when the weight is set to 0, the curvature from random probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="obd_hutch",
    path="obdhutch",
    needs=("hessian_diag", "hessian_stderr"),
    units="nats per token",
    normalisation="mean over Rademacher probes of v * (H v), H of the mean loss per token",
    source="LeCun et al. 1989 (Optimal Brain Damage), eq. 3; Bekas et al. 2007",
    signed="hessian_diag",
    clipped="estimates of the curvature below 0",
)
def obd_hutch(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return max(0, 1/2 * h * w^2): a negative h is a saddle, not a saliency."""
    return (0.5 * statistics["hessian_diag"] * weight**2).clamp(min=0)
