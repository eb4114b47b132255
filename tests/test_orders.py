"""Fast orders against numpy's stable argsort, ties and zeros included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.orders import descending, grouped, numbered_alike

_SIZES = st.integers(0, 40)
_SCORES = st.sampled_from([0.0, -0.0, 1e-45, 1e-38, 0.5, 1.0, 1.5, 3e38, np.inf])


@settings(max_examples=200, deadline=None)
@given(arrays(np.float32, _SIZES, elements=_SCORES))
def test_scores_are_in_the_order_of_a_stable_sort(score: np.ndarray) -> None:
    np.testing.assert_array_equal(descending(score), np.argsort(-score, kind="stable"))


@pytest.mark.parametrize("odd", [-1.0, -np.inf, np.nan])
def test_scores_that_no_bits_order_are_sorted_too(odd: float) -> None:
    score = np.array([1, odd, 2, 0, odd, 2], np.float32)
    np.testing.assert_array_equal(descending(score), np.argsort(-score, kind="stable"))


def test_many_scores_with_ties() -> None:
    score = np.random.default_rng(0).lognormal(-9, 3, 100_000).round(5).astype(np.float32)
    np.testing.assert_array_equal(descending(score), np.argsort(-score, kind="stable"))


_NUMBERS = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**63 - 1)), max_size=40, unique=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(_NUMBERS, max_size=4))
def test_what_several_arrays_have_is_numbered_alike_however_large(lists: list[list[int]]) -> None:
    union = sorted(set().union(*lists))
    total, found = numbered_alike([np.array(own, np.int64) for own in lists])
    assert total == len(union)
    for own, (name, place) in zip(lists, found, strict=True):
        assert [union[number] for number in name] == [own[at] for at in place] == sorted(own)


@pytest.mark.parametrize("most", [1, 255, 256, 65_535, 65_536, 100_000])
def test_groups_stay_in_their_order(most: int) -> None:
    group = np.append(np.random.default_rng(0).integers(0, most + 1, 5000), [most, 0, most])
    np.testing.assert_array_equal(grouped(group), np.argsort(group, kind="stable"))
