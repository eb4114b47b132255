"""Rank correlations and inversions: against scipy.stats and the obvious count."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from critical_weights.overlap.rank_correlation import inversions, rank_correlations

_PAIRS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0])] * 2), min_size=2, max_size=30)


def of_scipy(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(a, b).statistic), float(stats.kendalltau(a, b).statistic)


@settings(max_examples=200, deadline=None)
@given(_PAIRS)
def test_correlations_are_scipys_to_the_last_bit_whatever_the_ties(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs, np.float32).reshape(-1, 2).T
    np.testing.assert_array_equal(rank_correlations(a, b), of_scipy(a, b))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_scores_have_no_correlation(n: int) -> None:
    assert np.isnan(rank_correlations(np.ones(n, np.float32), np.ones(n, np.float32))).all()


@pytest.mark.parametrize("noise", [0.0, 0.1, 3.0])
def test_correlations_of_many_scores_are_scipys(noise: float) -> None:
    rng = np.random.default_rng(0)
    a = rng.lognormal(0, 3, 3000).astype(np.float32)
    b = (a * rng.lognormal(0, noise, 3000)).round(1).astype(np.float32)
    np.testing.assert_array_equal(rank_correlations(a, b), of_scipy(a, b))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=40))
def test_inversions_are_pairs_with_the_larger_one_first(values: list[int]) -> None:
    assert inversions(np.array(values, np.int64)) == sum(x > y for x, y in combinations(values, 2))
