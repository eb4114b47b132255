"""First-order estimate of the change of the corpus loss when the weight is set to 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="grad_x_weight",
    path="gradxw",
    needs=("grad",),
    units="nats per token",
    normalisation="gradient of the mean loss per token; abs after the sum over texts",
    source="Mozer & Smolensky 1988; Molchanov et al. 2016, 1611.06440; SNIP, 1810.02340",
)
def grad_x_weight(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return abs(w * g), g the gradient of the mean loss per token."""
    return (weight * statistics["grad"]).abs()
