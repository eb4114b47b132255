"""The directions along which probes move a model: +1 and -1 on the analysed tensors, 0 elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from .probes import rademacher, rademacher_rows


class Directions:
    """All probes' v; nothing of it is kept, every call makes it anew.

    Args:
        model: whose parameters move, in memory or on the meta device.
        analysed: names of those that do.
        seed: of the probes.
        probes: how many.
        device: where the signs go.

    Attributes:
        probes: how many.

    """

    def __init__(
        self, model: nn.Module, analysed: Collection[str], seed: int, probes: int, device: torch.device
    ) -> None:
        self.probes = probes
        self._model = model
        self._shapes = {n: tuple(p.shape) for n, p in model.named_parameters() if n in analysed}
        self._dtype = next(model.parameters()).dtype
        self._seed = seed
        self._device = device
        self._rows: dict[str, Tensor] = {}

    def compact(self, name: str, rows: Tensor) -> None:
        """Say that a parameter now holds some of its tensor's rows only."""
        self._rows[name] = rows

    def moved(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Return those parameters of some names that probes move, gradients on."""
        parameters = dict(self._model.named_parameters())
        return {name: parameters[name].requires_grad_(True) for name in names if name in self._shapes}

    def of(self, names: Iterable[str], probe: int) -> list[Tensor]:
        """Return v of some moved parameters as they are held now."""
        return [self._some(n, probe, self._rows[n]) if n in self._rows else self._whole(n, probe) for n in names]

    def of_rows(self, names: Iterable[str | None], probe: int, rows: slice) -> tuple[Tensor | None, ...]:
        """Return v of some rows of tensors; None where there is no tensor, or no probe moves it."""
        return tuple(self._some(name, probe, rows) if name in self._shapes else None for name in names)

    def _some(self, name: str, probe: int, rows: slice | Tensor) -> Tensor:
        return rademacher_rows(self._seed, probe, name, self._shapes[name], rows, self._dtype, self._device)

    def _whole(self, name: str, probe: int) -> Tensor:
        return rademacher(self._seed, probe, name, self._shapes[name], self._dtype, self._device)
