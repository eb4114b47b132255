from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critical_weights.overlap.chance import chance_of_sharing


def slow_chance(shared, n, a, b):
    """Count the draws: exact whole numbers."""
    draws = sum(math.comb(a, x) * math.comb(n - a, b - x) for x in range(shared, min(a, b) + 1))
    return float(Fraction(draws, math.comb(n, b)))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, n))), st.data())
def test_the_chance_is_that_of_counting_the_draws(sizes, data):
    n, a, b = sizes
    shared = data.draw(st.integers(max(0, a + b - n), min(a, b)))
    # Absolute at the top: there the result is 1 minus the lower tail.
    assert chance_of_sharing(shared, n, a, b) == pytest.approx(slow_chance(shared, n, a, b), rel=1e-10, abs=0)


@pytest.mark.parametrize(
    "shared, n, a, b",
    [(1, 8_029_995_008, 10, 10), (3, 8_029_995_008, 1000, 1000), (1, 8_029_995_008, 1000, 300), (9, 4096, 1000, 30),
     (60, 525_336_576, 1000, 100), (30, 60_000, 300, 2000), (0, 8_029_995_008, 10, 10), (40, 10**12, 300, 300)],
)  # fmt: skip
def test_it_is_right_at_the_sizes_of_real_models(shared, n, a, b):
    assert chance_of_sharing(shared, n, a, b) == pytest.approx(slow_chance(shared, n, a, b), rel=1e-9, abs=0)


def test_what_no_float_can_hold_is_zero_and_sharing_nothing_or_more_is_certain():
    assert chance_of_sharing(9000, 8_029_995_008, 10_000, 10_000) == 0
    assert chance_of_sharing(0, 8_029_995_008, 10_000, 10_000) == 1
    assert chance_of_sharing(20, 20, 20, 20) == 1
    assert chance_of_sharing(5, 20, 15, 10) == 1  # fewer cannot be


def test_arrays_are_answered_element_by_element():
    shared, a = np.arange(8), np.array([[7], [30]])
    together = chance_of_sharing(shared, 50, a, 9)
    for i, j in np.ndindex(together.shape):
        assert together[i, j] == chance_of_sharing(shared[j], 50, a[i, 0], 9)
