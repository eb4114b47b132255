from __future__ import annotations

import json
from itertools import combinations
from math import comb

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, hypergeom

from critical_weights.across.checkpoints import checkpoints_table
from critical_weights.across.clear_clusters import best_clusters, silhouettes
from critical_weights.across.clusters import chance_of_clusters, clusters_table, standardised
from critical_weights.across.draws import DRAWS
from critical_weights.across.models import DEPTHS, depth_name, least_lines, models_table
from critical_weights.across.phases import phases_table
from critical_weights.across.study import first_weights, ks_of, read_study
from critical_weights.across.tasks import task_weights_table, tasks_table
from critical_weights.across.tests import adjusted, g_test, permutation
from critical_weights.across.training_runs import Checkpoint, as_option, from_option, training_runs
from critical_weights.errors import ConfigError, StoreError
from critical_weights.store.read import open_store
from critical_weights.tables.across import ACROSS_TABLES, CHECKPOINTS
from critical_weights.tables.schema import read_table
from script_call import call_script
from synthetic_stores import TensorSpec, facts_of, random_scores, write_store

COMPONENTS = ("q_proj", "v_proj", "up_proj", "down_proj")
BLOCKS = 8


def specs_of(blocks=BLOCKS, shape=(24, 24)):
    """Return an embedding and four matrices a block, of a model that does not exist."""
    matrix = ("row", "col")
    return [
        TensorSpec("embed.weight", (40, 24), None, "embed_tokens", "embedding", matrix),
        *(
            TensorSpec(f"layers.{layer}.{name}.weight", shape, layer, name, "linear", matrix)
            for layer in range(blocks)
            for name in COMPONENTS
        ),
    ]


def smooth(specs, seed=0, **factors):
    """Return scores without zeros or ties; those of a component times its factor."""
    rng = np.random.default_rng(seed)
    return {
        spec.name: (rng.lognormal(0, 1, spec.shape) * factors.get(spec.component, 1)).astype(np.float32)
        for spec in specs
    }


def write(root, specs, scores, phase="p2", model="one", metric="grad_squared", **store):
    """Write one store with its facts where the workflow has them; return its path."""
    facts = facts_of(specs, model)
    facts["n_layers"] = 1 + max(spec.layer for spec in specs if spec.layer is not None)
    folder = root / phase / model
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(facts), encoding="utf-8")
    return write_store(folder / "scores" / f"{metric}.h5", specs, scores, metric=metric, **{"candidates": 200} | store)


def of_other_texts(path):
    """Give a store other calibration texts."""
    with h5py.File(path, "r+") as file:
        file.attrs["calibration_sha256"] = "07" * 32
    return path


def ranked(specs, scores):
    """Return (tensor name, flat index) of every weight by score, ties by order: the slow twin of all selections."""
    every = [(-float(s), i, j) for i, spec in enumerate(specs) for j, s in enumerate(scores[spec.name].ravel())]
    return [(specs[i].name, j) for s, i, j in sorted(every) if s < 0]


# --- the first weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("candidates", [5, 50, 10_000])
def test_first_weights_are_exact_as_far_as_candidates_tell(tmp_path, candidates):
    specs = specs_of(3)
    scores = random_scores(specs, 4)
    study = read_study([write(tmp_path, specs, scores, candidates=candidates, dense=False)])
    best = study.best(study.scored[0])
    truth = ranked(specs, scores)
    got = [(specs[t].name, int(i)) for t, i in zip(best.tensor, best.index, strict=True)]
    assert got == truth[: len(got)]
    assert len(got) == len(truth) if candidates == 10_000 else len(got) >= candidates


def test_first_weights_end_at_the_most_asked_for(tmp_path):
    specs = specs_of(3)
    path = write(tmp_path, specs, smooth(specs))
    with open_store(path) as store:
        assert len(first_weights(store, facts_of(specs)["tensors"], 37)) == 37


def test_only_ks_that_all_lists_hold_are_compared(tmp_path):
    specs = specs_of(3)
    few = {name: np.where(values > np.sort(values, None)[-10], values, 0) for name, values in smooth(specs).items()}
    study = read_study([write(tmp_path, specs, few), write(tmp_path, specs, smooth(specs), model="two")])
    assert ks_of(*(study.best(one) for one in study.scored)) == [100]
    assert ks_of(study.best(study.scored[1])) == [100, 1000]


