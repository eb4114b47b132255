"""How stable rankings are: against plain loops over draws, on planted stores, and where it cannot be told."""

from __future__ import annotations

from dataclasses import replace
from math import comb
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from critical_weights.errors import ConfigError, StoreError
from critical_weights.overlap.groups import LADDER
from critical_weights.stability.candidate_pool import Pool, groups
from critical_weights.stability.resampled_scores import resample
from critical_weights.stability.resampling import bootstrap_multiplicities, half_multiplicities
from critical_weights.stability.stability import StabilitySettings, stability_tables
from critical_weights.stability.text_scores import TEXT_TERMS
from critical_weights.store.read import open_store
from critical_weights.tables.schema import read_table
from critical_weights.tables.stability import STABILITY, TOO_HIGH, WEIGHT_STABILITY
from script_call import call_script
from synthetic_stores import MODEL_SHA256, default_specs, matrix_specs, random_scores, weights_of, write_store
from synthetic_texts import score_by_definition, write_probe_store, write_text_store

GRADIENT = ["grad_x_weight", "grad_squared", "taylor_abs", "obd"]
SPECS = matrix_specs(6, (9, 8))  # two blocks, one of two tensors
OVERLAPS = ("jaccard", "share")


def gradients(specs=SPECS, n_texts=9, signal=1.0, noise=1.0, seed=0):
    """Return random g_s: a part of its own for each weight that all texts have, and noise."""
    rng = np.random.default_rng(seed)
    own = {spec.name: rng.lognormal(0, 1, (spec.numel, 1)) * rng.choice([-1, 1], (spec.numel, 1)) for spec in specs}
    return {name: signal * mean + noise * rng.standard_normal((len(mean), n_texts)) for name, mean in own.items()}


def predicted(n_texts=9, seed=0):
    return np.random.default_rng(50 + seed).integers(3, 30, n_texts)


def measure(*paths, others=(), draws=40, splits=30, threshold=0.5):
    return stability_tables(paths, others, StabilitySettings(draws, splits, threshold))


