from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critical_weights.overlap import agreement
from critical_weights.overlap.agreement import PERSISTENCE, agreement_table
from critical_weights.overlap.rank_biased_overlap import rank_biased_overlap
from critical_weights.tables.agreement import AGREEMENT
from critical_weights.tables.schema import read_table
from script_call import call_script
from synthetic_stores import default_specs, matrix_specs, random_scores, write_store, write_study

SPECS = default_specs()


PLACES = 2000
"""As many that the weights of all further ones do not count, for the persistences tried."""


def slow_rbo(a, b, p, places=PLACES):
    """Sum the definition over whole rankings, long enough that what is left out does not count."""
    seen_a, seen_b, total = set(), set(), 0.0
    common = 0
    for d, (x, y) in enumerate(zip(a[:places], b[:places], strict=True), 1):
        common += (x == y) + (x in seen_b) + (y in seen_a)
        seen_a.add(x)
        seen_b.add(y)
        total += p ** (d - 1) * common / d
    return (1 - p) * total


def deeper(a, b):
    """Return the larger place of each weight in both."""
    place = {x: i for i, x in enumerate(b)}
    return np.array([max(i, place[x]) for i, x in enumerate(a) if x in place], np.int64)


def slow_continued(a, b, p, *, most):
    """Continue two rankings, with what agrees least or most, and sum the definition."""
    a, b = list(a), list(b)
    missing_a, missing_b = [x for x in b if x not in a], [x for x in a if x not in b]
    if most:
        a, b = a + missing_a, b + missing_b
        a, b = a + [("both", i) for i in range(PLACES)], b + [("both", i) for i in range(PLACES)]
    else:
        a, b = a + [("a", i) for i in range(PLACES)], b + [("b", i) for i in range(PLACES)]
    return slow_rbo(a, b, p)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.permutations(range(12)), st.integers(1, 12), st.sampled_from([0.5, 0.9]))
def test_bounds_of_rbo_are_those_of_the_best_and_worst_continuation(a, b, depth, p):
    a, b = a[:depth], b[:depth]
    value, low, high = rank_biased_overlap(deeper(a, b), depth, p)
    assert low == pytest.approx(slow_continued(a, b, p, most=False), abs=1e-12)
    assert high == pytest.approx(slow_continued(a, b, p, most=True), abs=1e-12)
    assert 0 <= low <= value <= high <= 1 + 1e-12
    # The extrapolation: agreement stays what it is at the end.
    common, tail = len(set(a) & set(b)) / depth, p**depth
    assert value == pytest.approx(slow_rbo(a, b, p) + common * tail, abs=1e-12)
    assert rank_biased_overlap(deeper(b, a), depth, p) == pytest.approx((value, low, high))


def test_rbo_of_equal_and_of_disjoint_rankings_and_of_none():
    assert rank_biased_overlap(np.arange(50), 50, 0.98) == pytest.approx((1, low_of_equal(50, 0.98), 1))
    value, low, high = rank_biased_overlap(np.array([], np.int64), 50, 0.98)
    assert (value, low) == (0, 0)
    assert 0 < high < 0.98**50 + 0.1
    assert all(map(math.isnan, rank_biased_overlap(np.array([], np.int64), 0, 0.9)))
    deep = rank_biased_overlap(np.arange(100_000), 100_000, 0.9)
    assert deep == pytest.approx((1, 1, 1), abs=1e-12)


def low_of_equal(n, p):
    return slow_continued(range(n), range(n), p, most=False)


def slow_kendall(x, y):
    pairs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i in range(len(x)) for j in range(i)]
    same = sum(a * b for a, b in pairs)
    return same / math.sqrt(sum(a != 0 for a, _ in pairs) * sum(b != 0 for _, b in pairs))


def slow_spearman(x, y):
    rank = [[sum(v < u for v in z) + (sum(v == u for v in z) + 1) / 2 for u in z] for z in (x, y)]
    return np.corrcoef(rank)[0, 1]


def slow_top(scores, names, kept, depth):
    """Return the first weights that candidates are sure of, with scores above 0."""
    listed, floor = [], []
    for position, name in enumerate(names):
        ranked = sorted((-float(s), position, i) for i, s in enumerate(scores[name].ravel()))
        listed += ranked[:kept]
        floor += [ranked[kept - 1]] if len(ranked) > kept else []
    first = sorted(listed)
    limit = min((first.index(last) + 1 for last in floor), default=len(first)) if len(names) > 1 else len(first)
    return [entry[1:] for entry in first[: min(limit, depth)] if entry[0] < 0]