def test_stores_that_tell_no_study_are_refused(tmp_path):
    specs = specs_of(1)
    path = write(tmp_path, specs, smooth(specs))
    loose = write_store(tmp_path / "x.h5", specs, smooth(specs))
    with pytest.raises(StoreError, match="tells no phase and model"):
        read_study([loose])
    with pytest.raises(StoreError, match="same phase, model and metric"):
        read_study([path, path])
    (path.parents[1] / "model.json").write_text(json.dumps({**facts_of(specs), "sha256": "0"}), encoding="utf-8")
    with pytest.raises(StoreError, match="another model_sha256"):
        read_study([path])


# --- models ------------------------------------------------------------------------------------------------------


def two_models(tmp_path, **factors):
    specs = specs_of()
    paths = [write(tmp_path, specs, smooth(specs, 1)), write(tmp_path, specs, smooth(specs, 2, **factors), model="two")]
    return models_table(read_study(paths))


def test_planted_difference_of_models_is_found_at_every_unit(tmp_path):
    table = two_models(tmp_path, down_proj=4)
    own = table[(table["name"] == "down_proj") & (table["k"] == 1000)].set_index("unit")
    assert (own["q"] < 0.05).all()
    assert (own["difference"] < -0.2).all()
    whole = table[(table["name"] == "all") & (table["scope"] == "component") & (table["k"] == 1000)]
    assert (whole["q"] < 1e-6).all()
    blocks = (table["scope"] == "depth") & table["name"].isin(list("12345")) & (table["unit"] == "tensors")
    assert not (table.loc[blocks, "q"] < 0.05).any()


def test_two_draws_of_one_model_do_not_differ(tmp_path):
    table = two_models(tmp_path)
    assert len(table) > 60
    assert not (table["q"] < 0.05).any()
    assert (table["q"].dropna() >= table["p"].dropna() - 1e-12).all()


def test_tests_are_corrected_with_those_of_their_own_unit(tmp_path):
    # Of all ks and scopes together; the p of the unit weights, which are too small, lower no q of the other units.
    table = two_models(tmp_path, down_proj=4).dropna(subset="p")
    assert set(table["k"]) == {100, 1000}
    for unit in ("weights", "lines", "tensors"):
        own = table[table["unit"] == unit]
        assert own["q"].tolist() == pytest.approx(adjusted(list(own["p"])))


def test_rare_lines_deceive_the_test_of_weights_and_not_that_of_tensors(tmp_path):
    # One row of one tensor holds much of the selection: 24 weights, one line, one tensor of eight.
    specs = specs_of()
    scores = smooth(specs, 2)
    scores["layers.3.down_proj.weight"][5] += 1e3
    paths = [write(tmp_path, specs, smooth(specs, 1)), write(tmp_path, specs, scores, model="two")]
    table = models_table(read_study(paths))
    own = table[(table["name"] == "down_proj") & (table["k"] == 100)].set_index("unit")
    assert own.loc["weights", "p"] < 0.05
    assert own.loc["tensors", "p"] > 0.05
    assert own.loc["lines", "p"] > own.loc["weights", "p"]


def test_shares_of_models_follow_the_definition(tmp_path):
    specs = specs_of(5)
    scores = smooth(specs, 2, v_proj=3)
    paths = [write(tmp_path, specs, scores), write(tmp_path, specs_of(4), smooth(specs_of(4)), model="two")]
    table = models_table(read_study(paths))
    chosen = ranked(specs, scores)[:100]
    total = sum(spec.numel for spec in specs)
    for scope in ("component", "depth"):
        groups = {}
        for spec in specs:
            name = spec.component if scope == "component" else depth_name(spec.layer, 5)
            groups.setdefault(name, []).append(spec)
        for name, members in groups.items():
            names = {spec.name for spec in members}
            rows = table[(table["scope"] == scope) & (table["name"] == name) & (table["k"] == 100)].set_index("unit")
            count = sum(tensor in names for tensor, _ in chosen)
            assert rows.loc["weights", "count_a"] == count
            assert rows.loc["weights", "share_a"] == count / 100
            assert rows.loc["tensors", "share_a"] == pytest.approx(count / 100)
            assert rows.loc["tensors", "count_a"] == len(members)
            assert rows["expected_a"].tolist() == pytest.approx([sum(s.numel for s in members) / total] * 3)
            lines = sum(
                least_lines({"axes": ["row", "col"], "shape": list(spec.shape)},
                            np.array([i for tensor, i in chosen if tensor == spec.name], np.int64))
                for spec in members
            )  # fmt: skip
            assert rows.loc["lines", "count_a"] == lines


