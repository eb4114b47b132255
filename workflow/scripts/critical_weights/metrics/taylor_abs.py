"""First-order change of the loss per text, averaged without its sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="taylor_abs",
    path="taylorabs",
    needs=("grad_abs",),
    units="nats per token",
    normalisation="mean over texts of abs of a text's mean per token",
    source="Michel et al. 2019, 1905.10650; SNIP per text, 2402.05162",
)
def taylor_abs(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return (1/N) sum_s abs(w * g_s / T_s)."""
    return weight.abs() * statistics["grad_abs"]
