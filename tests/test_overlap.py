from __future__ import annotations

import logging
import math
from fractions import Fraction

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.errors import StoreError
from critical_weights.overlap.agreement import agreement_table
from critical_weights.overlap.chance_of_sums import chance_of_sharing_in_all
from critical_weights.overlap.lines import overlap_of_lists, overlap_of_stores
from critical_weights.overlap.overlap import ALL, BY_TENSOR, LADDER, overlap_table
from critical_weights.overlap.rank_density import rank_density_table
from critical_weights.overlap.ranked_lines import line_groups, lines_of_list, lines_of_stores
from critical_weights.overlap.ranked_lists import RankedList, list_of_all, list_of_candidates, lists_of_stores
from critical_weights.tables.schema import OVERLAP, read_table
from script_call import call_script
from synthetic_stores import TensorSpec, default_specs, facts_of, matrix_specs, random_scores, write_store, write_study

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


def test_a_list_of_all_is_one_of_as_many_candidates_as_there_are():
    rng = np.random.default_rng(0)
    scores = {"a": rng.integers(0, 5, 30), "b": rng.integers(0, 5, 1), "none": np.zeros(0), "c": rng.integers(0, 9, 20)}
    scores = {name: values.astype(np.float32) for name, values in scores.items()}
    whole, one_by_one = list_of_all(tuple(scores), list(scores.values())), candidates(scores, 30)[0]
    assert whole.names == one_by_one.names
    for key in ("tensor", "index", "score", "known_to"):
        np.testing.assert_array_equal(getattr(whole, key), getattr(one_by_one, key))


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


def slow_tail(shared, sizes, firsts_a, firsts_b):
    """Return mean and upper tail of what draws from each tensor apart share: every case, with whole numbers."""
    chances = {0: Fraction(1)}
    for n, a, b in zip(sizes, firsts_a, firsts_b, strict=True):
        more = {}
        for already, chance in chances.items():
            for x in range(max(0, a + b - n), min(a, b) + 1):
                own = Fraction(math.comb(a, x) * math.comb(n - a, b - x), math.comb(n, b))
                more[already + x] = more.get(already + x, 0) + chance * own
        chances = more
    return (float(sum(Fraction(a * b, n) for n, a, b in zip(sizes, firsts_a, firsts_b, strict=True))),
            float(sum(chance for x, chance in chances.items() if x >= shared)))  # fmt: skip


def counted(first, names):
    return [sum(position == place for position, _ in first) for place in range(len(names))]


def slow_row(scope, tensor, k, first_a, first_b, sizes, complete):
    """Compare two sets of (tensor, index) of tensors of these sizes."""
    shared, smaller = len(first_a & first_b), min(len(first_a), len(first_b))
    if scope == "tensor" or (scope == "global" and complete):
        taken = [sum(sizes)], [len(first_a)], [len(first_b)]
    else:
        taken = sizes, counted(first_a, sizes), counted(first_b, sizes)
    return (scope, tensor, k, shared, shared / smaller, shared / len(first_a | first_b), *slow_tail(shared, *taken),
            complete)  # fmt: skip


def slow_rows(a, b, kept):
    """Compare with Python sets: over all tensors, the first k of every tensor together, within each tensor."""
    names = [name for name in a if name in b]
    sizes = [a[name].size for name in names]
    for k in KS:
        first_a, known_a, _ = slow_first(a, names, kept, k)
        first_b, known_b, _ = slow_first(b, names, kept, k)
        yield slow_row("global", "", k, first_a, first_b, sizes, known_a and known_b)
    within = {(name, k): [slow_first(s, [name], kept, k) for s in (a, b)] for name in names for k in KS}
    for k in KS:
        parts = [within[name, k] for name in names]
        pooled = [{(place, i) for place, own in enumerate(parts) for _, i in own[side][0]} for side in (0, 1)]
        yield slow_row("pooled", "", k, *pooled, sizes, all(own[0][1] and own[1][1] for own in parts))
    for (name, k), (own_a, own_b) in within.items():
        yield slow_row("tensor", name, k, own_a[0], own_b[0], [a[name].size], own_a[1] and own_b[1])


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


