"""How small a p-value from random draws can be: apart from the tests, for the report needs it and no scipy."""

from __future__ import annotations

from math import comb

DRAWS = 9999
"""Draws behind a p-value, where they are not all ways there are."""
LEAST_P = 1 / (1 + DRAWS)
"""The smallest p-value of so many draws: what was seen counts as one more."""


def least_p_of_permutation(a: int, b: int) -> float:
    """Return the smallest p-value that dealing out a and b tensors anew can give.

    Of all ways one is as seen, and where both sides have as many, another with the sides exchanged.
    """
    ways = comb(a + b, a)
    return LEAST_P if ways > DRAWS else (2 if a == b else 1) / ways
