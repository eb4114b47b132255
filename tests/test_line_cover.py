"""Lines that hold a set of weights, against enumeration of everything that could hold them."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations, product
from math import comb, perm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critical_weights.structure.line_cover import (
    BEST,
    _figures_of_draws,
    by_chance,
    chance_of_best,
    chance_of_hit,
    cover,
    lines_for,
)
from critical_weights.structure.recurring import tail

cells = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=14)


def slow_greedy(places):
    """Take the fullest line again and again; rows before columns, then the lower index."""
    left, taken = set(places), []
    while left:
        counts = Counter(("col", c) for _, c in left) + Counter(("row", r) for r, _ in left)
        kind, index = min(counts, key=lambda line: (-counts[line], line[0] == "col", line[1]))
        taken.append((kind == "col", index, counts[kind, index]))
        left = {(r, c) for r, c in left if (c if kind == "col" else r) != index}
    return taken


def slow_least(places):
    """Try every set of lines, small ones first."""
    lines = sorted({("row", r) for r, _ in places} | {("col", c) for _, c in places})
    for size in range(len(lines) + 1):
        for chosen in combinations(lines, size):
            if all(("row", r) in chosen or ("col", c) in chosen for r, c in places):
                return size
    return None


@settings(max_examples=150, deadline=None)
@given(cells, st.randoms())
def test_the_cover_is_that_of_sets_in_any_order(places, random):
    places = list(places)
    random.shuffle(places)
    rows, cols = np.array(places, np.int64).reshape(-1, 2).T
    found = cover(7 * rows, 3 * cols)
    assert list(zip(found.is_col, found.line, found.gain, strict=True)) == [
        (is_col, index * (3 if is_col else 7), gain) for is_col, index, gain in slow_greedy(places)
    ]
    assert found.least == slow_least(places)
    assert list(found.rows) == sorted(Counter(r for r, _ in places).values(), reverse=True)
    assert list(found.cols) == sorted(Counter(c for _, c in places).values(), reverse=True)
    for counts, value in zip((found.rows, found.cols, found.gain), found.for_half(), strict=True):
        enough = [m for m in range(len(counts) + 1) if 2 * sum(counts[:m]) >= len(places)]
        assert value == (enough[0] if places else 0)
    assert found.best(2) == sum(gain for _, _, gain in slow_greedy(places)[:2])


def test_half_of_an_odd_number_needs_the_larger_half():
    assert lines_for(np.array([2, 2, 1]), 0.5) == 2
    assert lines_for(np.array([2, 1, 1]), 0.5) == 1
    assert lines_for(np.array([], int), 0.5) == 0


@pytest.mark.parametrize("size, length, n", [(12, 4, 3), (12, 4, 9), (12, 1, 1), (12, 12, 1), (12, 4, 0), (5, 2, 4)])
def test_the_chance_of_a_hit_is_that_of_counting(size, length, n):
    assert chance_of_hit(size, length, n) == pytest.approx(1 - comb(size - length, n) / comb(size, n), rel=1e-12)


def test_the_chance_of_a_hit_keeps_its_digits_in_a_large_model():
    size, length, n = 525_336_576, 4096, 50
    exact = 1 - Fraction(comb(size - length, n), comb(size, n))
    assert chance_of_hit(size, length, n) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("experts, rows, cols, n", [(1, 3, 4, 3), (2, 2, 3, 4), (1, 2, 5, 4)])
def test_what_chance_gives_is_the_mean_over_all_placements(experts, rows, cols, n):
    figures, at_least = [], Counter()
    for chosen in combinations(range(experts * rows * cols), n):
        flat = np.array(chosen)
        found = cover(flat // cols, flat // (rows * cols) * cols + flat % cols)
        figures.append([len(found.rows), len(found.cols), found.least, *found.for_half(), found.best(1), found.best(2)])
        at_least.update(range(1, found.best(1) + 1))
    mean, spread = np.mean(figures, axis=0), np.std(figures, axis=0)
    chance = by_chance(experts, rows, cols, n)
    assert [chance.rows, chance.cols] == pytest.approx(list(mean[:2]), rel=1e-12)
    drawn = np.array([chance.least, *chance.half, *chance.best[:2]])
    assert (abs(drawn - mean[2:]) <= 4 * spread[2:] / 20**0.5 + 1e-12).all()
    for held in range(1, n + 1):
        one = [np.array([value]) for value in (held, experts, rows, cols, n)]
        bound = chance_of_best(*one)[0]
        assert at_least[held] / len(figures) <= bound + 1e-12 <= 1 + 1e-9
        terms = [
            experts * lines * Fraction(comb(length, x) * comb(experts * rows * cols - length, n - x),
                                       comb(experts * rows * cols, n))
            for lines, length in ((rows, cols), (cols, rows))
            for x in range(held, min(length, n) + 1)
        ]  # fmt: skip
        assert bound == pytest.approx(min(1, float(sum(terms))), rel=1e-9)


def partitions(n):
    """Yield every way to put n things into groups: the group of each, numbered as they come."""
    for groups in product(range(n), repeat=n):
        if all(group <= max(groups[:i], default=-1) + 1 for i, group in enumerate(groups)):
            yield groups


@pytest.mark.parametrize("rows, cols, n", [(64, 32, 5), (16, 16, 5), (64, 32, 4), (8, 40, 3), (64, 32, 2)])
def test_what_chance_gives_of_few_weights_is_within_one_percent_of_all_placements(rows, cols, n):
    figures, ways = [], []
    for row, col in product(partitions(n), repeat=2):
        if len(set(zip(row, col, strict=True))) == n:
            found = cover(np.array(row), np.array(col))
            figures.append([found.least, *found.for_half(), found.best(1)])
            ways.append(perm(rows, len(set(row))) * perm(cols, len(set(col))))
    exact = np.average(figures, axis=0, weights=ways)
    chance = by_chance(1, rows, cols, n)
    np.testing.assert_allclose([chance.least, *chance.half, chance.best[0]], exact, rtol=0.01)


@pytest.mark.parametrize("n", [4, 90, 400])
def test_draws_covered_at_once_are_those_covered_one_by_one(n):
    rng = np.random.default_rng(n)
    flat = np.array([rng.choice(30 * 40, n, replace=False) for _ in range(6)])
    hit, figures = _figures_of_draws(flat // 40, flat % 40, 30, 40)
    for own, counts, drawn in zip(flat, hit, figures, strict=True):
        found = cover(own // 40, own % 40)
        assert list(counts) == [len(found.rows), len(found.cols)]
        assert list(drawn) == [found.least, *found.for_half(), *(found.best(lines) for lines in range(1, BEST + 1))]


def test_placed_weights_are_all_different():
    chance = by_chance(2, 3, 4, 24)  # there is one way to place them
    assert (chance.rows, chance.cols, chance.least, *chance.half) == (6, 8, 6, 3, 4, 3)
    assert chance.best == (4, 8, 12, 16, 20)


def test_the_draws_are_the_same_whatever_was_drawn_before():
    first = by_chance(1, 30, 40, 25)
    by_chance.cache_clear()
    by_chance(1, 30, 40, 26)
    assert by_chance(1, 30, 40, 25) == first


def test_the_number_of_successes_is_that_of_all_outcomes():
    chances = [0.1, 0.5, 0.0, 0.9, 1.0]
    exact = np.zeros(len(chances) + 1)
    for outcome in np.ndindex(*[2] * len(chances)):
        weight = np.prod([p if hit else 1 - p for p, hit in zip(chances, outcome, strict=True)])
        exact[: sum(outcome) + 1] += weight
    np.testing.assert_allclose(tail(chances), exact, rtol=1e-12)
    assert list(tail([])) == [1]