def test_depth_is_cut_into_fifths_of_the_relative_depth():
    assert [depth_name(layer, 6) for layer in range(6)] == ["1", "2", "3", "4", "5", "5"]
    assert depth_name(0, 1) == "1"
    assert depth_name(None, 6) == "outside"
    for blocks in range(2, 40):
        for layer in range(blocks):
            exact = min(int(DEPTHS * layer / (blocks - 1) + 1e-9), DEPTHS - 1) + 1
            assert depth_name(layer, blocks) == str(exact)


def test_lines_of_a_tensor_of_slices_are_counted_by_slice():
    tensor = {"axes": ["expert", "row", "col"], "shape": [2, 3, 4]}
    same_row = np.ravel_multi_index(([0, 0, 1, 1], [1, 1, 1, 1], [0, 2, 0, 2]), (2, 3, 4))
    assert least_lines(tensor, same_row) == 2
    assert least_lines({"axes": ["row"], "shape": [9]}, np.array([1, 4])) == 1
    assert least_lines(tensor, np.zeros(0, np.int64)) == 0


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5), (4, 3)])
def test_permutation_of_few_tensors_takes_all_ways(sizes):
    rng = np.random.default_rng(sum(sizes))
    a, b = rng.random(sizes[0]) + 0.4, rng.random(sizes[1])
    both, seen, ways = [*a, *b], abs(a.mean() - b.mean()), []
    for first in combinations(range(len(both)), len(a)):
        rest = [x for i, x in enumerate(both) if i not in first]
        ways.append(abs(np.mean([both[i] for i in first]) - np.mean(rest)) >= seen - 1e-12)
    p, note = permutation(a, b)
    assert p == pytest.approx(np.mean(ways))
    assert len(ways) == comb(len(both), len(a))
    assert "so few tensors" in note


def test_permutation_of_many_tensors_is_near_its_normal_limit():
    rng = np.random.default_rng(3)
    found = [permutation(rng.random(30), rng.random(30))[0] for _ in range(60)]
    assert 0.3 < np.mean(found) < 0.7
    assert min(found) > 1 / (1 + DRAWS)
    assert permutation(rng.random(30) + 1, rng.random(30))[0] == 1 / (1 + DRAWS)
    assert permutation(np.ones(1), np.ones(1)) == (None, "not applicable: 1 and 1 tensors")


def test_counts_of_which_less_than_five_are_expected_are_told():
    assert g_test(np.full((2, 2), 5)) == (1.0, "")
    assert g_test(np.array([[4, 0, 9], [4, 0, 9]])) == (1.0, "approximate: 2 of 4 expected counts are below 5")
    statistic = 2 * 20 * (np.log(60 * 20 / (20 * 40)) + np.log(60 * 20 / (40 * 40)) + np.log(60 * 20 / (40 * 20)))
    assert g_test(np.array([[20, 0], [20, 20]])) == (pytest.approx(chi2.sf(statistic, 1)), "")
    assert g_test(np.array([[7, 0], [9, 0]])) == g_test(np.array([[7, 2], [0, 0]])) == (None, "all is in one place")


def test_correction_is_benjamini_and_hochbergs():
    p = np.random.default_rng(1).random(20) ** 3
    order = np.argsort(p)
    slow = np.empty(20)
    for rank, place in enumerate(order, 1):
        slow[place] = min(p[order[later - 1]] * 20 / later for later in range(rank, 21))
    assert adjusted(list(p)) == pytest.approx(np.minimum(slow, 1))
    assert adjusted([]) == []


# --- phases ------------------------------------------------------------------------------------------------------


def two_phases(tmp_path, change=None):
    specs = specs_of(3)
    for phase in ("p1", "p2"):
        path = write(tmp_path, specs, smooth(specs), phase=phase)
    if change:
        with h5py.File(path, "r+") as file:
            change(file)
    table = phases_table(read_study([path, tmp_path / "p1/one/scores/grad_squared.h5"]))
    return table, table[table["quantity"] == "determinism"].iloc[0]


