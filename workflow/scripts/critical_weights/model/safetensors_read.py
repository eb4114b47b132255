"""Single entries of safetensors files as the very bits that are stored, without a tensor library and of any type."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

WIDTHS = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of one entry; types of less than a byte are not read."""
_POINTER = b"version "
"""What a file begins with that a clone without Git LFS has in place of a large one; no header is as long as that."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
        file: the safetensors file.
        name: its key.
        dtype: stored type, such as ``BF16``.
        shape: its shape.
        start: byte of the file at which its first entry lies.

    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int


def stored_tensors(file: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name; only its header is read.

    Raises:
        ModelError: the file is cut short or is no safetensors file.

    """
    try:
        with file.open("rb") as opened:
            start = opened.read(8)
            if start == _POINTER:
                raise ModelError(f"{file.name} is a Git LFS pointer, not the weights", fix="Fetch them: git lfs pull")
            length = int.from_bytes(start, "little")
            size = file.stat().st_size
            if length > size - 8:
                raise ValueError(f"its header should take {length} bytes, and the file has {size}")
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        found = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            stored = StoredTensor(file, name, entry["dtype"], tuple(entry["shape"]), 8 + length + begin)
            if 8 + length + end > size:
                raise ValueError(f"{name} should end at byte {8 + length + end}, and the file has {size}")
            if stored.dtype in WIDTHS and end - begin != prod(stored.shape) * WIDTHS[stored.dtype]:
                raise ValueError(f"{name} takes {end - begin} bytes, which does not fit its shape")
            found[name] = stored
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file.name} is cut short or damaged ({error})", fix="Fetch or copy it again") from error
    return found


def read_bits(tensor: StoredTensor, flat: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
    """Read single entries of a tensor, in the order asked for.

    Args:
        tensor: which one.
        flat: flat indices, storage order; inside the tensor.

    Returns:
        The bits of each entry as an unsigned number of the entry's width.

    Raises:
        ModelError: the type is none of whole bytes, or the file has become shorter.

    """
    if tensor.dtype not in WIDTHS:
        raise ModelError(f"{tensor.name} is stored as {tensor.dtype}", expected=f"one of {', '.join(WIDTHS)}")
    width = WIDTHS[tensor.dtype]
    descriptor = os.open(tensor.file, os.O_RDONLY)
    try:
        read = b"".join(os.pread(descriptor, width, tensor.start + int(place) * width) for place in flat)
    finally:
        os.close(descriptor)
    if len(read) != width * len(flat):
        raise ModelError(f"{tensor.file.name} was cut short while it was read", fix="Fetch or copy it again")
    return np.frombuffer(read, f"<u{width}").astype(f"u{width}")
