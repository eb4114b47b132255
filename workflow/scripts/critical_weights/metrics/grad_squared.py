"""The empirical Fisher diagonal: how strongly single texts pull at the weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    name="grad_squared",
    path="gradsq",
    needs=("grad_sq",),
    units="(nats per token / weight)^2",
    normalisation="mean over texts of the square of a text's mean gradient per token",
    source="SqueezeLLM, 2306.07629; caveats in Kunstner et al. 2019, 1905.12558",
)
def grad_squared(weight: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
    """Return F = (1/N) sum_s (g_s / T_s)^2, one text a square."""
    return statistics["grad_sq"]