def test_equal_phases_are_identical(tmp_path):
    table, verdict = two_phases(tmp_path)
    assert (verdict["verdict"], verdict["value"]) == ("deterministic", 1)
    tensors = table[table["quantity"] == "identical"]
    assert (tensors["verdict"] == "identical").all()
    assert len(tensors) == len(specs_of(3))
    assert (table.loc[table["quantity"].isin(["max_difference", "differing_tensors"]), "value"] == 0).all()
    assert (table.loc[table["quantity"] == "jaccard", "value"] == 1).all()
    same = table[table["quantity"] == "same_order"].iloc[0]
    assert same["value"] == same["n"] > 1000


def flip(dataset):
    """Change the lowest bit of one number of a dataset."""

    def change(file):
        values = file[f"tensors/layers.1.v_proj.weight/{dataset}"]
        numbers = values[...]
        numbers.reshape(-1).view(f"i{numbers.itemsize}")[3] ^= 1
        values[...] = numbers

    return change


@pytest.mark.parametrize("dataset", ["top_score", "top_weight", "top_gradient", "row_sum", "col_gw", "histogram",
                                     "scores"])  # fmt: skip
def test_one_bit_changed_is_found_and_named(tmp_path, dataset):
    table, verdict = two_phases(tmp_path, flip(dataset))
    assert verdict["verdict"] == "not deterministic: differs in layers.1.v_proj.weight"
    assert verdict["value"] == 0
    unlike = table[(table["quantity"] == "identical") & (table["value"] == 0)]
    assert unlike["name"].tolist() == ["layers.1.v_proj.weight"]
    assert unlike["verdict"].tolist() == [f"differs in: {dataset}"]
    largest = table.loc[(table["scope"] == "all") & (table["quantity"] == "max_difference"), "value"].iloc[0]
    assert (largest > 0) == (dataset == "top_score")


def test_nan_equals_itself_and_minus_zero_is_not_zero(tmp_path):
    def minus(file):
        file["tensors/embed.weight/col_gw"][2] = -0.0

    def plus(file):
        file["tensors/embed.weight/col_gw"][2] = 0.0

    specs = specs_of(2)
    paths = [write(tmp_path, specs, smooth(specs), phase=phase) for phase in ("p1", "p2")]
    for path, change in zip(paths, (minus, plus), strict=True):
        with h5py.File(path, "r+") as file:
            change(file)
            file["tensors/layers.0.q_proj.weight/row_gw"][1] = np.nan
    table = phases_table(read_study(paths))
    unlike = table[(table["quantity"] == "identical") & (table["value"] == 0)]
    assert unlike["name"].tolist() == ["embed.weight"]


def test_other_settings_are_no_check_of_determinism(tmp_path):
    def change(file):
        file.attrs["seed"] = 7
        file.attrs["calibration_sha256"] = "0" * 64

    table, verdict = two_phases(tmp_path, change)
    assert verdict["verdict"] == "no check: settings differ in calibration_sha256, seed"
    assert np.isnan(verdict["value"])
    settings = table[(table["scope"] == "setting") & (table["value"] == 0)]
    assert settings["name"].tolist() == ["calibration_sha256", "seed"]
    assert "7 and 0" in settings["verdict"].iloc[1]


def test_tensor_of_one_phase_alone_is_named(tmp_path):
    specs = specs_of(2)
    scores = smooth(specs)
    paths = [write(tmp_path, specs, scores, phase="p1")]
    del scores["layers.1.q_proj.weight"]
    paths.append(write(tmp_path, specs, scores, phase="p2"))
    table = phases_table(read_study(paths))
    row = table[(table["name"] == "layers.1.q_proj.weight")].iloc[0]
    assert row["verdict"] == "differs in: it has no scores in b"


# --- checkpoints -------------------------------------------------------------------------------------------------

STEPS = [Checkpoint("run", "early", 10), Checkpoint("run", "late", 90), Checkpoint("run", "end", None)]


