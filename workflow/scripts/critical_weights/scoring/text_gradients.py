"""Each text's own gradient of a few weights, from what a backward pass left at their module.

At position (i, j) of a Linear's weight the gradient of text s is ``sum_t delta_t[i] x_t[j]``: for a thousand candidates
of a tensor that is little work and little memory, and from it every figure of a resampled set of texts follows
without another pass. The part of position 0 is kept apart, for the variant without it.

Several processes know their own texts only, and the first one alone knows the candidates: it asks, while the others
stand ready to answer until it says that it needs no more of a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .batches import Batch
from .processes import ALONE, Processes

TEXT_CANDIDATES = 1000
"""Candidates of a tensor, best first, whose gradient is kept for each text."""


@dataclass(frozen=True)
class Texts:
    """Whose gradients are told apart.

    Attributes:
        predicted: (N,) T_s of every text, in calibration order.
        own: places of this process's texts among them.
        processes: those that share the texts.

    """

    predicted: Tensor
    own: Tensor
    processes: Processes = ALONE

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], device: torch.device, processes: Processes = ALONE) -> Texts:
        """Return what there is to know of texts, given as the token ids of each, of all processes."""
        predicted = torch.tensor([len(ids) - 1 for ids in texts], dtype=torch.int64, device=device)
        return cls(predicted, torch.tensor(processes.places(texts), device=device), processes)


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
        of: the texts.
        dtype: of the result.
        first_row: which row of the tensor the first one of the products' rows is.

    """

    columns: int
    of: Texts
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
        """Return g_s = dL_s/dw of some weights, in the first process.

        Args:
            index: (m,) flat indices in storage order.

        Returns:
            (m, N) gradients, the texts in calibration order, and (m, N) the part of them that position 0 has.

        """
        if len(index):
            self.of.processes.agree(index.cpu())
        return self._joined(index)

    @torch.no_grad()
    def close(self) -> None:
        """Say that no more weights are asked for; in another process than the first, answer until then."""
        processes = self.of.processes
        if processes.leads:
            processes.agree(None)
            return
        while (index := processes.agree(None)) is not None:
            self._joined(index.to(self.of.own.device))

    def _joined(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return what all processes together know of some weights: each of them has 0 for the others' texts."""
        found = self._of_own_texts(index)
        if len(index):
            self.of.processes.join(found)
        return found

    def _of_own_texts(self, index: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = index // self.columns, index % self.columns
        whole = torch.zeros(len(self.of.predicted), len(index), dtype=self.dtype, device=index.device)
        first = torch.zeros_like(whole)
        for part in self._parts:
            places = self.of.own[list(part.batch.places)]
            if isinstance(part, _Product):
                both = _entries(part.left, rows - self.first_row).to(self.dtype)
                both *= _entries(part.right, columns).to(self.dtype)
            else:
                both = _entries(part.delta, columns).to(self.dtype)
                both *= part.ids[:, :, None] == rows
            first[places] += both[:, 0]  # a real token in every text
            both *= part.batch.mask()[:, :, None]
            whole[places] += both.sum(1)
        return whole.T.contiguous(), first.T.contiguous()

    def statistics(self, gradients: Tensor) -> dict[str, Tensor]:
        """Return the statistics of :mod:`critical_weights.metrics.statistics` that follow from (m, N) gradients."""
        predicted = self.of.predicted.to(gradients.dtype)
        per_token = gradients / predicted
        return {
            "grad": gradients.sum(1) / predicted.sum(),
            "grad_sq": per_token.square().mean(1),
            "grad_abs": per_token.abs().mean(1),
            "grad_sq_token": gradients.square().sum(1) / predicted.sum(),
        }


def _entries(factor: Tensor, index: Tensor) -> Tensor:
    """Return (texts, width, m) of a (texts, width, size) factor: some entries at every position."""
    # As factor[:, :, index], in a sixth of the time.
    return factor.gather(2, index.expand(*factor.shape[:2], -1))
