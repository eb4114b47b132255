"""Second-order estimate of the loss when the weight is set to 0, the Fisher standing in for the Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="obd",
    path="obd",
    needs=("grad_sq_token",),
    units="nats per token",
    normalisation="sum over texts of the squared gradient of the text's loss, over the number of predicted tokens",
    source="LeCun et al. 1989 (Optimal Brain Damage), eq. 3; Kunstner et al. 2019, 1905.12558",
)
def obd(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return 1/2 * h * w^2 with h = sum_s g_s^2 / sum_s T_s."""
    return 0.5 * statistics["grad_sq_token"] * weight**2
