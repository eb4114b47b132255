"""Mixtures of experts: running the experts one by one, so that every product with a weight can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eager_experts(model: nn.Module) -> Iterator[None]:
    """Have a model's experts run by its own loop over them instead of one fused call; undone afterwards."""
    config = getattr(model, "config", None)
    before = getattr(config, "_experts_implementation", None)
    if before is None:
        yield
        return
    model.set_experts_implementation("eager")
    try:
        yield
    finally:
        model.set_experts_implementation(before)