def test_planted_checkpoints(tmp_path):
    specs = specs_of(4)
    end = smooth(specs, 0)
    first = ranked(specs, end)[:100]
    rng = np.random.default_rng(5)
    chosen = {name: {first[i] for i in rng.choice(100, n, replace=False)} for name, n in (("early", 30), ("late", 70))}
    paths = []
    for name, kept in chosen.items():
        scores = {tensor: values.copy() for tensor, values in end.items()}
        for tensor, index in first:
            scores[tensor].reshape(-1)[index] = 1e3 if (tensor, index) in kept else 1e-6
        paths.append(write(tmp_path, specs, scores, model=name))
    table = checkpoints_table(read_study([*paths, write(tmp_path, specs, end, model="end")]), STEPS)
    own = table[table["k"] == 100].set_index("model")
    assert own.index.tolist() == ["early", "late", "end"]
    assert own["shared"].tolist() == [30, 70, 100]
    assert own["settled"].tolist() == [len(chosen["early"] & chosen["late"]), 70, 100]
    assert own["jaccard"].tolist() == pytest.approx([30 / 170, 70 / 130, 1])
    assert own["step"].dropna().tolist() == [10, 90]
    weights = sum(spec.numel for spec in specs)
    assert own.loc["early", "p"] == pytest.approx(hypergeom.sf(29, weights, 100, 100))
    assert own.loc["early", "expected"] == pytest.approx(100 * 100 / weights)


def test_chance_by_tensor_explains_checkpoints_that_agree_on_tensors_alone(tmp_path):
    # All the top lies in one small tensor both times, at random places of it: more than free draws, as by tensor.
    specs = specs_of(2)
    paths = []
    for seed, model in enumerate(("early", "end")):
        paths.append(write(tmp_path, specs, smooth(specs, seed, embed_tokens=1e4), model=model))
    table = checkpoints_table(read_study(paths), [STEPS[0], STEPS[2]])
    row = table[(table["k"] == 100) & (table["model"] == "early")].iloc[0]
    assert row["expected_by_tensor"] == pytest.approx(100 * 100 / 960)
    assert row["p"] < 0.01 < row["p_by_tensor"]


def test_checkpoints_of_other_shapes_are_told(tmp_path):
    paths = [write(tmp_path, specs_of(n), smooth(specs_of(n)), model=m) for n, m in ((2, "early"), (3, "end"))]
    table = checkpoints_table(read_study(paths), STEPS)
    assert table["note"].tolist() == ["not applicable: early and end differ in their shapes"]


def test_training_runs_are_known_by_their_entries():
    models = {
        "end": {"source": "bundled"},
        "s2": {"source": "bundled", "checkpoint": "step_000400"},
        "s1": {"source": "bundled", "checkpoint": "step_000080"},
        "gpt2": {"source": "hub", "repo": "openai-community/gpt2", "revision": "main"},
        "p": {"source": "hub", "repo": "EleutherAI/pythia-410m"},
        "p1": {"source": "hub", "repo": "EleutherAI/pythia-410m", "revision": "step1000"},
        "twice": {"source": "hub", "repo": "EleutherAI/pythia-410m", "revision": "step1000"},
        "l9": {"source": "local", "path": "/x/mine/checkpoint-9"},
        "l10": {"source": "local", "path": "/x/mine/checkpoint-10"},
        "m1": {"source": "local", "path": "/y/mine/checkpoint-1"},
        "m2": {"source": "local", "path": "/y/mine/final"},
        "alone": {"source": "local", "path": "/z/model"},
    }
    assert [as_option(one) for one in training_runs(models)] == [
        "bundled:s1:80", "bundled:s2:400", "bundled:end:",
        "EleutherAI/pythia-410m:p1:1000", "EleutherAI/pythia-410m:twice:1000", "EleutherAI/pythia-410m:p:",
        "mine:l9:9", "mine:l10:10", "mine 2:m1:1", "mine 2:m2:",
    ]  # fmt: skip
    assert from_option("a:b:3") == Checkpoint("a", "b", 3)
    timed = {f"m{n}": {"source": "local", "path": f"/x/run_2024-05-01_12:30:00/checkpoint-{n}"} for n in (5, 6)}
    runs = training_runs(timed)
    assert runs[0].run == "run_2024-05-01_12:30:00"
    assert [from_option(as_option(one)) for one in runs] == runs
    with pytest.raises(ConfigError, match="is no checkpoint"):
        from_option("a:b")


# --- tasks -------------------------------------------------------------------------------------------------------


def planted_tasks(tmp_path, dense=True, moved=20):
    specs = specs_of(4)
    a = smooth(specs, 0)
    b = {name: values.copy() for name, values in a.items()}
    order = ranked(specs, a)
    for (high, i), (low, j) in zip(order[:moved], order[-moved:], strict=True):
        b[high].reshape(-1)[i], b[low].reshape(-1)[j] = a[low].reshape(-1)[j], a[high].reshape(-1)[i]
    paths = [write(tmp_path, specs, a, phase="prose", dense=dense)]
    paths.append(of_other_texts(write(tmp_path, specs, b, phase="code", dense=dense)))
    return specs, a, b, order, read_study(paths)


