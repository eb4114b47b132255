"""Each text's own gradient of a few weights, from what a backward pass left at their module.

At position (i, j) of a Linear's weight the gradient of text s is ``sum_t delta_t[i] x_t[j]``: for a thousand candidates
of a tensor that is little work and little memory, and from it every figure of a resampled set of texts follows
without another pass. The part of position 0 is kept apart, for the variant without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .batches import Batch

TEXT_CANDIDATES = 1000
"""Candidates of a tensor, best first, whose gradient is kept for each text."""


def predicted_positions(texts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return T_s of every text, (N,)."""
    return torch.tensor([len(ids) - 1 for ids in texts], dtype=torch.int64, device=device)


@dataclass(frozen=True)
class _Product:
    """Left and right factor (texts, width, rows) and (texts, width, columns) of one batch."""

    left: Tensor
    right: Tensor
    batch: Batch


@dataclass(frozen=True)
class _Tokens:
    """Token ids (texts, width) and output gradients (texts, width, size) of an embedding for one batch."""

    ids: Tensor
    delta: Tensor
    batch: Batch


@dataclass
class TextGradients:
    """The per-text gradients of one parameter tensor, formed only where they are asked for.

    Attributes:
        columns: entries of a row of the tensor.
        predicted: T_s of every text, in calibration order.
        dtype: of the result.
        first_row: which row of the tensor the first one of the products' rows is.

    """

    columns: int
    predicted: Tensor
    dtype: torch.dtype
    first_row: int = 0
    _parts: list[_Product | _Tokens] = field(default_factory=list)

    @property
    def seen(self) -> bool:
        """Whether anything was noted."""
        return bool(self._parts)

    def add_product(self, left: Tensor, right: Tensor, batch: Batch) -> None:
        """Note one batch of a matrix product with the tensor, as :func:`.accumulate.add_linear` takes it."""
        self._parts.append(_Product(left, right, batch))

    def add_tokens(self, ids: Tensor, delta: Tensor, batch: Batch) -> None:
        """Note one batch of an embedding's use of the tensor."""
        self._parts.append(_Tokens(ids, delta, batch))

    @torch.no_grad()
    def at(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return g_s = dL_s/dw of some weights.

        Args:
            index: (m,) flat indices in storage order.

        Returns:
            (m, N) gradients, the texts in calibration order, and (m, N) the part of them that position 0 of a matrix
            product has; an embedding's use counts in full whatever the position.

        """
        rows, columns = index // self.columns, index % self.columns
        whole = torch.zeros(len(index), len(self.predicted), dtype=self.dtype, device=index.device)
        first = torch.zeros_like(whole)
        for part in self._parts:
            places = torch.tensor(part.batch.places, device=index.device)
            if isinstance(part, _Product):
                both = part.left[:, :, rows - self.first_row].to(self.dtype) * part.right[:, :, columns].to(self.dtype)
                both *= part.batch.mask()[:, :, None]
                first[:, places] += both[:, 0].T
            else:
                both = part.delta[:, :, columns].to(self.dtype) * (part.ids[:, :, None] == rows)
                both *= part.batch.mask()[:, :, None]
            whole[:, places] += both.sum(1).T
        return whole, first

    def statistics(self, gradients: Tensor) -> dict[str, Tensor]:
        """Return the statistics of :mod:`critical_weights.metrics.statistics` that follow from (m, N) gradients."""
        predicted = self.predicted.to(gradients.dtype)
        per_token = gradients / predicted
        return {
            "grad": gradients.sum(1) / predicted.sum(),
            "grad_sq": per_token.square().mean(1),
            "grad_abs": per_token.abs().mean(1),
            "grad_sq_token": gradients.square().sum(1) / predicted.sum(),
        }
