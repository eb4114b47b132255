"""Random probes of Hutchinson's estimator, the same ones however the work is split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def rademacher(seed: int, probe: int, name: str, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a tensor of +1 and -1 that depends on (seed, probe, tensor name) alone, on the CPU.

    Args:
        seed: of the phase.
        probe: index of the probe, from 0.
        name: parameter tensor that it belongs to.
        shape: the tensor's shape.
        dtype: floating type of the result.

    """
    digest = hashlib.sha256(f"{seed}/{probe}/{name}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    count = int(np.prod(shape, dtype=np.int64))
    bits = np.unpackbits(np.frombuffer(generator.bytes((count + 7) // 8), dtype=np.uint8), count=count)
    return torch.from_numpy(bits).reshape(tuple(shape)).to(dtype).mul_(2).sub_(1)
