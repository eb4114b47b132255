"""Whether a model can be run block by block: what is tried before anything is believed that was computed so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError


def refused(model: nn.Module, why: str) -> ModelError:
    """Return the error that says why a model cannot be run block by block."""
    return ModelError(f"{type(model).__name__} cannot be run block by block: {why}",
                      fix="With 'placement: resident' no block is run alone")  # fmt: skip


@contextmanager
def told(model: nn.Module) -> Iterator[None]:
    """Turn whatever a model of another make raises while it is tried into a ModelError, want of memory apart."""
    try:
        yield
    except (ModelError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")[:150]
        raise refused(model, f"{type(error).__name__}: {line}") from error


def check_own_tensors(model: nn.Module, prefix: str) -> None:
    """Refuse a tensor that belongs to several blocks: its sum over one block is not that over the model.

    Args:
        model: the model.
        prefix: name of its list of blocks.

    Raises:
        ModelError: there is one.

    """
    owner: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if name.startswith(f"{prefix}."):
            block = name[len(prefix) + 1 :].partition(".")[0]
            if owner.setdefault(id(parameter), block) != block:
                raise refused(model, f"blocks {owner[id(parameter)]} and {block} share {name}")


def check_order(model: nn.Module, seen: list[int], count: int) -> None:
    """Refuse a model that runs a block twice, or not at all.

    Args:
        model: the model.
        seen: blocks in the order in which they ran.
        count: of blocks.

    Raises:
        ModelError: they are not each block once, in the order of the list.

    """
    if seen != list(range(count)):
        raise refused(model, f"its {count} blocks do not each run once, in the order of their list")


def carries_gradient(values: Iterable[Any]) -> bool:
    """Return whether a tensor among a block's arguments, its hidden states apart, was made by weights."""
    for value in values:
        if isinstance(value, Tensor) and value.requires_grad:
            return True
        if isinstance(value, tuple | list) and carries_gradient(value):
            return True
    return False
