from __future__ import annotations

import logging
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.errors import StoreError
from critical_weights.overlap import ALL, LADDER, overlap_table
from critical_weights.ranked_lists import RankedList, list_of_candidates, lists_of_stores
from critical_weights.tables import OVERLAP, read_table
from script_call import call_script
from synthetic_stores import default_specs, matrix_specs, random_scores, write_store, write_study

SPECS = default_specs()
KS = [*map(str, LADDER), ALL]


def candidates(scores, kept):
    """Return the list of the first ``kept`` of each tensor, and the tensors' sizes."""
    parts = []
    for values in scores.values():
        flat = values.ravel()
        order = np.argsort(-flat, kind="stable")[:kept]
        parts.append((order, flat[order], flat.size))
    return list_of_candidates(tuple(scores), parts), {name: values.size for name, values in scores.items()}


def slow_first(scores, names, kept, k):
    """Return the first k of the listed weights, whether the lists can know that they are, and the lowest score.

    They can where it holds even if every weight that is not listed is as large as its tensor's last listed one.
    """
    listed, possible = [], []
    for position, name in enumerate(names):
        ranked = sorted((-float(score), position, index) for index, score in enumerate(scores[name].ravel()))
        listed += ranked[:kept]
        possible += [(ranked[kept - 1][0], position, len(ranked) + i) for i in range(len(ranked) - kept)]
    wanted = len(listed) if k == ALL else int(k)
    first = sorted(listed)[:wanted]
    n = len(listed) + len(possible)
    known = first == sorted(listed + possible)[:wanted] and (first[-1][0] < 0 or len(first) == n)
    return {entry[1:] for entry in first}, known, n


def slow_rows(a, b, kept):
    """Compare with Python sets, for every group of tensors and k."""
    names = [name for name in a if name in b]
    for scope, group in [("global", names)] + [("tensor", [name]) for name in names]:
        for k in KS:
            first_a, known_a, n = slow_first(a, group, kept, k)
            first_b, known_b, _ = slow_first(b, group, kept, k)
            shared = len(first_a & first_b)
            expected = Fraction(len(first_a) * len(first_b), n)
            p = sum(
                Fraction(math.comb(len(first_a), x) * math.comb(n - len(first_a), len(first_b) - x),
                         math.comb(n, len(first_b)))
                for x in range(shared, min(len(first_a), len(first_b)) + 1)
            )  # fmt: skip
            yield (scope, "" if scope == "global" else group[0], k, shared, shared / min(len(first_a), len(first_b)),
                   shared / len(first_a | first_b), float(expected), float(p),
                   known_a and known_b)  # fmt: skip


def assert_rows(table, rows):
    columns = ["scope", "tensor", "k", "shared", "share", "jaccard", "expected", "p", "complete"]
    expected = pd.DataFrame(rows, columns=columns).astype(
        {c.name: c.dtype for c in OVERLAP.columns if c.name in columns}
    )
    pd.testing.assert_frame_equal(table[columns], expected, rtol=1e-9)


@pytest.mark.parametrize("kept", [7, 15, 1000])
def test_overlap_is_that_of_python_sets(kept):
    # Two rankings that have much in common, with ties and zeros.
    a = random_scores(SPECS, seed=1)
    noise = random_scores(SPECS, seed=2)
    b = {name: np.sqrt(a[name] * noise[name]) for name in a}
    (list_a, population), (list_b, _) = candidates(a, kept), candidates(b, kept)
    assert_rows(overlap_table({"a": list_a, "b": list_b}, population), slow_rows(a, b, kept))


few = arrays(np.float32, 12, elements=st.sampled_from([0.0, 1.0, 2.0, 3.0]))


@settings(max_examples=40, deadline=None)
@given(few, few, st.integers(1, 8))
def test_overlap_is_that_of_python_sets_whatever_the_ties(values_a, values_b, kept):
    a, b = ({"s": v[:2], "t": v[2:8], "u": v[8:]} for v in (values_a, values_b))
    (list_a, population), (list_b, _) = candidates(a, kept), candidates(b, kept)
    table = overlap_table({"a": list_a, "b": list_b}, population)
    assert_rows(table, slow_rows(a, b, kept))
    turned = overlap_table({"b": list_b, "a": list_a}, population)
    pd.testing.assert_frame_equal(turned.drop(columns=["a", "b"]), table.drop(columns=["a", "b"]))
    assert table["share"].between(0, 1).all()
    assert table["jaccard"].between(0, 1).all()
    assert table["p"].between(0, 1 + 1e-12).all()


def test_a_list_shares_everything_with_itself_and_all_weights_are_shared_by_any_two():
    a, b = random_scores(SPECS, seed=1), random_scores(SPECS, seed=2)
    lists = {"a": candidates(a, 1000)[0], "again": candidates(a, 1000)[0], "b": candidates(b, 1000)[0]}
    table = overlap_table(lists, {name: values.size for name, values in a.items()})
    same = table[(table["a"] == "a") & (table["b"] == "again")]
    assert (same["share"] == 1).all()
    whole = table[table["k"] == ALL]
    assert (whole["share"] == 1).all()
    assert (whole["p"] == 1).all()
    assert whole["complete"].all()
    assert (whole["expected"] == whole["shared"]).all()