@pytest.mark.parametrize("kept", [15, 1000])
def test_the_stricter_chance_level_draws_from_each_tensor_as_often_as_it_comes(kept):
    a, noise = random_scores(SPECS, seed=1), random_scores(SPECS, seed=2)
    b = {name: np.sqrt(a[name] * noise[name]) for name in a}
    (list_a, population), (list_b, _) = candidates(a, kept), candidates(b, kept)
    table = overlap_table({"a": list_a, "b": list_b}, population, ("global", BY_TENSOR)).set_index("scope")
    free, strict = (table.loc[scope].reset_index(drop=True) for scope in ("global", BY_TENSOR))
    same = ["a", "b", "k", "shared", "share", "jaccard", "complete"]
    pd.testing.assert_frame_equal(free[same], strict[same])
    names, sizes = list(a), [values.size for values in a.values()]
    for row in strict.itertuples():
        firsts = [counted(slow_first(side, names, kept, row.k)[0], names) for side in (a, b)]
        assert (row.expected, row.p) == pytest.approx(slow_tail(row.shared, sizes, *firsts), rel=1e-9)
    assert (strict["expected"] >= free["expected"] * (1 - 1e-12)).any()
    assert overlap_table({"a": list_a, "b": list_b}, None, (BY_TENSOR,)).empty


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
    assert list(dict.fromkeys(table["scope"])) == ["global", "global_by_tensor", "pooled", "tensor", "row", "col"]
    weights = table[table["scope"].isin(["global", "pooled", "tensor"])].reset_index(drop=True)
    assert len(weights) == 3 * (2 + 6) * len(KS)
    first, second = random_scores(SPECS, 0), random_scores(SPECS, 1)
    assert_rows(weights.head(8 * len(KS)), slow_rows(first, second, 10))


def test_stores_that_cannot_be_compared_are_refused(tmp_path):
    scores = random_scores(SPECS)
    one, same = (write_store(tmp_path / name, SPECS, scores) for name in ("one.h5", "same.h5"))
    with pytest.raises(StoreError, match=r"two of the score stores are of grad_squared, the second one .*same\.h5"):
        lists_of_stores([one, same])
    specs = matrix_specs(1, (3, 3))
    other = write_store(tmp_path / "other.h5", specs, random_scores(specs), metric="magnitude", model="c0" * 32)
    with pytest.raises(StoreError, match=r"other\.h5 is of another model than .*one\.h5; got c0c0"):
        lists_of_stores([one, other])


def test_stores_of_other_texts_are_refused_and_one_that_reads_none_fits_all(tmp_path):
    scores = random_scores(SPECS)
    paths = [write_store(tmp_path / f"{m}.h5", SPECS, scores, metric=m) for m in ("magnitude", "wanda", "grad_squared")]
    for table_of in (overlap_of_stores, agreement_table, rank_density_table):
        assert len(table_of(paths))
    with h5py.File(paths[2], "r+") as file:
        file.attrs["calibration_sha256"] = "7e" * 32
    for table_of in (overlap_of_stores, agreement_table, rank_density_table):
        with pytest.raises(StoreError, match=r"grad_squared\.h5 is of other texts than .*wanda\.h5; got 7e7e"):
            table_of(paths)
        assert len(table_of([paths[0], paths[2]]))


a_part = st.integers(1, 25).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n)))


@settings(max_examples=60, deadline=None)
@given(st.lists(a_part, min_size=1, max_size=5), st.data())
def test_the_chance_over_tensors_is_the_convolution_of_theirs(parts, data):
    sizes, a, b = (list(v) for v in zip(*parts, strict=True))
    least = sum(max(0, x + y - n) for n, x, y in parts)
    shared = data.draw(st.integers(least, sum(map(min, a, b))))
    # Absolute at the top: there the result is 1 minus the lower tail.
    expected = slow_tail(shared, sizes, a, b)[1]
    assert chance_of_sharing_in_all(shared, sizes, a, b) == pytest.approx(expected, rel=1e-9, abs=0)


