"""Exact bit flips of the stored format, as a fault in memory makes them; the result may be infinite or NaN.

Bits are counted from the lowest of the mantissa (0); the highest is the sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigError
from .registry import Setting, intervention

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def flip(values: Tensor, bits: Tensor) -> Tensor:
    """Return values with one bit each turned over.

    Args:
        values: (n,), in the format whose bits are meant.
        bits: (n,) int64, which bit of each.

    """
    import torch

    word = getattr(torch, f"int{width(values.dtype)}")
    # Shifted as int64, where the sign's bit is one like others; narrowing keeps the low bits.
    mask = torch.ones_like(bits).bitwise_left_shift(bits).to(word)
    return values.contiguous().view(word).bitwise_xor(mask).view(values.dtype)


def _flip_each(values: Tensor, bit: int) -> Tensor:
    import torch

    return flip(values, torch.full(values.shape, bit, dtype=torch.int64, device=values.device))


def width(dtype: torch.dtype) -> int:
    """Return how many bits a value takes."""
    return 8 * dtype.itemsize


@intervention(
    name="bit_flip",
    meaning="one given bit of the stored format is turned over",
    strength="the bit, 0 the lowest of the mantissa",
    default=0,
    lowest=0,
    highest=63,
    whole=True,
    of_bits=True,
)
def bit_flip(values: Tensor, setting: Setting) -> Tensor:
    """Return w with the given bit turned over.

    Raises:
        ConfigError: the format has no such bit.

    """
    bit, bits = int(setting.strength), width(values.dtype)
    if bit >= bits:
        name = str(values.dtype).removeprefix("torch.")
        raise ConfigError(f"{name} has no bit {bit}", expected=f"0 to {bits - 1}")
    return _flip_each(values, bit)


@intervention(
    name="bit_flip_exponent", meaning="the top exponent bit of the stored format is turned over", of_bits=True
)
def bit_flip_exponent(values: Tensor, setting: Setting) -> Tensor:
    """Return w with the bit below its sign turned over: of a weight below 2 a huge number."""
    del setting
    return _flip_each(values, width(values.dtype) - 2)


@intervention(name="bit_flip_random", meaning="a random bit of the stored format is turned over", of_bits=True)
def bit_flip_random(values: Tensor, setting: Setting) -> Tensor:
    """Return w with one bit turned over, any as likely as another, drawn for each weight."""
    import torch

    bits = torch.randint(width(values.dtype), values.shape, generator=setting.generator)
    return flip(values, bits.to(values.device))
