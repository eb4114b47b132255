"""What the stored bits of a number mean: its value, and which bits differ between two."""

from __future__ import annotations

import numpy as np

_FIELDS = {"BF16": (8, 7), "F16": (5, 10), "F32": (8, 23), "F64": (11, 52)}
"""Bits of exponent and mantissa; the sign is the top bit."""


def value_of(bits: int, dtype: str) -> float | None:
    """Return the number that these bits store; None for a type that is no plain float."""
    if dtype == "BF16":  # the upper half of a float32
        return float(np.array(bits << 16, np.uint32).view(np.float32))
    if dtype not in _FIELDS:
        return None
    width = sum(_FIELDS[dtype]) + 1
    return float(np.array(bits, f"u{width // 8}").view(f"f{width // 8}"))


def hex_of(bits: int, width: int) -> str:
    """Return bits as hex digits, as many as ``width`` bytes have."""
    return f"{bits:0{2 * width}x}"


def changed_bits(before: int, after: int, dtype: str) -> str:
    """Name the bits that differ, the highest first, each with its part: ``15 (sign), 14 (exponent)``."""
    exponent, mantissa = _FIELDS.get(dtype, (0, 0))
    names = []
    for bit in range((before ^ after).bit_length() - 1, -1, -1):
        if (before ^ after) >> bit & 1:
            part = "mantissa" if bit < mantissa else "exponent" if bit < mantissa + exponent else "sign"
            names.append(f"{bit} ({part})" if dtype in _FIELDS else str(bit))
    return ", ".join(names)