def test_a_global_k_is_complete_up_to_the_place_where_a_tensor_runs_out():
    ladder = np.arange(60, 0, -1, dtype=np.float32)
    scores = {"head": ladder[:40].copy(), "body": ladder[40:].copy()}  # the head holds all of the first 40
    table = overlap_table({"a": candidates(scores, 30)[0], "b": candidates(scores, 30)[0]}, {"head": 40, "body": 20})
    rows = table[table["scope"] == "global"].set_index("k")["complete"]
    assert list(rows.loc[["10", "30", "100", ALL]]) == [True, True, False, False]
    one_less = {"a": candidates(scores, 30)[0], "b": candidates(scores, 29)[0]}
    rows = overlap_table(one_less, {"head": 40, "body": 20})
    assert list(rows.loc[rows["scope"] == "global", "complete"])[:2] == [True, False]


def test_places_taken_by_scores_of_zero_are_not_complete():
    scores = {"t": np.array([3, 2, 1] + [0] * 37, np.float32).reshape(8, 5)}
    (ranked, population) = candidates(scores, 30)
    table = overlap_table({"a": ranked, "b": ranked}, population)
    assert (table.loc[table["k"] == "10", "shared"] == 10).all()
    assert not table["complete"].any()


def test_the_chance_level_holds_at_the_size_of_a_real_model():
    n, k = 8_029_995_008, 1000
    sides = {}
    for label, shift in (("a", 0), ("b", k - 3)):
        index = np.arange(k, dtype=np.int64) + (n - 2 * k) + shift
        sides[label] = list_of_candidates(["t"], [(index, np.linspace(9, 1, k, dtype=np.float32), n)])
    table = overlap_table(sides, {"t": n})
    row = table[(table["scope"] == "global") & (table["k"] == "1000")].iloc[0]
    exact = sum(Fraction(math.comb(k, x) * math.comb(n - k, k - x), math.comb(n, k)) for x in range(3, 9))
    assert row["shared"] == 3
    assert row["expected"] == pytest.approx(k * k / n, rel=1e-12)
    assert row["p"] == pytest.approx(float(exact), rel=1e-5)
    assert row["complete"]


def test_without_a_population_the_chance_level_is_empty_and_it_is_said(caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    scores = random_scores(SPECS, seed=1)
    lists = {"a": candidates(scores, 5)[0], "b": candidates(scores, 5)[0]}
    table = overlap_table(lists, None)
    assert table[["expected", "p"]].isna().all(axis=None)
    assert (table["share"] == 1).all()
    assert "number of weights of each tensor is not known" in caplog.text


def test_a_list_cut_at_its_own_end_answers_up_to_there():
    score = np.arange(20, 0, -1, dtype=np.float32)
    ranked = RankedList(("s", "t"), np.arange(20) % 2, np.arange(20), score, np.array([20, 20]))
    table = overlap_table({"a": ranked, "b": ranked}, {"s": 500, "t": 500})
    complete = table[table["scope"] == "global"].set_index("k")["complete"]
    assert list(complete.loc[["10", "30", ALL]]) == [True, False, True]
    assert list(table.loc[(table["tensor"] == "t") & (table["k"] == "10"), "complete"]) == [True]


def test_tensors_that_only_one_list_has_are_left_out_and_it_is_said(caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    a, b = random_scores(SPECS, seed=1), random_scores(SPECS, seed=2)
    del a["lm_head.weight"], b["model.embed_tokens.weight"]
    (list_a, sizes_a), (list_b, sizes_b) = candidates(a, 15), candidates(b, 15)
    table = overlap_table({"a": list_a, "b": list_b}, sizes_a | sizes_b)
    assert_rows(table, slow_rows(a, b, 15))
    assert "a and b are compared over the 4 tensors that both have" in caplog.text


def test_one_store_alone_has_no_pair(tmp_path):
    path = write_store(tmp_path / "a.h5", SPECS, random_scores(SPECS))
    table = overlap_table(*lists_of_stores([path]))
    assert len(table) == 0
    assert list(table.columns) == [column.name for column in OVERLAP.columns]


def test_every_pair_of_stores_stands_in_the_file(tmp_path):
    folder = write_study(tmp_path, candidates=10)
    stores = [folder / "scores" / f"{name}.h5" for name in ("mag", "gradxw", "gradsq")]
    assert call_script("overlap", "--stores", *stores, "--output", folder / "overlap.csv") == 0
    table = read_table(folder / "overlap.csv", OVERLAP)
    pairs = [("magnitude", "grad_x_weight"), ("magnitude", "grad_squared"), ("grad_x_weight", "grad_squared")]
    assert list(dict.fromkeys(zip(table["a"], table["b"], strict=True))) == pairs
    assert len(table) == 3 * (1 + 6) * len(KS)
    first, second = random_scores(SPECS, 0), random_scores(SPECS, 1)
    assert_rows(table.head(7 * len(KS)), slow_rows(first, second, 10))


def test_stores_that_cannot_be_compared_are_refused(tmp_path):
    scores = random_scores(SPECS)
    one, same = (write_store(tmp_path / name, SPECS, scores) for name in ("one.h5", "same.h5"))
    with pytest.raises(StoreError, match=r"two of the score stores are of grad_squared, the second one .*same\.h5"):
        lists_of_stores([one, same])
    specs = matrix_specs(1, (3, 3))
    other = write_store(tmp_path / "other.h5", specs, random_scores(specs), metric="magnitude", model="c0" * 32)
    with pytest.raises(StoreError, match=r"other\.h5 is of another model than .*one\.h5; got c0c0"):
        lists_of_stores([one, other])
