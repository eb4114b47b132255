from __future__ import annotations

import json
import logging

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.concentration.quantiles import QUANTILES, estimated_quantiles, exact_quantiles
from critical_weights.errors import RankingError
from critical_weights.ranking import selection_stats
from critical_weights.ranking.ranking import rank, read_ranking
from critical_weights.ranking.selection_stats import summarise
from critical_weights.store.histogram import histogram_edges
from critical_weights.store.read import open_store
from critical_weights.tables.schema import TOP_WEIGHTS, write_table
from script_call import call_script
from synthetic_stores import (
    VOCABULARY,
    default_specs,
    facts_of,
    matrix_specs,
    random_scores,
    write_store,
    write_study,
)

SPECS = default_specs()
ANALYSED = [spec for spec in SPECS if spec.analysed]


def stats_of(path, mode="perlayer", k=4, specs=SPECS):
    with open_store(path) as store:
        ranking = rank(store, facts_of(specs), VOCABULARY, mode, k)
        return summarise(store, ranking, facts_of(specs), mode, k), ranking


def slow_quantile(values, q):
    """Return the smallest score with at least q of all scores <= it, by counting."""
    return min(v for v in values if np.mean(values <= v) >= q)


def slow_moments(values):
    values = values.astype(np.float64)
    quantiles = {name: slow_quantile(values, q) for name, q in QUANTILES.items()}
    return {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max(), **quantiles}


def test_figures_over_all_weights_are_those_of_the_scores(tmp_path):
    scores = random_scores(SPECS, seed=2)
    stats, _ = stats_of(write_store(tmp_path / "s.h5", SPECS, scores, candidates=5))
    everything = np.concatenate([values.ravel() for values in scores.values()])
    zeros = float(np.mean(everything == 0))
    expected = slow_moments(everything) | {"num_weights": 348, "num_tensors": 6, "zero_fraction": zeros}
    assert stats["overall"] == pytest.approx(expected, rel=1e-12)
    assert list(stats["tensors"]) == [spec.name for spec in ANALYSED]
    for spec in ANALYSED:
        own = stats["tensors"][spec.name]
        numbers = {key: own[key] for key in slow_moments(scores[spec.name].ravel())}
        assert numbers == pytest.approx(slow_moments(scores[spec.name].ravel()), rel=1e-12)
        assert own["zero_fraction"] == np.mean(scores[spec.name] == 0)
        assert (own["num_weights"], own["shape"]) == (spec.numel, list(spec.shape))
        assert (own["layer"], own["component"], own["selected"]) == (spec.layer, spec.component, 4)
    assert stats["quantiles"] == {"method": "exact", "relative_error": 0.0}
    assert (stats["metric"], stats["units"]) == ("grad_squared", "(nats per token / weight)^2")


def test_quantiles_from_the_histogram_are_within_the_stated_error(tmp_path):
    specs = matrix_specs(5, (40, 30))
    scores = random_scores(specs, seed=2, zeros=0.1)
    path = write_store(tmp_path / "s.h5", specs, scores, candidates=20, dense=False)
    stats, _ = stats_of(path, specs=specs)
    bound = stats["quantiles"]["relative_error"]
    assert stats["quantiles"]["method"] == "histogram"
    assert 0 < bound < 0.0455
    everything = np.concatenate([values.ravel() for values in scores.values()])
    figures = [(stats["overall"], everything)] + [(stats["tensors"][s.name], scores[s.name].ravel()) for s in specs]
    for got, values in figures:
        for name, q in QUANTILES.items():
            assert got[name] == pytest.approx(slow_quantile(values, q), rel=bound)
    assert stats["overall"]["mean"] == pytest.approx(everything.astype(float).mean(), rel=1e-12)
    # The 99 % quantile of 1200 scores is the 13th largest: a candidate, so exact.
    assert stats["tensors"][specs[0].name]["p99"] == slow_quantile(scores[specs[0].name].ravel(), 0.99)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float32, st.integers(1, 60), elements=st.one_of(st.just(0.0), st.floats(0, 2**90, width=32))),
    st.integers(0, 60),
)
def test_estimated_quantiles_are_within_the_error_they_state(values, known):
    counts = np.histogram(values[values > 0].astype(np.float64), histogram_edges())[0]
    top = np.sort(values)[::-1][:known]
    estimate = estimated_quantiles(counts, int((values == 0).sum()), float(values.min()), float(values.max()), top)
    exact = exact_quantiles(values)
    for name, q in QUANTILES.items():
        assert exact.values[name] == slow_quantile(values, q)
        assert estimate.values[name] == pytest.approx(exact.values[name], rel=estimate.relative_error + 1e-12, abs=0)


