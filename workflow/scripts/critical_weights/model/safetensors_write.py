"""Safetensors files written a piece at a time: no tensor has to be in memory, and equal content gives equal bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import CriticalWeightsError
from ..files import written_whole

WIDTHS = {"BOOL": 1, "U8": 1, "F32": 4, "I64": 8}
"""Bytes of one entry of the stored types that are written here."""


@dataclass(frozen=True)
class Part:
    """One tensor of a file.

    Attributes:
        name: its key.
        dtype: one of :data:`WIDTHS`.
        shape: its shape.
        pieces: makes its entries in storage order, as one-dimensional little-endian arrays of any lengths.

    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[NDArray[Any]]]

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return prod(self.shape) * WIDTHS[self.dtype]


def write_safetensors(path: str | Path, parts: Sequence[Part], metadata: Mapping[str, str]) -> int:
    """Write a safetensors file whole, piece by piece, in the order of ``parts``.

    The library's own writer needs all tensors at once and orders the metadata at random.

    Args:
        path: the file.
        parts: its tensors; wide types first, so that every entry lies at a multiple of its width.
        metadata: text by key.

    Returns:
        The bytes of the file.

    Raises:
        CriticalWeightsError: the disk has not as much room.

    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for part in parts:
        header[part.name] = {"dtype": part.dtype, "shape": list(part.shape), "data_offsets": [end, end + part.size]}
        end += part.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    size = 8 + len(text) + end
    with written_whole(path) as unfinished:
        _check_room(Path(path), unfinished.parent, size)
        with unfinished.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for part in parts:
                written = sum(file.write(piece.tobytes()) for piece in part.pieces())
                if written != part.size:
                    raise ValueError(f"{part.name} has {written} bytes, its shape needs {part.size}")
    return size


def _check_room(path: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CriticalWeightsError(
            f"{path} would take {size / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB free",
            fix="Write elsewhere, or write the index list, which takes 12 bytes a selected weight",
        )