@pytest.mark.parametrize("dense", [True, False])
def test_figures_are_those_of_slow_twins(tmp_path, dense, monkeypatch):
    monkeypatch.setattr(agreement, "DEPTH_GLOBAL", 40)
    monkeypatch.setattr(agreement, "DEPTH_TENSOR", 9)
    a, noise = random_scores(SPECS, seed=1), random_scores(SPECS, seed=2)
    b = {name: np.sqrt(a[name] * noise[name]) for name in a}
    stores = [write_store(tmp_path / f"{m}.h5", SPECS, s, metric=m, candidates=14, dense=dense)
              for m, s in (("magnitude", a), ("grad_squared", b))]  # fmt: skip
    table = agreement_table(stores)
    assert len(table) == 7 * (3 + 2 * (2 if dense else 1))
    for (scope, tensor), part in table.groupby(["scope", "tensor"]):
        names = list(a) if scope == "global" else [tensor]
        top_a, top_b = (slow_top(s, names, 14, 10**6) for s in (a, b))
        depth = min(len(top_a), len(top_b))
        assert depth > 5
        rbo = part[part["quantity"] == "rbo"]
        assert (rbo["depth"] == depth).all()
        assert (rbo["n"] == len(set(top_a[:depth]) & set(top_b[:depth]))).all()
        for row in rbo.itertuples():
            first_a, first_b = top_a[:depth], top_b[:depth]
            common = len(set(first_a) & set(first_b)) / depth
            expected = slow_rbo(first_a, first_b, row.persistence) + common * row.persistence**depth
            assert row.value == pytest.approx(expected, rel=1e-9)
        limit = min(depth, 40 if scope == "global" else 9)
        sets = set(top_a[:limit]), set(top_b[:limit])
        for over, chosen in (("shared", sets[0] & sets[1]), ("union", sets[0] | sets[1])):
            x, y = ([float(s[names[t]].ravel()[i]) for t, i in sorted(chosen)] for s in (a, b))
            own = part[part["over"] == over].set_index("quantity")
            assert len(own) == (0 if over == "union" and not dense else 2)
            if len(own):
                assert (own["n"] == len(chosen)).all()
                assert (own["depth"] == limit).all()
                assert own.loc["spearman", "value"] == pytest.approx(slow_spearman(x, y), abs=1e-12)
                assert own.loc["kendall", "value"] == pytest.approx(slow_kendall(x, y), abs=1e-12)


def test_a_metric_agrees_with_its_own_order_and_the_order_of_stores_does_not_matter(tmp_path):
    scores = random_scores(SPECS, seed=1, zeros=0, ties=0)
    squared = {name: np.square(values) for name, values in scores.items()}
    one = write_store(tmp_path / "a.h5", SPECS, scores, metric="magnitude")
    other = write_store(tmp_path / "b.h5", SPECS, squared, metric="grad_squared")
    table = agreement_table([one, other])
    assert table["value"].to_numpy() == pytest.approx(1)
    turned = agreement_table([other, one])
    assert turned["value"].to_numpy() == pytest.approx(table["value"].to_numpy())
    assert set(table["persistence"].dropna()) == set(PERSISTENCE)


def test_scores_that_are_all_equal_or_zero_have_no_correlation(tmp_path):
    specs = matrix_specs(1, (4, 5))
    name = specs[0].name
    equal = write_store(tmp_path / "a.h5", specs, {name: np.full((4, 5), 2, np.float32)}, metric="magnitude")
    zero = write_store(tmp_path / "b.h5", specs, {name: np.zeros((4, 5), np.float32)}, metric="wanda")
    other = write_store(tmp_path / "c.h5", specs, random_scores(specs, zeros=0))
    table = agreement_table([equal, zero, other])
    assert table.loc[table["quantity"] != "rbo", "value"].isna().all()
    with_zero = table[(table["a"] == "wanda") | (table["b"] == "wanda")]
    assert (with_zero["depth"] == 0).all()
    assert with_zero["value"].isna().all()


def test_the_script_writes_a_table_that_reads_back(tmp_path):
    folder = write_study(tmp_path, candidates=10)
    stores = [folder / "scores" / f"{name}.h5" for name in ("mag", "gradxw", "gradsq")]
    assert call_script("agreement", "--stores", *stores, "--output", folder / "agreement.csv") == 0
    table = read_table(folder / "agreement.csv", AGREEMENT)
    assert len(table[["a", "b"]].drop_duplicates()) == 3
    assert len(table) == 3 * 7 * 7
    assert call_script("agreement", "--stores", stores[0], "--output", folder / "one.csv") == 0
    assert len(read_table(folder / "one.csv", AGREEMENT)) == 0
