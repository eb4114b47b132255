"""Where the block engine lays a block's input until it comes back to it: on the device, in host memory or on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

PLACES = ("device", "host", "disk")
"""The nearest first."""


@dataclass(frozen=True)
class _OnDisk:
    """A tensor that lies in a file: its bytes, row by row."""

    path: Path
    shape: torch.Size
    dtype: torch.dtype


Laid = list[Tensor] | list[_OnDisk]
"""Tensors that were laid down."""


class Shelf:
    """Lays tensors down and takes them up again; a context manager, after which nothing is left on disk.

    Args:
        place: one of :data:`PLACES`.
        device: where tensors go when they are taken up.
        folder: for ``disk``: made anew, and deleted at the end.

    """

    def __init__(self, place: str, device: torch.device, folder: Path | None = None) -> None:
        if place not in PLACES or (place == "disk" and folder is None):
            raise ValueError(f"unknown place {place}, or no folder for it")
        self._place = place
        self._device = device
        self._folder = folder
        self._numbers = count()

    def __enter__(self) -> Self:
        """Make the folder; what a killed run left there goes."""
        if self._place == "disk":
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete the folder."""
        if self._place == "disk":
            shutil.rmtree(self._folder, ignore_errors=True)

    def lay(self, tensors: list[Tensor]) -> Laid:
        """Lay tensors down."""
        if self._place == "device":
            return tensors
        if self._place == "host":
            return [tensor.cpu() for tensor in tensors]
        return [self._write(tensor) for tensor in tensors]

    def take(self, laid: Laid) -> list[Tensor]:
        """Take tensors up; those on disk are deleted there."""
        return [self._read(one) if isinstance(one, _OnDisk) else one.to(self._device) for one in laid]

    def _write(self, tensor: Tensor) -> _OnDisk:
        path = self._folder / f"{next(self._numbers):06d}.bin"
        tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tofile(path)
        return _OnDisk(path, tensor.shape, tensor.dtype)

    def _read(self, one: _OnDisk) -> Tensor:
        values = torch.from_numpy(np.fromfile(one.path, dtype=np.uint8)).view(one.dtype).reshape(one.shape)
        one.path.unlink()
        return values.to(self._device)