def test_weights_of_one_task_alone_are_listed_with_both_scores(tmp_path):
    specs, a, b, order, study = planted_tasks(tmp_path)
    row = tasks_table(study).set_index("k").loc[100]
    assert (row["shared"], row["only"], row["jaccard"]) == (80, 20, 80 / 120)
    listed = task_weights_table(study)
    assert len(listed) == 40
    assert set(listed["k"]) == {1000}
    for (tensor, index), (_, got) in zip(order[:20], listed[listed["critical_for"] == "prose"].iterrows(), strict=True):
        place = np.unravel_index(index, a[tensor].shape)
        assert (got["parameter"], got["indices"]) == (tensor, f"({place[0]}, {place[1]})")
        assert (got["row"], got["col"]) == place
        assert (got["score_a"], got["score_b"]) == (a[tensor][place], b[tensor][place])
        assert pd.isna(got["rank_b"])
        assert ranked(specs, a)[got["rank_a"] - 1] == (tensor, index)
    assert pd.isna(row["deepest_a"])
    assert 0 < row["ratio_a"] < 1


def test_scores_beyond_the_kept_ones_are_empty(tmp_path):
    *_, study = planted_tasks(tmp_path, dense=False)
    listed = task_weights_table(study)
    assert listed.loc[listed["critical_for"] == "prose", "score_b"].isna().all()
    assert listed["score_a"].notna().sum() == 20
    assert pd.isna(tasks_table(study)["ratio_a"].iloc[0])


def test_ranks_of_the_other_task_are_those_of_its_ranking(tmp_path):
    specs = specs_of(3)
    a, b = smooth(specs, 0), {}
    for name, values in a.items():
        b[name] = (values * np.random.default_rng(len(name)).lognormal(0, 0.1, values.shape)).astype(np.float32)
    paths = [write(tmp_path, specs, a, phase="prose"), of_other_texts(write(tmp_path, specs, b, phase="code"))]
    study = read_study(paths)
    row = tasks_table(study).set_index("k").loc[100]
    first, second = ranked(specs, a), ranked(specs, b)
    assert row["shared"] == len(set(first[:100]) & set(second[:100]))
    assert row["deepest_a"] == max(second.index(weight) + 1 for weight in set(first[:100]) - set(second[:100]))
    assert row["deepest_b"] == max(first.index(weight) + 1 for weight in set(second[:100]) - set(first[:100]))


def test_ratio_is_over_the_weights_with_both_scores(tmp_path):
    specs = specs_of(4)
    a = smooth(specs, 0)
    b = {name: values.copy() for name, values in a.items()}
    order = ranked(specs, a)
    kept = a[order[99][0]].reshape(-1)[order[99][1]] / 2  # of the first of its tensor, so that its score is known
    for number, (name, index) in enumerate(order[:21]):
        b[name].reshape(-1)[index] = kept if number % 3 else 1e-6
    paths = [write(tmp_path, specs, a, phase="prose", dense=False)]
    paths.append(of_other_texts(write(tmp_path, specs, b, phase="code", dense=False)))
    row = tasks_table(read_study(paths)).set_index("k").loc[100]
    ratios = [np.float64(kept) / a[name].reshape(-1)[index] for n, (name, index) in enumerate(order[:21]) if n % 3]
    assert (row["only"], row["ratio_a"]) == (21, pytest.approx(np.median(ratios)))


def test_phases_of_the_same_texts_are_no_tasks(tmp_path):
    specs = specs_of(2)
    study = read_study([write(tmp_path, specs, smooth(specs), phase=phase) for phase in ("p1", "p2")])
    assert tasks_table(study)["note"].tolist() == [
        "not applicable: no model and metric that reads texts in two phases of other texts"
    ]
    assert task_weights_table(study)["note"].str.startswith("not applicable").all()


# --- clusters ----------------------------------------------------------------------------------------------------


def test_planted_kinds_of_blocks_are_found(tmp_path):
    specs = specs_of(9)
    scores = smooth(specs)
    kinds = [1, 1, 2, 2, 2, 2, 3, 3, 3]
    for spec in specs[1:]:
        strong = {1: "q_proj", 2: "up_proj", 3: "down_proj"}[kinds[spec.layer]]
        scores[spec.name] = (scores[spec.name] * (30 if spec.component == strong else 1)).astype(np.float32)
    table = clusters_table(read_study([write(tmp_path, specs, scores)]))
    assert table["cluster"].tolist() == kinds
    assert (table["clusters"] == 3).all()
    assert (table["p"] <= 0.05).all()
    assert (table["mean_silhouette"] > 0.5).all()
    assert table["depth"].tolist() == pytest.approx([layer / 8 for layer in range(9)])


