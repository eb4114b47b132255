"""The seam between an engine and what uses its statistics: tensors one by one, and a summary at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from .memory_return import give_back
from .reduce import LineSums, line_sums
from .text_gradients import TextGradients


@dataclass(frozen=True)
class TensorStatistics:
    """The statistics of one parameter tensor over all texts, or of a slab of it.

    A slab is a run of whole slices along the first storage axis; the slabs of a tensor come in ascending order.

    Attributes:
        name: tensor name, as ``named_parameters()`` has it.
        weight: the tensor's values in the accumulators' dtype, on the engine's device.
        statistics: statistic name -> tensor that broadcasts to the weight's shape; without those that this tensor
            does not have (then the summary's ``missing`` says why).
        texts: gives each text's own gradient of single weights of the whole tensor, where that can be had.

    """

    name: str
    weight: Tensor
    statistics: Mapping[str, Tensor]
    texts: TextGradients | None = None

    @cached_property
    def signed(self) -> LineSums:
        """The sums of the signed a = g * w, which every gradient metric and the self-checks share."""
        return line_sums(self.weight, self.statistics["grad"])


SLAB_WEIGHTS = 1 << 22
"""Weights that are scored together: few enough that the memory of temporary results is reused, not asked for anew."""


def slab_weights(device: torch.device) -> int:
    """Return how many weights are scored together: on a GPU more, since each slab makes it wait for the host."""
    return SLAB_WEIGHTS if device.type == "cpu" else 16 * SLAB_WEIGHTS


def slabs(item: TensorStatistics, weights: int | None = None) -> Iterator[TensorStatistics]:
    """Cut a tensor's statistics into slabs of about so many weights along the first storage axis."""
    weights = weights or slab_weights(item.weight.device)
    length = item.weight.shape[0]
    step = max(1, weights * length // max(item.weight.numel(), 1))
    if step >= length:
        yield item
        return
    for start in range(0, length, step):
        rows = slice(start, start + step)
        cut = {
            s: v[rows] if v.dim() == item.weight.dim() and len(v) == length else v for s, v in item.statistics.items()
        }
        yield TensorStatistics(item.name, item.weight[rows], cut, item.texts)


def slabs_of(run: Run) -> Iterator[TensorStatistics]:
    """Yield a run's tensors slab by slab, holding on to none while the engine makes the next one."""
    tensors = iter(run)
    while (whole := next(tensors, None)) is not None:
        yield from slabs(whole)
        large = whole.weight.numel() > SLAB_WEIGHTS
        del whole
        if large:
            give_back()


@dataclass
class Summary:
    """What an engine knows when it has seen every text.

    Attributes:
        n_texts: texts seen, N.
        n_predicted: predicted positions, sum of T_s.
        corpus_loss: mean negative log-likelihood per predicted token in nats; None where nothing ran.
        missing: tensor name -> why it has no statistic of this family.

    """

    n_texts: int = 0
    n_predicted: int = 0
    corpus_loss: float | None = None
    missing: dict[str, str] = field(default_factory=dict)


class Run(Protocol):
    """One pass of an engine over the texts. Iterate it once; ``summary`` is complete afterwards."""

    summary: Summary

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Yield every parameter tensor once, whole or in ascending slabs; shared storage once; tensors in any order."""
        ...