def test_the_chance_over_tensors_holds_at_the_size_of_a_real_model():
    sizes = [4096 * 4096] * 64 + [4096 * 1024] * 64 + [4096 * 14336] * 96 + [128256 * 4096] * 2
    mean = sum(100 * 100 / n for n in sizes)  # so rare that the number shared is Poisson's to four digits
    for shared in (0, 1, 3, 9):
        exact = scipy.stats.poisson.sf(shared - 1, mean)
        assert chance_of_sharing_in_all(shared, sizes, [100] * 226, [100] * 226) == pytest.approx(exact, rel=1e-3)
    mean = sum(10_000**2 / n for n in sizes)
    normal = scipy.stats.norm.sf(2.5)
    shared = round(mean + 2.5 * math.sqrt(mean))
    assert chance_of_sharing_in_all(shared, sizes, [10_000] * 226, [10_000] * 226) == pytest.approx(normal, rel=0.1)
    assert chance_of_sharing_in_all(565_000, sizes, [10_000] * 226, [10_000] * 226) == 0


def test_p_of_pure_noise_is_no_smaller_than_uniform_and_the_overlap_is_that_of_chance():
    shape = {"s": (12, 10), "t": (6, 9), "u": (40, 5)}
    drawn, shares = {"global": [], "pooled": [], "tensor": [], "row": []}, []
    facts = {name: {"shape": own, "axes": ("row", "col")} for name, own in shape.items()}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        sides = [{name: rng.lognormal(size=own).astype(np.float32) for name, own in shape.items()} for _ in "ab"]
        lists = {label: candidates(side, 30)[0] for label, side in zip("ab", sides, strict=True)}
        rows = {label: lines_of_list(ranked, facts, "row")[0] for label, ranked in lists.items()}
        lines = overlap_table(rows, {name: own[0] for name, own in shape.items()})
        weights = overlap_table(lists, {name: math.prod(own) for name, own in shape.items()})
        table = pd.concat([weights, lines[lines["scope"] == "tensor"].assign(scope="row")])
        for scope, found in drawn.items():
            k = "30" if scope != "row" else "10"
            row = table[(table["scope"] == scope) & (table["k"] == k)].iloc[-1]
            found.append(row["p"])
            if scope == "pooled":
                shares.append(row["shared"] / row["expected"])
    assert np.mean(shares) == pytest.approx(1, abs=0.04)
    for scope, found in drawn.items():
        # One-sided: whole numbers make p larger than uniform at most places, never smaller.
        assert scipy.stats.kstest(found, "uniform", alternative="greater").pvalue > 0.01, scope
        assert np.mean(found) < 0.75, scope  # nor do all p stand at 1


def line_scores(scores, spec, line):
    axis = {word: place for place, word in enumerate(spec.axes)}
    moved = np.moveaxis(scores, axis[line], -1 if "expert" not in axis else 1)
    lines = moved.reshape(-1, moved.shape[-1]).max(0) if "expert" not in axis else moved.max(2).reshape(-1)
    return lines


def test_lines_of_stores_are_ranked_by_their_largest_score(tmp_path):
    a, b = random_scores(SPECS, seed=1), random_scores(SPECS, seed=2)
    stores = [write_store(tmp_path / f"{m}.h5", SPECS, s, metric=m, candidates=3, dense=False)
              for m, s in (("magnitude", a), ("wanda", b))]  # fmt: skip
    table = overlap_of_stores(stores)
    for line in ("row", "col"):
        specs = [s for s in SPECS if s.name in a]
        lines = [{s.name: line_scores(side[s.name], s, line) for s in specs} for side in (a, b)]
        expected = [row for row in slow_rows(*lines, 10**6) if row[0] != "pooled"]
        assert_rows(table[table["scope"] == line].assign(scope=["global"] * 8 + ["tensor"] * 48).reset_index(drop=True),
                    expected)  # fmt: skip