def test_the_smallest_and_largest_score_narrow_an_estimate():
    values = np.linspace(1.03, 1.04, 200, dtype=np.float32)  # the bin is 1 to 1.09
    counts = np.histogram(values, histogram_edges())[0]
    estimate = estimated_quantiles(counts, 0, float(values[0]), float(values[-1]), np.empty(0, np.float32))
    assert 0 < estimate.relative_error < 0.006
    assert all(1.03 < value < 1.04 for value in estimate.values.values())


def test_the_choice_between_exact_and_estimated_is_logged(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "critical_weights")
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS))
    stats_of(path)
    assert "exact (all 348 scores are kept)" in caplog.text
    monkeypatch.setattr(selection_stats, "EXACT_LIMIT", 300)
    assert stats_of(path)[0]["quantiles"]["method"] == "histogram"
    assert "from the histogram (348 weights, more than 300)" in caplog.text
    stats_of(write_store(tmp_path / "s.h5", SPECS[:3], random_scores(SPECS[:3]), dense=False), specs=SPECS[:3])
    assert "from the histogram (not every score is kept)" in caplog.text


def test_the_selection_is_told_apart_from_all_weights(tmp_path):
    scores = random_scores(SPECS, seed=4)
    stats, ranking = stats_of(write_store(tmp_path / "s.h5", SPECS, scores), "global", 9)
    chosen = np.sort(np.concatenate([v.ravel() for v in scores.values()]).astype(np.float64))[-9:]
    selection = stats["selection"]
    total = sum(v.sum(dtype=np.float64) for v in scores.values())
    expected = {"threshold": chosen[0], "share_of_score": chosen.sum() / total, "max": chosen[-1], "min": chosen[0],
                "mean": chosen.mean(), "median": chosen[4]}  # fmt: skip
    assert {key: selection[key] for key in expected} == pytest.approx(expected, rel=1e-12)
    assert (selection["mode"], selection["k"], selection["num_weights"]) == ("global", 9, 9)
    assert selection["num_tensors"] == ranking["parameter"].nunique()
    components = ["embed_tokens", "q_proj", "c_fc", "down_proj", "lm_head"]
    assert list(selection["by_component"]) == components
    assert list(selection["by_layer"]) == ["0", "1", "outside"]
    for name in components:
        n = int((ranking["component"] == name).sum())
        assert selection["by_component"][name] == {"num_weights": n, "share_of_selection": n / 9}
    outside = int(ranking["layer"].isna().sum())
    assert selection["by_layer"]["outside"] == {"num_weights": outside, "share_of_selection": outside / 9}
    assert sum(place["num_weights"] for place in selection["by_layer"].values()) == 9


def test_the_histogram_counts_all_weights_by_component(tmp_path):
    scores = random_scores(SPECS, seed=4)
    stats, _ = stats_of(write_store(tmp_path / "s.h5", SPECS, scores, dense=False))
    histogram = stats["histogram"]
    for component in ("embed_tokens", "q_proj", "c_fc", "down_proj", "lm_head"):
        values = np.concatenate([scores[s.name].ravel() for s in ANALYSED if s.component == component]).astype(float)
        assert histogram["counts"][component] == np.histogram(values, histogram["edges"])[0].tolist()
        assert histogram["zeros"][component] == np.sum(values == 0)
        assert sum(histogram["counts"][component]) + histogram["zeros"][component] == len(values)
    both_ends = np.sum(list(histogram["counts"].values()), axis=0)[[0, -1]]
    assert (both_ends > 0).all()


