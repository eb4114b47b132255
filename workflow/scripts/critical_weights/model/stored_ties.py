"""Tensors that a config ties, but that the checkpoint stores apart: two weights that would be taken for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .safetensors_read import WIDTHS, StoredTensor, stored_tensors

_PIECE = 1 << 24
"""Bytes compared at a time."""


def refuse_untied(tensors: Iterable[Mapping[str, Any]], files: Sequence[Path]) -> None:
    """Refuse a checkpoint with different values under names that its config ties.

    transformers then ties nothing when it loads the whole model; read block by block, one of the two would be left out.

    Args:
        tensors: those of ``model.json``, each with the names that are ``tied_to`` it.
        files: the checkpoint's safetensors.

    Raises:
        ModelError: there is such a pair.

    """
    stored = {name: tensor for file in files for name, tensor in stored_tensors(file).items()}
    for entry in tensors:
        found = [stored[name] for name in (entry["name"], *entry["tied_to"]) if name in stored]
        for first, other in pairwise(found):
            if not _equal(first, other):
                raise ModelError(
                    f"config.json ties {other.name} to {first.name}, but the checkpoint stores both, and they differ",
                    fix="Set tie_word_embeddings to false in the config.json of a local copy: both are then scored",
                )


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if one.dtype not in WIDTHS or not prod(one.shape):
        return True  # of less than a byte an entry: such models are refused as quantised
    a, b = _bytes(one), _bytes(other)
    return all(np.array_equal(a[i : i + _PIECE], b[i : i + _PIECE]) for i in range(0, len(a), _PIECE))


def _bytes(tensor: StoredTensor) -> NDArray[np.uint8]:
    size = prod(tensor.shape) * WIDTHS[tensor.dtype]
    return np.memmap(tensor.file, np.uint8, "r", tensor.start, (size,))
