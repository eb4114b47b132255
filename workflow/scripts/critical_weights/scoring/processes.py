"""Several processes, each with a share of the texts: what they add up, agree on and wait for.

Every process has the whole model (or streams it) and its own texts; the sums of each part of the model are joined in
the first process, which alone turns them into scores and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import ConfigError, CriticalWeightsError

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long to wait for another process: the first one writes scores while the others wait, and that may take long."""


class ProcessLost(CriticalWeightsError):
    """Another process of the same job ended, so that there is nothing to join with."""


@dataclass(frozen=True)
class Processes:
    """This process among those that share the texts; by default it is alone, and every call is a matter of course.

    Attributes:
        rank: its number, from 0; the first one leads.
        count: how many there are.

    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that has the joined sums, and writes."""
        return self.rank == 0

    def share(self, texts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """Return this process's texts; see :func:`shares`."""
        return [texts[place] for place in self.places(texts)]

    def places(self, texts: Sequence[Sequence[int]]) -> list[int]:
        """Return the places of this process's texts among all, ascending."""
        return deal(texts, self.count)[self.rank]

    def join(self, tensors: Iterable[Tensor]) -> None:
        """Add each tensor up over all processes, in place, in the first one; the others' are spoilt."""
        if self.count == 1:
            return
        for tensor in tensors:
            _told(lambda tensor=tensor: dist.reduce(tensor, 0))

    def total(self, number: float) -> float:
        """Return the sum of all processes' numbers, in all of them."""
        if self.count == 1:
            return number
        value = torch.tensor([number], dtype=torch.float64)
        _told(lambda: dist.all_reduce(value))
        return value.item()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up in some process, in all of them; none returns before all have asked."""
        return self.total(float(flag)) > 0

    def union(self, rows: Tensor, size: int) -> Tensor:
        """Return the row numbers below ``size`` that some process names, ascending, in all of them."""
        if self.count == 1:
            return rows
        named = torch.zeros(size, dtype=torch.uint8)
        named[rows.cpu()] = 1
        _told(lambda: dist.all_reduce(named, op=dist.ReduceOp.MAX))
        return named.nonzero().squeeze(1).to(rows.device)

    def agree(self, value: T) -> T:
        """Return the first process's value, in all of them."""
        if self.count == 1:
            return value
        held = [value]
        _told(lambda: dist.broadcast_object_list(held, src=0, device=torch.device("cpu")))
        return held[0]


ALONE = Processes()
"""The only process."""


def shares(texts: Sequence[Sequence[int]], count: int) -> list[list[Sequence[int]]]:
    """Return the texts of each process, in their order; see :func:`deal`."""
    return [[texts[place] for place in own] for own in deal(texts, count)]


def deal(texts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Deal texts out so that each process has about as many tokens: the longest first, to whoever has least.

    Args:
        texts: token ids of each text.
        count: of processes.

    Returns:
        The places of each process's texts, ascending.

    Raises:
        ConfigError: a process would have none.

    """
    if len(texts) < count > 1:
        raise ConfigError("there are more processes than texts", got=f"{count} processes, {len(texts)} texts",
                          fix=f"Set scoring: processes: {max(len(texts), 1)} or fewer")  # fmt: skip
    tokens, dealt = [0] * count, [[] for _ in range(count)]
    for index in sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i)):
        rank = tokens.index(min(tokens))
        tokens[rank] += len(texts[index])
        dealt[rank].append(index)
    return [sorted(own) for own in dealt]


@contextmanager
def together(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that torchrun started beside this one; without torchrun, this one is alone.

    Args:
        device: where to compute.

    Yields:
        The processes, and this one's own device: each has a GPU of its own.

    Raises:
        ConfigError: there are fewer GPUs than processes.

    """
    if not is_one_of_several():
        yield ALONE, device
        return
    rank, count, place = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    backend = "gloo"
    if device.type == "cuda":
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        if here > torch.cuda.device_count():
            raise ConfigError("each process needs a GPU of its own", got=f"{here} processes",
                              expected=f"at most {torch.cuda.device_count()}",
                              fix="Lower scoring: processes")  # fmt: skip
        device = torch.device("cuda", place)
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=PATIENCE)
    yield Processes(rank, count), device
    dist.destroy_process_group()  # not after a mistake: the others would be waited for


def is_one_of_several() -> bool:
    """Whether torchrun started this process, and others beside it."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def _told(act: Callable[[], object]) -> None:
    """Do something together with the other processes.

    Raises:
        ProcessLost: one of them is gone.

    """
    try:
        act()
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise ProcessLost("another process of this job ended", fix="Its own message says why") from error