def test_scores_that_are_all_zero_give_numbers_and_no_nan(tmp_path):
    scores = {name: np.zeros_like(values) for name, values in random_scores(SPECS).items()}
    stats, _ = stats_of(write_store(tmp_path / "s.h5", SPECS, scores, dense=False))
    json.dumps(stats, allow_nan=False)
    assert (stats["overall"]["std"], stats["selection"]["share_of_score"]) == (0.0, 0.0)
    assert stats["histogram"]["edges"] == []
    assert stats["quantiles"] == {"method": "exact", "relative_error": 0.0}


def test_equal_scores_have_a_deviation_of_zero_whatever_the_rounding(tmp_path):
    scores = {name: np.full_like(values, 0.1) for name, values in random_scores(SPECS).items()}
    path = write_store(tmp_path / "s.h5", SPECS, scores)
    with h5py.File(path, "r+") as file:
        for group in file["tensors"].values():
            group.attrs["sum_sq"] = group.attrs["sum_sq"] * (1 - 1e-15)
    assert stats_of(path)[0]["overall"]["std"] == 0.0


def test_the_order_of_the_rows_changes_nothing(tmp_path):
    folder = write_study(tmp_path, metrics=["grad_squared"])
    store = folder / "scores/gradsq.h5"
    _, ranking = stats_of(store)
    arguments = ["--store", store, "--facts", folder / "model.json", "--mode", "perlayer", "--k", 4]
    for name, rows in (("ranked", ranking), ("shuffled", ranking.sample(frac=1, random_state=3))):
        write_table(rows, folder / f"{name}.csv", TOP_WEIGHTS)
        status = call_script(
            "summarise", *arguments, "--ranking", folder / f"{name}.csv", "--output", folder / f"{name}.json"
        )
        assert status == 0
    assert (folder / "ranked.csv").read_bytes() != (folder / "shuffled.csv").read_bytes()
    assert (folder / "ranked.json").read_bytes() == (folder / "shuffled.json").read_bytes()
    with open_store(store) as opened:  # also without the reader, which puts the rows in order
        facts = facts_of(SPECS)
        in_order = summarise(opened, read_ranking(folder / "ranked.csv"), facts, "perlayer", 4)
        assert summarise(opened, ranking.sample(frac=1, random_state=5), facts, "perlayer", 4) == in_order


@pytest.mark.parametrize("mode, k", [("perlayer", 4), ("global", 30)])
def test_a_ranking_of_other_scores_is_refused(tmp_path, mode, k):
    own = write_store(tmp_path / "a.h5", SPECS, random_scores(SPECS, seed=2), candidates=5)
    other = write_store(tmp_path / "b.h5", SPECS, random_scores(SPECS, seed=3), candidates=5)
    with open_store(own) as store, open_store(other) as wrong:
        ranking = rank(store, facts_of(SPECS), VOCABULARY, mode, k)
        summarise(store, ranking, facts_of(SPECS), mode, k)
        with pytest.raises(RankingError, match=r"the ranking's scores of .* are not the best of .*b\.h5"):
            summarise(wrong, ranking, facts_of(SPECS), mode, k)


def test_a_ranking_of_another_model_is_refused_with_near_names(tmp_path):
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS))
    _, ranking = stats_of(path)
    ranking["parameter"] = ranking["parameter"].replace("lm_head.weight", "lm_heads.weight")
    with (
        open_store(path) as store,
        pytest.raises(RankingError, match=r"lm_heads\.weight.*Did you mean lm_head\.weight"),
    ):
        summarise(store, ranking, facts_of(SPECS), "perlayer", 4)