def neuron_specs():
    return [
        TensorSpec("l.0.mlp.gate_proj.weight", (5, 4), 0, "gate_proj", "linear", ("row", "col")),
        TensorSpec("l.0.mlp.up_proj.weight", (5, 4), 0, "up_proj", "linear", ("row", "col")),
        TensorSpec("l.0.mlp.down_proj.weight", (4, 5), 0, "down_proj", "linear", ("row", "col")),
        TensorSpec("l.0.attn.c_proj.weight", (4, 4), 0, "attn.c_proj", "conv1d", ("col", "row")),
        TensorSpec("l.1.mlp.c_fc.weight", (4, 6), 1, "c_fc", "conv1d", ("col", "row")),
        TensorSpec("l.1.mlp.c_proj.weight", (6, 4), 1, "mlp.c_proj", "conv1d", ("col", "row")),
        TensorSpec("l.2.mlp.gate_up_proj.weight", (12, 4), 2, "gate_up_proj", "linear", ("row", "col")),
        TensorSpec("l.2.mlp.down_proj.weight", (4, 6), 2, "down_proj", "linear", ("row", "col")),
        TensorSpec("l.3.mlp.experts.up_proj", (2, 3, 4), 3, "up_proj", "experts", ("expert", "row", "col")),
        TensorSpec("l.3.mlp.experts.down_proj", (2, 4, 3), 3, "down_proj", "experts", ("expert", "row", "col")),
    ]


def neuron_scores(scores):
    """Return the largest score of each neuron, by MLP, written out by hand for :func:`neuron_specs`."""
    t = {name.removeprefix("l.").removesuffix(".weight"): values for name, values in scores.items()}
    return {
        "l.0.mlp": np.max([t["0.mlp.gate_proj"].max(1), t["0.mlp.up_proj"].max(1), t["0.mlp.down_proj"].max(0)], 0),
        "l.1.mlp": np.maximum(t["1.mlp.c_fc"].max(0), t["1.mlp.c_proj"].max(1)),
        "l.3.mlp.experts": np.maximum(t["3.mlp.experts.up_proj"].max(2), t["3.mlp.experts.down_proj"].max(1)).ravel(),
    }


@pytest.mark.parametrize("listed", [False, True])
def test_neurons_are_rows_of_up_and_gate_and_columns_of_down(tmp_path, listed):
    specs = neuron_specs()
    a, b = (random_scores(specs, seed=seed, ties=0) for seed in (1, 2))
    if listed:
        facts = {t["name"]: t for t in facts_of(specs)["tensors"]}
        (list_a, population), (list_b, _) = candidates(a, 1000), candidates(b, 1000)
        table = overlap_of_lists({"a": list_a, "b": list_b}, population, facts)
    else:
        table = overlap_of_stores([write_store(tmp_path / f"{m}.h5", specs, s, metric=m)
                                   for m, s in (("magnitude", a), ("wanda", b))])  # fmt: skip
    neurons = table[table["scope"] == "neuron"].reset_index(drop=True)
    expected = [row for row in slow_rows(neuron_scores(a), neuron_scores(b), 10**6) if row[0] != "pooled"]
    assert_rows(neurons.assign(scope=["global"] * 8 + ["tensor"] * 24), expected)


def test_neurons_of_a_store_are_in_the_order_of_their_largest_score(tmp_path):
    scores = random_scores(neuron_specs(), seed=1)
    store = write_store(tmp_path / "mag.h5", neuron_specs(), scores, metric="magnitude")
    lists, population = lines_of_stores([store])["neuron"]
    own = neuron_scores(scores)
    assert population == {name: len(values) for name, values in own.items()}
    slow = sorted((-float(score), group, i) for group, name in enumerate(own) for i, score in enumerate(own[name]))
    ranked = lists["magnitude"]
    assert ranked.names == tuple(own)
    assert list(zip(-ranked.score, ranked.tensor, ranked.index, strict=True)) == slow