def test_blocks_of_one_kind_have_no_clear_clusters(tmp_path):
    specs = specs_of(9)
    table = clusters_table(read_study([write(tmp_path, specs, smooth(specs))]))
    assert (table["p"] > 0.05).all()


def test_a_smooth_change_with_depth_makes_no_kinds():
    rng = np.random.default_rng(2)
    depth = np.linspace(-1, 1, 16)[:, None]
    values = standardised(depth * rng.normal(size=(1, 10)) + 0.1 * rng.normal(size=(16, 10)))
    assert chance_of_clusters(values) > 0.05
    kinds = standardised(np.sign(depth) * rng.normal(size=(1, 10)) + 0.1 * rng.normal(size=(16, 10)))
    assert chance_of_clusters(kinds) <= 0.05


def test_few_blocks_are_not_clustered(tmp_path):
    specs = specs_of(4)
    table = clusters_table(read_study([write(tmp_path, specs, smooth(specs))]))
    assert table["note"].tolist() == ["not applicable: 4 blocks, fewer than 5"]


def test_components_that_some_blocks_lack_are_left_out_and_told(tmp_path):
    specs = [spec for spec in specs_of(6) if (spec.layer, spec.component) != (2, "v_proj")]
    scores = smooth(specs)
    scores["layers.4.q_proj.weight"][:] = 0
    table = clusters_table(read_study([write(tmp_path, specs, scores)]))
    assert set(table["note"]) == {"not in every block: v_proj; no log of a mean of 0: q_proj"}
    assert (table["features"] == 3 + 2).all()


def test_silhouettes_follow_the_definition():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 3))
    labels = np.array([1, 2, 3, 1, 2, 3, 1, 2, 1, 1, 2, 4])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    slow = []
    for i in range(12):
        own = [j for j in range(12) if labels[j] == labels[i] and j != i]
        if not own:
            slow.append(0.0)
            continue
        a = np.mean([distances[i, j] for j in own])
        b = min(np.mean([distances[i, j] for j in range(12) if labels[j] == c]) for c in set(labels) - {labels[i]})
        slow.append((b - a) / max(a, b))
    assert silhouettes(distances[None], labels[None])[0] == pytest.approx(slow)


def test_ten_clear_clusters_are_cut_into_eight():
    centres = np.random.default_rng(1).normal(size=(10, 3)) * 100
    points = np.repeat(centres, 2, axis=0) + np.tile([[0.0], [0.1]], (10, 1))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert silhouettes(distances[None], np.repeat(range(1, 11), 2)[None]).min() > 0.9
    assert best_clusters(points[None])[0].max() == 8


def test_points_that_are_all_one_have_one_cluster():
    labels, widths = best_clusters(np.zeros((1, 6, 2)))
    assert not widths.any()
    assert chance_of_clusters(np.zeros((6, 2))) == 1
    assert (labels == 1).all()


# --- all tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ACROSS_TABLES, ids=lambda table: table.name)
def test_script_writes_each_table_also_of_one_store_alone(tmp_path, table):
    specs = specs_of(2)
    path = write(tmp_path, specs, smooth(specs))
    out = tmp_path / table.name
    assert call_script("across", table.name.removesuffix(".csv"), "--stores", path, "--output", out) == 0
    frame = read_table(out, table)
    assert len(frame) == 1
    assert frame["note"].iloc[0].startswith("not applicable")


def test_script_reads_checkpoints(tmp_path, capfd):
    specs = specs_of(2)
    paths = [write(tmp_path, specs, smooth(specs, seed), model=f"m{seed}") for seed in (0, 1)]
    out = tmp_path / "checkpoints.csv"
    words = ["across", "checkpoints", "--stores", *paths, "--output", out, "--checkpoints"]
    assert call_script(*words, "r:m0:5", "r:m1:") == 0
    assert read_table(out, CHECKPOINTS)["step"].dropna().unique().tolist() == [5]
    assert call_script(*words, "r:m0:five") == 1
    assert "expected run:model:step" in capfd.readouterr().err
