"""Random probes of Hutchinson's estimator, the same ones however the work is split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

WORD = 64
"""Signs in one word of the generator: the unit in which its stream can be entered anywhere."""


def rademacher(
    seed: int,
    probe: int,
    name: str,
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return a tensor of +1 and -1 that depends on (seed, probe, tensor name) alone.

    Args:
        seed: of the phase.
        probe: index of the probe, from 0.
        name: parameter tensor that it belongs to.
        shape: the tensor's shape.
        dtype: floating type of the result.
        device: where the result goes; the bits travel packed.

    """
    count = int(np.prod(shape, dtype=np.int64))
    return _signs(_Stream(seed, probe, name), 0, count, dtype, device).reshape(tuple(shape))


def rademacher_rows(
    seed: int,
    probe: int,
    name: str,
    shape: Sequence[int],
    rows: slice | Tensor,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return ``rademacher(seed, probe, name, shape)[rows]`` without making the other rows.

    Args:
        seed: of the phase.
        probe: index of the probe, from 0.
        name: parameter tensor that it belongs to.
        shape: the whole tensor's shape.
        rows: indices along the first axis: a slice of step 1 with both ends given, or a tensor.
        dtype: floating type of the result.
        device: where the result goes.

    """
    row, rest = int(np.prod(shape[1:], dtype=np.int64)), tuple(shape[1:])
    stream = _Stream(seed, probe, name)
    if isinstance(rows, slice):
        return _signs(stream, rows.start * row, rows.stop * row, dtype, device).reshape(-1, *rest)
    found = [_signs(stream, i * row, (i + 1) * row, dtype, "cpu") for i in rows.tolist()]
    return torch.stack(found).reshape(-1, *rest).to(device)


class _Stream:
    """The random words of one probe's share in one tensor."""

    def __init__(self, seed: int, probe: int, name: str) -> None:
        digest = hashlib.sha256(f"{seed}/{probe}/{name}".encode()).digest()
        self._source = np.random.PCG64(int.from_bytes(digest[:16], "little"))
        self._at = 0

    def packed(self, first: int, last: int) -> np.ndarray:
        """Return words ``first`` to ``last``, the latter left out, as bytes of eight bits each."""
        self._source.advance(first - self._at)
        self._at = last
        return self._source.random_raw(last - first).astype("<u8", copy=False).view(np.uint8)


def _signs(stream: _Stream, start: int, stop: int, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Return the signs at flat places ``start`` to ``stop``, the latter left out."""
    first, last = start // WORD, -(-stop // WORD)
    packed = torch.from_numpy(stream.packed(first, last)).to(device)
    eights = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    table = torch.from_numpy(eights).to(device, dtype).mul_(2).sub_(1)
    return functional.embedding(packed.int(), table).view(-1)[start - first * WORD : stop - first * WORD]
