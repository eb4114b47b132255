"""The size of the loss's curvature along the weight, estimated by random probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="hutchinson_diag",
    path="hutch",
    needs=("hessian_diag", "hessian_stderr"),
    units="nats per token / weight^2",
    normalisation="mean over Rademacher probes of v * (H v), H of the mean loss per token",
    source="Bekas et al. 2007, doi 10.1016/j.apnum.2007.01.003",
    signed="hessian_diag",
)
def hutchinson_diag(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return abs of the mean over probes of v_k * (H v_k); the signed mean and its standard error are kept apart."""
    return statistics["hessian_diag"].abs()