def rows_of(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def value_of(table, **wanted):
    rows = rows_of(table, **wanted)
    assert len(rows) == 1
    return rows.iloc[0]


def slow_figures(path, metric, draws, splits, seed):
    """Return {(mode, k, method, quantity): (mean, low, high)} by looping over draws, groups and weights."""
    weights = weights_of(SPECS, seed)
    with h5py.File(path) as file:
        t = file["text_predicted"][:]
        kept = {
            spec.name: {key: file["tensors"][spec.name][key][:] for key in ("top_index", "top_score", "text_gradient")}
            for spec in SPECS
        }
    n = len(t)

    def scores(multiplicity):
        texts = [s for s in range(n) for _ in range(int(multiplicity[s]))]
        result = {}
        for place, spec in enumerate(SPECS):
            own = kept[spec.name]
            m = len(own["text_gradient"])
            weight = weights[spec.name].ravel()[own["top_index"][:m]].astype(np.float64)
            values = score_by_definition(metric, weight, own["text_gradient"].astype(np.float64)[:, texts], t[texts])
            result |= {(place, int(i)): np.float32(v) for i, v in zip(own["top_index"], values, strict=False)}
        return result

    def first(values, group, k):
        return {weight for _, weight in sorted((-values[w], w) for w in group)[:k]}

    whole = scores(np.ones(n))
    drawn = [scores(row) for row in bootstrap_multiplicities(n, draws, seed)]
    halves = [[scores(row) for row in half] for half in half_multiplicities(n, splits, seed)]
    pairs = {
        "bootstrap": [(one, whole) for one in drawn],
        "bootstrap_pair": list(zip(drawn[0::2], drawn[1::2], strict=False)),
        "halves": list(zip(*halves, strict=True)),
    }
    found = {}
    for mode, key in (("perlayer", lambda p: p), ("perblock", lambda p: SPECS[p].layer), ("global", lambda p: 0)):
        members = {}
        for weight in whole:
            members.setdefault(key(weight[0]), []).append(weight)
        for k in LADDER:
            possible = []
            for group in members.values():
                tensors = {SPECS[place].name: SPECS[place].numel for place, _ in group}
                cut = [name for name, numel in tensors.items() if len(kept[name]["text_gradient"]) < numel]
                floor = max((kept[name]["top_score"][len(kept[name]["text_gradient"]) - 1] for name in cut), default=-1)
                stored = [s for name in tensors for s in kept[name]["top_score"][: len(kept[name]["text_gradient"])]]
                if k < len(group) and k <= sum(s > floor for s in stored) and sorted(whole[w] for w in group)[-k] > 0:
                    possible.append(group)
            for method, sides in pairs.items() if possible else ():
                shared = np.array([[len(first(a, g, k) & first(b, g, k)) for a, b in sides] for g in possible])
                for quantity, values in (("share", shared / k), ("jaccard", shared / (2 * k - shared))):
                    mean = values.mean(axis=0)
                    found[mode, k, method, quantity] = (mean.mean(), *np.quantile(mean, [0.025, 0.975]))
    return found


@pytest.mark.parametrize(
    "metric, kept", [*((metric, 40) for metric in GRADIENT), ("grad_squared", 30), ("grad_squared", 100)]
)
def test_overlaps_are_those_of_plain_loops(tmp_path: Path, metric: str, kept: int) -> None:
    own = gradients()
    own[SPECS[2].name][5:60] = 0  # many ties at 0
    own[SPECS[4].name][10:20] = own[SPECS[4].name][9]
    path = write_text_store(tmp_path / "a.h5", SPECS, own, predicted(), metric=metric, kept=kept, seed=3)
    table, _ = measure(path, draws=21, splits=12)
    expected = slow_figures(path, metric, 21, 12, 3)
    assert {mode for mode, *_ in expected} == {"global", "perblock", "perlayer"}
    rows = table[table["quantity"].isin(OVERLAPS)]
    got = {(r.mode, r.k, r.method, r.quantity): (r.value, r.low, r.high) for r in rows.itertuples()}
    assert set(got) == set(expected)
    for key, figures in expected.items():
        assert got[key] == pytest.approx(figures, rel=1e-9, abs=1e-12), key
    assert set(rows["n_texts"]) == {9}
    assert dict(zip(rows["method"], rows["n"], strict=True)) == {"bootstrap": 21, "bootstrap_pair": 10, "halves": 12}


@pytest.mark.parametrize("metric", GRADIENT)
def test_errors_and_probabilities_of_single_weights_are_those_of_plain_loops(tmp_path: Path, metric: str) -> None:
    path = write_text_store(tmp_path / "a.h5", SPECS, gradients(), predicted(), metric=metric, kept=40, seed=3)
    table, listed = measure(path, draws=25)
    t, weights = predicted(), weights_of(SPECS, 3)
    single = {name: values.astype(np.float32).astype(np.float64) for name, values in gradients().items()}
    draws = []
    for row in bootstrap_multiplicities(9, 25, 3):
        texts = np.repeat(np.arange(9), row.astype(int))
        draws.append({
            (spec.name, f"({i // 8}, {i % 8})"): score
            for spec in SPECS
            for i, score in enumerate(score_by_definition(
                metric, weights[spec.name].ravel().astype(np.float64), single[spec.name][:, texts], t[texts]))
        })  # fmt: skip
    assert list(listed["rank"]) == list(range(1, len(listed) + 1))
    assert (np.diff(listed["score"]) <= 0).all()
    k = int(listed["k"].iloc[0])
    assert k == len(listed) > 20
    with open_store(path) as store:
        pools = {name: set(store.candidates(name)["top_index"][:40]) for name in store.names}
    inside = [
        set(sorted((w for w in draw if eval(w[1])[0] * 8 + eval(w[1])[1] in pools[w[0]]), key=draw.get)[-k:])
        for draw in draws
    ]
    for row in listed.itertuples():
        weight = (row.parameter, row.indices)
        own = np.array([draw[weight] for draw in draws])
        assert row.standard_error == pytest.approx(own.std(ddof=1), rel=1e-5)
        assert (row.low, row.high) == pytest.approx(tuple(np.quantile(own, [0.025, 0.975])), rel=1e-5)
        assert row.probability == pytest.approx(np.mean([weight in one for one in inside]))
    first = listed.head(10)
    ratio = value_of(table, mode="global", k=10, quantity="relative_error")
    assert ratio["value"] == pytest.approx(np.median(first["standard_error"] / first["score"]), rel=1e-5)


@pytest.mark.parametrize("metric", GRADIENT)
def test_each_text_once_gives_the_stores_scores(tmp_path: Path, metric: str) -> None:
    assert set(TEXT_TERMS) == set(GRADIENT)
    path = write_text_store(tmp_path / "a.h5", SPECS, gradients(), predicted(), metric=metric, kept=40)
    with open_store(path) as store:
        resampled = resample(store, 10, 10)
    np.testing.assert_allclose(resampled.scores.first, resampled.pool.stored, rtol=1e-6)
    table, _ = measure(path)
    assert value_of(table, quantity="store_agreement")["value"] < 1e-6


def shuffled(values, rng):
    return rng.permutation(values)


def other_texts(values, rng):
    return values[:, rng.permutation(values.shape[1])]


def one_value(values, rng):
    values[0, 0] = np.nan
    return values


@pytest.mark.parametrize("damage", [shuffled, other_texts, one_value])
@pytest.mark.parametrize("metric", ["grad_squared", "taylor_abs"])
def test_gradients_that_do_not_give_the_scores_are_refused(tmp_path: Path, metric: str, damage) -> None:
    path = write_text_store(tmp_path / "a.h5", SPECS, gradients(), predicted(), metric=metric)
    with h5py.File(path, "r+") as file:
        data = file["tensors"][SPECS[3].name]["text_gradient"]
        data[...] = damage(data[...], np.random.default_rng(1))
    with pytest.raises(StoreError, match=rf"contradicts itself: scores of {SPECS[3].name} .* relative difference"):
        measure(path)


def test_gradients_of_another_number_of_texts_are_refused(tmp_path: Path) -> None:
    path = write_text_store(tmp_path / "a.h5", SPECS, gradients(), predicted())
    with h5py.File(path, "r+") as file:
        del file["text_predicted"]
        file["text_predicted"] = predicted(8)
    with pytest.raises(StoreError, match=r"got shape \(72, 9\); expected up to 72 candidates by 8 texts"):
        measure(path)


@pytest.mark.parametrize("metric", GRADIENT)
def test_identical_texts_make_everything_certain(tmp_path: Path, metric: str) -> None:
    own = {name: np.repeat(values[:, :1], 8, axis=1) for name, values in gradients().items()}
    path = write_text_store(tmp_path / "a.h5", SPECS, own, [11] * 8, metric=metric, kept=60)
    table, listed = measure(path)
    assert (table.loc[table["quantity"].isin(OVERLAPS), ["value", "low", "high"]] == 1).all(axis=None)
    assert (table.loc[table["quantity"] == "relative_error", ["value", "low", "high"]] == 0).all(axis=None)
    assert (listed["standard_error"] == 0).all()
    assert (listed["probability"] == 1).all()
    assert (listed["low"] == listed["high"]).all()
    verdict = value_of(table, mode="perlayer", quantity="largest_k")
    assert verdict["value"] == 30
    assert "the candidates cannot tell beyond k = 30" in verdict["note"]


@pytest.mark.parametrize("metric", GRADIENT)
def test_halves_of_pure_noise_share_what_chance_does(tmp_path: Path, metric: str) -> None:
    # All weights are candidates (nothing is selected), and their values make no difference in scale.
    specs = matrix_specs(4, (40, 25))
    n = 40
    own = gradients(specs, n, signal=0)
    if metric != "grad_squared":
        own = {name: values / weights_of(specs)[name].reshape(-1, 1) for name, values in own.items()}
    path = write_text_store(tmp_path / "a.h5", specs, own, [20] * n, metric=metric)
    table, _ = measure(path, splits=60)
    for mode, k in (("global", 300), ("global", 1000), ("perlayer", 100), ("perlayer", 300)):
        row = value_of(table, mode=mode, k=k, method="halves", quantity="jaccard")
        assert row["value"] == pytest.approx(row["expected"], rel=0.3)
        # Of the same texts noise shares more, and no chance level holds.
        for method, times in (("bootstrap", 1.5), ("bootstrap_pair", 1.2)):
            drawn = value_of(table, mode=mode, k=k, method=method, quantity="jaccard")
            assert drawn["value"] > times * row["expected"]
            assert np.isnan(drawn["expected"])
    for mode in ("global", "perblock", "perlayer"):
        assert value_of(table, mode=mode, quantity="largest_k")["value"] == 0
    above = rows_of(table, mode="perlayer", quantity="groups_above", k=30)
    assert above["value"].item() == 0


def test_noise_does_not_pass_where_chance_alone_exceeds_the_threshold(tmp_path: Path) -> None:
    specs = matrix_specs(2, (40, 28))
    path = write_text_store(tmp_path / "a.h5", specs, gradients(specs, 20, signal=0), [20] * 20)
    table, _ = measure(path, threshold=0.1)
    row = value_of(table, mode="perlayer", k=300, method="halves", quantity="jaccard")
    assert row["expected"] > 0.1
    assert value_of(table, mode="perlayer", quantity="largest_k")["value"] == 0


@pytest.mark.parametrize("metric", GRADIENT)
def test_a_strong_signal_is_stable(tmp_path: Path, metric: str) -> None:
    specs = matrix_specs(4, (40, 25))
    path = write_text_store(tmp_path / "a.h5", specs, gradients(specs, 40, signal=1, noise=0.05), [20] * 40,
                            metric=metric, kept=600)  # fmt: skip
    table, listed = measure(path)
    halves = rows_of(table, method="halves", quantity="jaccard")
    assert (halves["low"] > 0.8).all()
    assert (halves["value"] > 5 * halves["expected"]).loc[halves["k"] <= 100].all()
    assert value_of(table, mode="perlayer", quantity="largest_k")["value"] == 300
    assert (rows_of(table, quantity="groups_above")["value"] == 1).all()
    assert listed["probability"].median() == 1


def test_more_texts_of_a_weak_signal_share_more_and_halves_share_least(tmp_path: Path) -> None:
    specs = matrix_specs(4, (40, 25))
    figures = {}
    for n in (10, 160):
        own = gradients(specs, n, signal=0.5, noise=1.0)
        path = write_text_store(tmp_path / f"{n}.h5", specs, own, [20] * n, metric="grad_x_weight", kept=900)
        table, _ = measure(path)
        figures[n] = {
            method: value_of(table, mode="global", k=100, method=method, quantity="jaccard")["value"]
            for method in ("bootstrap", "bootstrap_pair", "halves")
        }
        assert figures[n]["halves"] < figures[n]["bootstrap_pair"] < figures[n]["bootstrap"]
    assert figures[160]["halves"] > figures[10]["halves"]


def test_candidates_that_are_too_few_are_told_and_decide_nothing(tmp_path: Path) -> None:
    specs = matrix_specs(2, (50, 40))
    own = gradients(specs, 12, signal=0.1)
    for kept, enough in ((110, False), (1500, True)):
        path = write_text_store(tmp_path / f"{kept}.h5", specs, own, [9] * 12, metric="grad_x_weight", kept=kept)
        table, _ = measure(path)
        row = value_of(table, mode="perlayer", k=100, method="halves", quantity="jaccard")
        edge = value_of(table, mode="perlayer", k=100, quantity="edge_share")["value"]
        assert ("weights beyond the candidates" not in row["note"]) == enough
        assert (edge < 0.01) == enough
    identical = {name: np.repeat(values[:, :1], 12, axis=1) for name, values in own.items()}
    path = write_text_store(tmp_path / "i.h5", specs, identical, [9] * 12, metric="grad_x_weight", kept=110)
    table, _ = measure(path)
    assert value_of(table, mode="perlayer", k=100, quantity="floor_draws")["value"] == 0
    assert value_of(table, mode="perlayer", quantity="largest_k")["value"] == 100  # where nothing moves, 110 are enough


def test_a_k_that_the_candidates_cannot_answer_is_not_called_stable(tmp_path: Path) -> None:
    specs = matrix_specs(2, (50, 40))
    own = gradients(specs, 12, signal=0.5)
    for kept, largest in ((150, 30), (200, 100)):
        path = write_text_store(tmp_path / f"{kept}.h5", specs, own, [9] * 12, metric="grad_x_weight", kept=kept)
        table, _ = measure(path)
        row = value_of(table, mode="perlayer", k=100, method="halves", quantity="jaccard")
        assert row["low"] > max(0.5, row["expected"])
        assert value_of(table, mode="perlayer", quantity="largest_k")["value"] == largest


def test_floor_draws_counts_draws_that_fall_below_the_candidates(tmp_path: Path) -> None:
    specs = matrix_specs(1, (20, 10))
    own = gradients(specs, 6)
    path = write_text_store(tmp_path / "a.h5", specs, own, [7] * 6, metric="grad_squared", kept=35)
    table, _ = measure(path, draws=50)
    values = own[specs[0].name].astype(np.float32).astype(np.float64)
    score = ((values / 7) ** 2).mean(axis=1)
    best = np.argsort(-score)[:35]
    below = 0
    for row in bootstrap_multiplicities(6, 50, 0):
        drawn = ((values[best] / 7) ** 2 * row).sum(axis=1) / 6
        below += np.sort(drawn)[-30] < score[best[-1]]
    assert 0 < below < 50
    assert value_of(table, mode="perlayer", k=30, quantity="floor_draws")["value"] == below / 50


@pytest.mark.parametrize("large, answered", [(1, False), (4, True)])
def test_candidates_answer_while_few_draws_fall_below_them(tmp_path: Path, large: int, answered: bool) -> None:
    """Large gradients in 1 or 4 of 12 texts: draws without these texts fall below, and nothing changes its place."""
    specs = matrix_specs(1, (20, 10))
    texts = np.where(np.arange(12) < large, 100, 1)
    own = {name: values[:, :1] * texts for name, values in gradients(specs).items()}
    path = write_text_store(tmp_path / "a.h5", specs, own, [7] * 12, kept=100)
    table, _ = measure(path, draws=200)
    share, edge = (value_of(table, mode="global", k=10, quantity=q)["value"] for q in ("floor_draws", "edge_share"))
    assert (0 < share < 0.05) if answered else (0.05 < share < 0.5)
    assert edge == 0
    row = value_of(table, mode="global", k=10, method="halves", quantity="jaccard")
    assert row["value"] == 1
    assert (TOO_HIGH in row["note"]) != answered
    assert pd.notna(value_of(table, mode="global", quantity="largest_k")["value"]) == answered


def test_a_tensor_without_gradients_limits_what_can_be_told_of_all(tmp_path: Path) -> None:
    own = gradients()
    own[SPECS[1].name] *= 1000  # its first weight is larger than all others
    path = write_text_store(tmp_path / "a.h5", SPECS, own, predicted())
    with h5py.File(path, "r+") as file:
        del file["tensors"][SPECS[1].name]["text_gradient"]
    table, listed = measure(path)
    assert len(rows_of(table, mode="global", quantity="jaccard")) == 0
    assert value_of(table, mode="global", quantity="largest_k")["note"].startswith("not available")
    assert len(listed) == 0
    row = value_of(table, mode="perlayer", k=10, method="halves", quantity="share")
    assert row["note"].startswith("mean over 5 of 5 tensors")


def test_places_at_the_floor_of_a_cut_tensor_are_not_known() -> None:
    stored = np.array([9, 5, 5, 8, 5, 2], np.float32)  # weights of the first tensor may have 5 beyond the candidates
    pool = Pool(("a", "b"), (0, None), np.array([0, 3, 6]), np.arange(6), stored, np.zeros(6, bool),
                np.array([5, -np.inf]))  # fmt: skip
    assert [group.known for group in groups(pool, "perlayer").values()] == [1, 3]
    assert [group.known for group in groups(pool, "global").values()] == [2]
    assert list(groups(pool, "perblock")) == ["0", "outside"]


def test_the_verdict_is_not_that_of_a_minority_of_tensors(tmp_path: Path) -> None:
    specs = matrix_specs(3, (8, 5)) + [replace(spec, name=f"large.{spec.name}", shape=(20, 20)) for spec in SPECS[:2]]
    own = {name: np.repeat(values[:, :1], 5, axis=1) for name, values in gradients(specs).items()}
    path = write_text_store(tmp_path / "a.h5", specs, own, [11] * 5)
    table, _ = measure(path)
    row = value_of(table, mode="perlayer", k=100, method="halves", quantity="jaccard")
    assert row["value"] == 1
    assert row["note"].startswith("mean over 2 of 5 tensors")
    assert value_of(table, mode="perlayer", quantity="largest_k")["value"] == 30


def texts_of(root, n, seed):
    return {"calibration_sha256": f"{root}{seed}", "n_texts": n, "seed": seed}


def mean_jaccard(weights, k):
    """Return the mean Jaccard index of two draws of k, from whole numbers of draws."""
    draws = {x: comb(k, x) * comb(weights - k, k - x) for x in range(max(0, 2 * k - weights), k + 1)}
    return sum(n * x / (2 * k - x) for x, n in draws.items()) / comb(weights, k)


def test_other_seeds_are_compared_where_they_chose_other_texts(tmp_path: Path) -> None:
    specs = default_specs()
    scores = [random_scores(specs, seed, zeros=0, ties=0) for seed in (1, 2, 3)]
    paths = []
    for seed, own in enumerate(scores):
        paths.append(write_store(tmp_path / f"{seed}.h5", specs, own, metric="wanda", candidates=100, seed=seed))
        with h5py.File(paths[-1], "r+") as file:
            file.attrs.update(texts_of("t", 5, seed))
    table, listed = measure(paths[0], others=paths[1:])
    assert len(listed) == 0
    row = value_of(table, method="none")
    assert row["note"].startswith("not available: the store keeps no figures of single texts")
    names = list(scores[0])
    flat = [np.concatenate([own[name].ravel() for name in names]) for own in scores]
    first = [set(np.argsort(-values, kind="stable")[:10]) for values in flat]
    expected = [len(first[0] & other) / len(first[0] | other) for other in first[1:]]
    row = value_of(table, mode="global", k=10, method="seeds", quantity="jaccard")
    assert (row["value"], row["low"], row["high"]) == pytest.approx((np.mean(expected), min(expected), max(expected)))
    assert row["n"] == 2
    assert row["note"] == "seed 0 against 1, 2; texts that several seeds chose count for each of them"
    within = []
    for other in scores[1:]:
        shared = [len(set(np.argsort(-scores[0][n].ravel())[:10]) & set(np.argsort(-other[n].ravel())[:10]))
                  for n in names]  # fmt: skip
        within.append(np.mean(shared) / 10)
    assert set(rows_of(table, mode="perlayer", method="seeds")["k"]) == {10, 30}  # no tensor has more than 100 weights
    row = value_of(table, mode="perlayer", k=10, method="seeds", quantity="share")
    assert row["value"] == pytest.approx(np.mean(within))
    assert row["expected"] == pytest.approx(np.mean([10 / scores[0][name].size for name in names]))
    # The mean Jaccard index of two draws, as halves have it; that of the mean number shared is some 4 % less here.
    row = value_of(table, mode="perlayer", k=10, method="seeds", quantity="jaccard")
    assert row["expected"] == pytest.approx(np.mean([mean_jaccard(scores[0][name].size, 10) for name in names]))
    row = value_of(table, mode="global", k=30, method="seeds", quantity="jaccard")
    assert row["expected"] == pytest.approx(mean_jaccard(len(flat[0]), 30))


def test_a_tensor_that_only_another_seed_reached_is_left_out(tmp_path: Path) -> None:
    """As of an expert that no text of this seed was sent to."""
    specs = default_specs()
    whole = random_scores(specs, 1, zeros=0, ties=0)
    some = {name: values for name, values in whole.items() if name != list(whole)[-1]}
    for seed, own in enumerate((some, whole)):
        path = write_store(tmp_path / f"{seed}.h5", specs, own, metric="wanda", candidates=100, seed=seed)
        with h5py.File(path, "r+") as file:
            file.attrs.update(texts_of("t", 5, seed))
    for one, other in (("0.h5", "1.h5"), ("1.h5", "0.h5")):
        table, _ = measure(tmp_path / one, others=[tmp_path / other])
        assert value_of(table, mode="global", k=10, method="seeds", quantity="jaccard")["value"] == 1
        row = value_of(table, mode="perlayer", k=10, method="seeds", quantity="jaccard")
        assert row["note"].startswith(f"mean over {len(some)} tensors; ")


def test_what_two_seeds_both_have_is_not_called_stable_where_it_is_selected_whole(tmp_path: Path) -> None:
    specs = matrix_specs(3, (4, 6))  # 24 weights each; of 48 of either seed, they share 24
    whole = random_scores(specs, 1, zeros=0, ties=0)
    for seed, left_out in enumerate((specs[0].name, specs[1].name)):
        own = {name: values for name, values in whole.items() if name != left_out}
        path = write_store(tmp_path / f"{seed}.h5", specs, own, metric="wanda", candidates=24, seed=seed)
        with h5py.File(path, "r+") as file:
            file.attrs.update(texts_of("t", 5, seed))
    table, _ = measure(tmp_path / "0.h5", others=[tmp_path / "1.h5"])
    assert set(rows_of(table, method="seeds", mode="global")["k"]) == {10}


def test_seeds_that_chose_the_same_texts_say_nothing(tmp_path: Path) -> None:
    paths = [
        write_text_store(tmp_path / f"{seed}.h5", SPECS, gradients(), predicted(), root={"seed": seed})
        for seed in (1, 2)
    ]
    table, _ = measure(paths[0], others=paths[1:])
    row = value_of(table, quantity="seeds")
    assert row["note"].startswith("not applicable: all seeds chose the same texts")
    assert pd.isna(row["value"])
    assert len(rows_of(table, method="seeds")) == 0
    alone, _ = measure(paths[0])
    assert value_of(alone, quantity="seeds")["note"].startswith("not applicable: no phase that differs in the seed")


def test_another_seed_of_the_same_texts_still_draws_other_probes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for seed in (1, 2):
        signed = {spec.name: rng.standard_normal(spec.numel) for spec in SPECS}
        errors = {spec.name: np.ones(spec.numel) for spec in SPECS}
        paths.append(write_probe_store(tmp_path / f"{seed}.h5", SPECS, signed, errors, root={"seed": seed}))
    table, _ = measure(paths[0], others=paths[1:])
    row = value_of(table, mode="global", k=30, method="seeds", quantity="jaccard")
    assert row["note"] == "seed 1 against 2; other probes; the same texts"
    assert 0 <= row["value"] < 0.5


@pytest.mark.parametrize("metric", ["hutchinson_diag", "obd_hutch"])
def test_estimates_share_all_without_noise_and_less_with_it(tmp_path: Path, metric: str) -> None:
    rng = np.random.default_rng(0)
    signed = {spec.name: rng.lognormal(0, 1, spec.numel) * rng.choice([-1, 1], spec.numel) for spec in SPECS}
    figures = []
    for level in (0.0, 0.3, 3.0):
        errors = {name: np.full(len(values), level) for name, values in signed.items()}
        path = write_probe_store(tmp_path / f"{level}.h5", SPECS, signed, errors, metric=metric)
        table, listed = measure(path)
        figures.append(value_of(table, mode="global", k=30, method="probes", quantity="jaccard")["value"])
        if metric == "hutchinson_diag":
            np.testing.assert_allclose(listed["standard_error"], level, rtol=1e-6)
            share = value_of(table, mode="global", k=30, quantity="significant_share")["value"]
            top = np.sort(np.abs(np.concatenate(list(signed.values())).astype(np.float32)))[-30:]
            assert share == np.mean(top > 2 * level)
        with open_store(path) as store:
            resampled = resample(store, 5, 5)
        slope = 0.5 * np.concatenate([weights_of(SPECS)[spec.name].ravel() for spec in SPECS]) ** 2
        np.testing.assert_allclose(resampled.error, level * (slope if metric == "obd_hutch" else 1), rtol=1e-5)
        if level == 0:
            assert (resampled.pool.stored == 0).any() == (metric == "obd_hutch")
            for row in resampled.scores.take(np.arange(len(resampled.error)))[1:]:
                np.testing.assert_allclose(row, resampled.pool.stored, rtol=1e-6)
    assert figures[0] == 1
    assert 1 > figures[1] > figures[2]
    # The same by plain sampling.
    weights = np.concatenate([weights_of(SPECS)[spec.name].ravel() for spec in SPECS])
    centre = np.concatenate(list(signed.values()))

    def sample():
        h = rng.normal(centre, 3.0)
        score = np.abs(h) if metric == "hutchinson_diag" else 0.5 * h.clip(0) * weights**2
        return set(np.argsort(-score)[:30])

    shared = np.array([len(sample() & sample()) for _ in range(200)])
    assert figures[2] == pytest.approx(np.mean(shared / (60 - shared)), abs=0.04)


def test_what_cannot_be_resampled_is_told(tmp_path: Path) -> None:
    scores = random_scores(SPECS)
    stores = {
        metric: write_store(tmp_path / f"{metric}.h5", SPECS, scores, metric=metric, dense=False)
        for metric in ("magnitude", "act_mag", "grad_squared", "hutchinson_diag")
    }
    with h5py.File(stores["magnitude"], "r+") as file:
        file.attrs["n_texts"] = 0  # as the engine writes it
    one = write_text_store(tmp_path / "one.h5", SPECS, gradients(n_texts=1), [5], metric="obd")
    table, listed = measure(*stores.values(), one)
    notes = rows_of(table, quantity="resampling").set_index("metric")["note"]
    assert notes["magnitude"] == "not applicable: uses no text"
    assert notes["act_mag"].startswith("not available: the store keeps no figures of single texts")
    assert notes["grad_squared"].startswith("not available: the store keeps no gradients of single texts")
    assert notes["hutchinson_diag"].startswith("not available: the store keeps no standard errors")
    assert notes["obd"] == "not applicable: one text cannot be resampled"
    assert rows_of(table, metric="magnitude", quantity="seeds")["note"].item() == "not applicable: uses no text"
    assert rows_of(table, metric="magnitude")["n_texts"].isna().all()
    assert len(listed) == 0
    assert set(table["method"]) == {"none"}


def test_stores_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path, same, obd = (
        write_text_store(tmp_path / f"{name}.h5", SPECS, gradients(), predicted(), metric=metric)
        for name, metric in (("one", "grad_squared"), ("same", "grad_squared"), ("obd", "obd"))
    )
    with pytest.raises(StoreError, match=r"two of the score stores are of grad_squared, the second one .*same\.h5"):
        measure(path, same)
    with pytest.raises(StoreError, match=r"obd\.h5 is of obd, of which there is no store"):
        measure(path, others=[obd])
    with h5py.File(same, "r+") as file:
        file.attrs.update({"model_sha256": "c0" * 32, "calibration_sha256": "x"})
    with pytest.raises(StoreError, match=r"same\.h5 cannot be compared: another model_sha256; got c0c0"):
        measure(path, others=[same])
    with pytest.raises(StoreError, match=r"same\.h5 is of another model than .*obd\.h5; got c0c0"):
        measure(obd, same)
    with h5py.File(same, "r+") as file:
        file.attrs["model_sha256"] = MODEL_SHA256
    with pytest.raises(StoreError, match=r"same\.h5 is of other texts than .*obd\.h5; got x"):
        measure(obd, same)


@pytest.mark.parametrize(
    "setting, words",
    [({"draws": 1}, "too few draws .*got 1; expected 2 or more"), ({"splits": 0}, "too few splits .*got 0; expected 1"),
     *(({"threshold": value}, f"the threshold is no Jaccard index; got {value}; expected 0 to 1")
       for value in (float("nan"), -0.1, 1.5))],
)  # fmt: skip
def test_settings_that_leave_nothing_to_measure_are_refused(setting, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        StabilitySettings(**setting)
    StabilitySettings(2, 1, 0)
    StabilitySettings(2, 1, 1)


def test_the_stage_writes_the_same_two_tables_every_time(tmp_path: Path) -> None:
    stores = [
        write_text_store(tmp_path / f"{metric}.h5", SPECS, gradients(), predicted(), metric=metric, kept=40)
        for metric in GRADIENT
    ]
    stores.append(write_store(tmp_path / "mag.h5", SPECS, random_scores(SPECS), metric="magnitude"))
    files = []
    for run in ("a", "b"):
        output, weights = tmp_path / run / "stability.csv", tmp_path / run / "weight_stability.csv"
        arguments = ["--stores", *stores, "--draws", 20, "--splits", 10, "--output", output, "--weights", weights]
        assert call_script("stability", *arguments, "--others") == 0
        files.append((output.read_bytes(), weights.read_bytes()))
    assert files[0] == files[1]
    table, listed = read_table(output, STABILITY), read_table(weights, WEIGHT_STABILITY)
    assert list(dict.fromkeys(table["metric"])) == [*GRADIENT, "magnitude"]
    assert list(dict.fromkeys(listed["metric"])) == GRADIENT
    assert len(rows_of(table, method="verdict")) == 4 * 3
    figures = table[table["quantity"].isin(OVERLAPS)]
    assert figures[["value", "low", "high"]].apply(lambda column: column.between(0, 1)).all(axis=None)