def test_a_model_without_known_mlps_has_no_neurons():
    facts = {t["name"]: t for t in facts_of(SPECS)["tensors"]}
    assert line_groups(facts, "neuron") == []
    assert [group.count for group in line_groups(facts, "row")] == [13, 6, 8, 6, 18, 13]


def test_lines_of_a_list_are_complete_as_far_as_it_is():
    # The first weights: three of row 2, one of row 0, and the list of "s" ends; row 5 of "t" comes after that.
    facts = {name: {"shape": (20, 4), "axes": ("row", "col")} for name in "st"}
    parts = [(np.array([8, 9, 10, 0]), np.array([9, 8, 7, 6], np.float32), 80),
             (np.array([20, 40, 41]), np.array([5, 2, 1], np.float32), 80)]  # fmt: skip
    ranked = list_of_candidates(["s", "t"], parts)
    lists, population = {"a": ranked, "b": ranked}, {"s": 80, "t": 80}
    rows = overlap_of_lists(lists, population, facts)
    rows = rows[(rows["scope"] == "row") & (rows["k"] == ALL)].set_index("tensor")
    assert rows["shared"].to_dict() == {"": 4, "s": 2, "t": 2}
    assert rows["complete"].to_dict() == {"": False, "s": True, "t": True}


def test_the_order_of_tensors_and_weights_in_the_making_does_not_matter():
    a, b = random_scores(SPECS, seed=1, ties=0, zeros=0), random_scores(SPECS, seed=2, ties=0, zeros=0)
    first = overlap_table({"a": candidates(a, 15)[0], "b": candidates(b, 15)[0]}, {n: v.size for n, v in a.items()})
    turned = [dict(reversed(side.items())) for side in (a, b)]
    second = overlap_table({label: candidates(side, 15)[0] for label, side in zip("ab", turned, strict=True)},
                           {n: v.size for n, v in a.items()})  # fmt: skip
    sides = [table.sort_values(["scope", "tensor", "k"], ignore_index=True) for table in (first, second)]
    pd.testing.assert_frame_equal(*sides)


def test_a_list_with_nothing_in_the_compared_tensors_shares_nothing():
    """Lists made elsewhere: what one of them names of the other's tensors may be none of its weights."""
    none, three = (np.arange(0), np.zeros(0), 0), (np.arange(3), np.arange(3.0)[::-1], 3)
    lists = {"x": list_of_candidates(("a", "b"), [none, three]), "y": list_of_candidates(("a",), [three])}
    for pair in (lists, dict(reversed(lists.items()))):
        table = overlap_table(pair, {"a": 3, "b": 3}, ("global", "tensor"))
        assert not table["shared"].any()


def test_a_tensor_that_only_one_of_two_lists_reaches_counts_in_what_is_pooled() -> None:
    """Lists of 40 cut over all tensors, one half in ``y``: what of ``y`` the other would take first is not known."""
    score, everything = np.arange(40, 0, -1).astype(np.float32), np.array([40, 40])
    a = RankedList(("x", "y"), np.tile([0, 1], 20), np.repeat(np.arange(20), 2), score, everything)
    b = RankedList(("x", "y"), np.zeros(40, int), np.arange(40), score, everything)
    table = overlap_table({"a": a, "b": b}, {"x": 500, "y": 500}).set_index(["scope", "k"])
    assert table.loc["pooled", "10"][["shared", "share", "jaccard", "complete"]].tolist() == [10, 1.0, 0.5, False]
    assert table.loc["pooled", "all"]["jaccard"] == pytest.approx(20 / 60) == table.loc["global", "all"]["jaccard"]
    assert not table.loc["pooled"]["complete"].any()
