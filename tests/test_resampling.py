"""Resampled texts, the first k of many rows at once, chance levels: against the obvious way."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.stability.resample_columns import Columns, columns_that_matter
from critical_weights.stability.resampling import (
    bootstrap_multiplicities,
    chance_overlap,
    first_of_rows,
    half_multiplicities,
)

few_values = arrays(np.float32, (4, 12), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0]))


def slow_first(row: np.ndarray, k: int) -> set[int]:
    return {index for _, index in sorted((-value, index) for index, value in enumerate(row))[:k]}


@settings(max_examples=60, deadline=None)
@given(few_values, st.integers(1, 12))
def test_first_of_rows_is_a_stable_sort_whatever_the_ties(scores: np.ndarray, k: int) -> None:
    bits = first_of_rows(scores, np.sort(scores, axis=1)[:, -k], k)
    inside = np.unpackbits(bits, axis=1, count=scores.shape[1])
    assert [set(np.flatnonzero(row)) for row in inside] == [slow_first(row, k) for row in scores]


def in_parts(scores: np.ndarray, *cuts: int) -> Columns:
    return Columns(np.split(scores, cuts, axis=1))


@settings(max_examples=60, deadline=None)
@given(few_values, st.sets(st.integers(1, 10), min_size=1), st.sets(st.integers(0, 11), min_size=10))
def test_columns_that_do_not_matter_are_first_in_no_row(
    scores: np.ndarray, wanted: set[int], competing: set[int]
) -> None:
    columns, ks = np.array(sorted(competing)), sorted(wanted)
    few, own, thresholds = columns_that_matter(in_parts(scores, 0, 3, 7), columns, ks)
    slow = set().union(*(slow_first(row, ks[-1]) for row in scores[:, columns]))
    assert set(columns[sorted(slow)]) <= set(few) <= set(columns)
    np.testing.assert_array_equal(own, scores[:, few])
    np.testing.assert_array_equal(thresholds, [-np.sort(-scores[:, columns], axis=1)[:, k - 1] for k in ks])


def test_few_columns_matter_where_few_can_be_first() -> None:
    scores = np.random.default_rng(0).random((10, 100), np.float32)
    scores[:, 40:45] += 5
    parts, everything = in_parts(scores, 20, 42, 60), np.arange(100)
    assert list(columns_that_matter(parts, everything, [2, 5])[0]) == [40, 41, 42, 43, 44]
    assert 5 < len(columns_that_matter(parts, everything, [6])[0]) < 100


@settings(max_examples=60, deadline=None)
@given(few_values, st.sets(st.integers(0, 11)), st.sets(st.integers(0, 12)))
def test_columns_of_parts_are_those_of_the_whole(scores: np.ndarray, wanted: set[int], cuts: set[int]) -> None:
    columns, parts = np.array(sorted(wanted), np.int64), in_parts(scores, *sorted(cuts))
    np.testing.assert_array_equal(parts.take(columns), scores[:, columns])
    np.testing.assert_array_equal(parts.first, scores[0])
    np.testing.assert_array_equal(parts.highest, scores.max(axis=0))


def test_bootstrap_draws_as_many_texts_each_as_likely() -> None:
    drawn = bootstrap_multiplicities(10, 4000, seed=3)
    assert (drawn.sum(axis=1) == 10).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose((drawn == 0).mean(), 0.9**10, atol=0.01)
    np.testing.assert_array_equal(drawn, bootstrap_multiplicities(10, 4000, seed=3))
    assert (drawn != bootstrap_multiplicities(10, 4000, seed=4)).any()


@pytest.mark.parametrize("n_texts", [2, 7, 10])
def test_halves_are_disjoint_and_equal_and_leave_out_one_text_at_most(n_texts: int) -> None:
    a, b = half_multiplicities(n_texts, 2000, seed=3)
    assert set(np.unique(a)) == set(np.unique(b)) == {0.0, 1.0}
    assert not (a * b).any()
    assert (a.sum(axis=1) == n_texts // 2).all()
    assert (b.sum(axis=1) == n_texts // 2).all()
    np.testing.assert_allclose(a.mean(axis=0), n_texts // 2 / n_texts, atol=0.05)
    np.testing.assert_allclose(b.mean(axis=0), n_texts // 2 / n_texts, atol=0.05)


@pytest.mark.parametrize("weights, k", [(6, 1), (6, 3), (7, 5), (5, 5)])
def test_chance_is_the_mean_over_all_pairs_of_draws(weights: int, k: int) -> None:
    draws = [set(draw) for draw in combinations(range(weights), k)]
    share = np.mean([len(a & b) / k for a in draws for b in draws])
    jaccard = np.mean([len(a & b) / len(a | b) for a in draws for b in draws])
    assert chance_overlap(weights, k) == pytest.approx((share, jaccard), rel=1e-9)
