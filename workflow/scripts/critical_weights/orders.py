"""Orders of millions of scores or numbers, as ``np.argsort`` gives them in several times the time.

Value and place are packed into one integer each: numpy sorts integers much faster than it sorts their places, and with
the place in its low bits no two are equal, so that any sort is a stable one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Shorts = NDArray[np.int32]


def descending(score: NDArray[np.float32]) -> Ints:
    """Return the places of scores, largest first, equal ones in their order."""
    if not (score >= 0).all():  # NaN included; of other numbers the bits grow with the value
        return np.argsort(-score, kind="stable")
    bits = (score.astype(np.float32) + np.float32(0)).view(np.int32)  # + 0: -0.0 is equal to 0.0, its bits are not
    packed, width = _packed(np.subtract(np.iinfo(np.int32).max, bits, dtype=np.int64))
    packed &= (1 << width) - 1
    return packed


def numbered_alike(numbers: Sequence[Ints]) -> tuple[int, list[tuple[Shorts, Shorts]]]:
    """Number from 0 on, ascending, what several arrays of different numbers of 0 or more have.

    Returns:
        How many numbers there are in all; and of each array those that it has, ascending, and the places in the array
        that they come from.

    """
    lengths = [len(own) for own in numbers]
    highest = max((int(own.max(initial=-1)) for own in numbers), default=-1)
    if highest + 1 in lengths:  # one has all numbers
        return highest + 1, [_ascending(own, highest + 1) for own in numbers]
    joined = np.concatenate([np.zeros(0, np.int64), *numbers])
    width, bits = max(lengths, default=0).bit_length(), len(lengths).bit_length()
    if highest.bit_length() + bits + width > 63:
        joined = np.unique(joined, return_inverse=True)[1]
    joined <<= bits
    joined |= np.repeat(np.arange(len(lengths)), lengths)
    joined <<= width
    joined |= np.concatenate([np.zeros(0, np.int64), *map(np.arange, lengths)])
    joined.sort()
    place = (joined & ((1 << width) - 1)).astype(np.int32)
    joined >>= width
    array = (joined & ((1 << bits) - 1)).astype(np.min_scalar_type(len(lengths)))
    joined >>= bits
    name = np.zeros(len(joined), np.int32)
    np.cumsum(joined[1:] != joined[:-1], out=name[1:])
    total = int(name[-1]) + 1 if len(name) else 0
    return total, [(name[own], place[own]) for own in (array == i for i in range(len(lengths)))]


def _ascending(numbers: Ints, total: int) -> tuple[Shorts, Shorts]:
    """Return different numbers below ``total`` in ascending order, and the places that they come from."""
    places = np.full(total, -1, np.int32)
    places[numbers] = np.arange(len(numbers), dtype=np.int32)
    if len(numbers) == total:
        return np.arange(total, dtype=np.int32), places
    found = np.flatnonzero(places >= 0).astype(np.int32)
    return found, places[found]


def grouped(group: Ints) -> Ints:
    """Return the places of small numbers of 0 or more in ascending order, equal ones in their order."""
    # Of 16 bits or less numpy sorts stably in linear time.
    return np.argsort(group.astype(np.min_scalar_type(int(group.max(initial=0)))), kind="stable")


def _packed(values: Ints) -> tuple[Ints, int]:
    """Return values with their places in their low bits, in ascending order, and how many bits these are."""
    width = max(len(values) - 1, 0).bit_length()
    packed = values << width
    packed |= np.arange(len(values))
    packed.sort()
    return packed, width
