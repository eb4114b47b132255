from __future__ import annotations

import logging
import math

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.concentration import concentration
from critical_weights.concentration.concentration import TOP_FRACTIONS, concentration_table
from critical_weights.concentration.tail_index import hill_estimates
from critical_weights.errors import StoreError
from critical_weights.tables.schema import CONCENTRATION, read_table
from script_call import call_script
from synthetic_stores import TensorSpec, default_specs, matrix_specs, random_scores, write_store, write_study

SPECS = default_specs()


def slow_gini(values):
    """Return half the mean absolute difference of all pairs, over the mean."""
    values = values.astype(np.float64)
    return np.abs(values[:, None] - values[None, :]).mean() / 2 / values.mean()


def slow_share(values, m):
    return math.fsum(sorted(values.astype(float), reverse=True)[:m]) / math.fsum(values.astype(float))


def everything(scores):
    return np.concatenate([values.ravel() for values in scores.values()])


def rows_of(table, quantity, scope="all"):
    return table[(table["quantity"] == quantity) & (table["scope"] == scope)]


def exact_figures(values):
    """Return the slow twin of each (quantity, at) that stands between bounds."""
    n = len(values)
    figures = {("gini", None): slow_gini(values)}
    for m in range(n + 1):
        figures["lorenz", m / n] = slow_share(values, m)
    for fraction in TOP_FRACTIONS:
        figures["top_share", fraction] = slow_share(values, max(1, math.ceil(fraction * n)))
    return figures


def assert_bounds(table, values, rel=0.0):
    figures = exact_figures(values)
    for row in table[table["quantity"].isin(["gini", "top_share", "lorenz"])].itertuples():
        exact = figures[row.quantity, None if np.isnan(row.at) else row.at]
        assert row.low - 1e-15 <= exact <= row.high + 1e-15, (row, exact)
        assert row.low <= row.value <= row.high
        assert row.high - row.low <= rel, row


def test_with_every_score_the_figures_are_exact(tmp_path):
    scores = random_scores(SPECS, seed=3)
    values = everything(scores)
    table = concentration_table([write_store(tmp_path / "s.h5", SPECS, scores, candidates=5)])
    figures = exact_figures(values)
    for row in table[table["quantity"].isin(["gini", "top_share", "lorenz"])].itertuples():
        assert row.value == pytest.approx(figures[row.quantity, None if np.isnan(row.at) else row.at], rel=1e-12)
        assert row.low == row.value == row.high
    wide = values.astype(float)
    assert rows_of(table, "effective_number")["value"].item() == pytest.approx(wide.sum() ** 2 / (wide**2).sum())
    assert rows_of(table, "max_over_mean")["value"].item() == pytest.approx(wide.max() / wide.mean())
    assert (table.loc[table["scope"] == "all", "weights"] == len(values)).all()
    assert set(table["metric"]) == {"grad_squared"}


def test_shares_by_component_and_layer(tmp_path):
    scores = random_scores(SPECS, seed=3)
    table = concentration_table([write_store(tmp_path / "s.h5", SPECS, scores, dense=False)])
    total, n = everything(scores).astype(float).sum(), len(everything(scores))
    for scope, key in (
        ("component", lambda s: s.component),
        ("layer", lambda s: str(s.layer).replace("None", "outside")),
    ):
        names = list(dict.fromkeys(key(spec) for spec in SPECS if spec.analysed))
        found = rows_of(table, "score_share", scope)
        assert sorted(found["name"]) == sorted(names)
        for name in names:
            own = everything({s.name: scores[s.name] for s in SPECS if s.analysed and key(s) == name})
            row = found[found["name"] == name].iloc[0]
            assert row["value"] == pytest.approx(own.astype(float).sum() / total, rel=1e-12)
            assert row["weights"] == len(own)
            weights = rows_of(table, "weight_share", scope).set_index("name").loc[name, "value"]
            assert weights == pytest.approx(len(own) / n)
    assert list(rows_of(table, "score_share", "layer")["name"]) == ["0", "1", "outside"]


def test_without_the_scores_the_figures_stand_between_tight_bounds(tmp_path):
    specs = matrix_specs(6, (20, 15))
    scores = random_scores(specs, seed=4)
    path = write_store(tmp_path / "s.h5", specs, scores, candidates=20, dense=False)
    table = concentration_table([path])
    assert_bounds(table, everything(scores), rel=0.02)
    gini = rows_of(table, "gini").iloc[0]
    assert 0 < gini["high"] - gini["low"] < 0.002
    # The top twenty of each tensor hold the first twenty of all: exact, but for the rounding that bounds allow.
    top = rows_of(table, "top_share").iloc[-1]
    assert top["high"] - top["low"] < 1e-8


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float32, 30, elements=st.one_of(st.just(0.0), st.floats(2**-90, 1024, width=32),
                                                     st.floats(1, 3, width=32))).filter(lambda v: v.any()),
    candidates=st.integers(1, 12),
    some_dense=st.booleans(),
)  # fmt: skip
def test_bounds_hold_whatever_the_scores(tmp_path_factory, values, candidates, some_dense):
    sizes = (4, 10, 16)
    specs = [TensorSpec(f"t{n}", (n,), None, "x", "other", ("row",)) for n in sizes]
    scores = dict(zip((s.name for s in specs), np.split(values, np.cumsum(sizes)[:-1]), strict=True))
    dense = ["t10"] if some_dense else False
    path = write_store(tmp_path_factory.mktemp("b") / "s.h5", specs, scores, candidates=candidates, dense=dense)
    assert_bounds(concentration_table([path]), values, rel=1.0)


def one_tensor(path, values):
    spec = TensorSpec("t", values.shape, None, "x", "other", ("row",))
    values = values.astype(np.float32)
    return concentration_table([write_store(path, [spec], {"t": values}, candidates=1, dense=False)]), values


def test_scores_at_both_ends_of_their_bin_reach_the_upper_bound(tmp_path):
    table, values = one_tensor(tmp_path / "s.h5", np.repeat([1.08, 1.01], 500))
    row = rows_of(table, "gini").iloc[0]
    assert slow_gini(values) <= row["high"] == pytest.approx(slow_gini(values), rel=1e-3)


def test_smallest_score_and_last_candidate_narrow_the_bins(tmp_path):
    table, values = one_tensor(tmp_path / "s.h5", np.linspace(1.04, 1.03, 300))  # the bin is 1 to 1.09
    row = rows_of(table, "gini").iloc[0]
    assert row["low"] <= slow_gini(values) <= row["high"] < 0.003


@pytest.mark.parametrize("dense", [True, False])
def test_equal_scores_have_a_gini_of_zero_and_one_score_alone_nearly_one(tmp_path, dense):
    specs = matrix_specs(2, (5, 5))
    equal = {spec.name: np.full(spec.shape, 0.1, np.float32) for spec in specs}
    table = concentration_table([write_store(tmp_path / "s.h5", specs, equal, candidates=3, dense=dense)])
    assert rows_of(table, "gini")["value"].item() == pytest.approx(0, abs=1e-9)
    assert rows_of(table, "effective_number")["value"].item() == pytest.approx(50)
    alone = {spec.name: np.zeros(spec.shape, np.float32) for spec in specs}
    alone[specs[1].name][2, 3] = 7
    table = concentration_table([write_store(tmp_path / "s.h5", specs, alone, candidates=3, dense=dense)])
    row = rows_of(table, "gini").iloc[0]
    assert (row["low"], row["value"], row["high"]) == pytest.approx((0.98, 0.98, 0.98), abs=1e-8)
    assert rows_of(table, "max_over_mean")["value"].item() == pytest.approx(50)


def test_beyond_the_limit_of_exact_figures_bounds_stand_in(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    scores = random_scores(SPECS, seed=3)
    path = write_store(tmp_path / "s.h5", SPECS, scores, candidates=20)
    concentration_table([path])
    assert "concentration of grad_squared: exact (every score is known)" in caplog.text
    monkeypatch.setattr(concentration, "EXACT_LIMIT", 347)
    assert_bounds(concentration_table([path]), everything(scores), rel=0.02)
    assert "between bounds (348 weights, 120 of their scores known)" in caplog.text


def test_scores_that_are_all_zero_have_no_concentration_and_it_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    scores = {name: np.zeros_like(values) for name, values in random_scores(SPECS).items()}
    table = concentration_table([write_store(tmp_path / "s.h5", SPECS, scores)])
    assert set(table["quantity"]) == {"weight_share"}
    assert "all 348 scores of grad_squared are 0" in caplog.text


def test_points_of_the_curve_are_the_same_for_every_store_and_run_from_0_to_1(tmp_path):
    folder = write_study(tmp_path, candidates=10, dense=False)
    stores = [folder / "scores/mag.h5", folder / "scores/gradsq.h5"]
    assert call_script("concentration", "--stores", *stores, "--output", folder / "concentration.csv") == 0
    table = read_table(folder / "concentration.csv", CONCENTRATION)
    lorenz = rows_of(table, "lorenz")
    points = [list(part["at"]) for _, part in lorenz.groupby("metric", sort=False)]
    assert points[0] == points[1]
    assert points[0] == sorted(set(points[0]))
    assert (points[0][0], points[0][-1]) == (0, 1)
    for _, part in lorenz.groupby("metric"):
        assert (np.diff(part["value"]) >= 0).all()
        assert (part["value"].iloc[0], part["value"].iloc[-1]) == (0, pytest.approx(1))
    assert list(dict.fromkeys(table["metric"])) == ["magnitude", "grad_squared"]


def test_stores_of_one_metric_or_of_two_models_are_refused(tmp_path):
    scores = random_scores(SPECS)
    own = write_store(tmp_path / "s.h5", SPECS, scores, metric="magnitude")
    with pytest.raises(StoreError, match="magnitude is given twice"):
        concentration_table([own, own])
    other = write_store(tmp_path / "o.h5", SPECS, scores, model="0" * 64)
    with pytest.raises(StoreError, match=r"o\.h5 was made with another model_sha256"):
        concentration_table([own, other])


def test_a_fraction_that_only_rounding_keeps_off_a_whole_number_is_that_number():
    assert concentration._weights(1e-5, 300_000) == 3  # as floats 3.0000000000000004
    assert concentration._weights(1e-6, 8_029_995_008) == 8030
    assert concentration._weights(1e-6, 10) == 1


@pytest.mark.parametrize(
    "damage, message",
    [(lambda g: g.attrs.modify("sum", g.attrs["sum"] * 1.5), "sums of its scores do not fit their histograms"),
     (lambda g: g.attrs.modify("sum", g.attrs["sum"] * 0.5), "sums of its scores do not fit their histograms"),
     (lambda g: g["histogram"].write_direct(g["histogram"][:] + np.eye(1, len(g["histogram"]), dtype=int)[0]),
      "sums of its scores do not fit their histograms"),
     (lambda g: g["histogram"].write_direct(np.roll(g["histogram"][:], 9)), "not in its histogram"),
     (lambda g: g.attrs.modify("zeros", 0), "candidates of lm_head.weight are not in its histogram")],
    ids=["sum too large", "sum too small", "one more", "histogram", "zeros"],
)  # fmt: skip
def test_figures_that_contradict_each_other_are_refused(tmp_path, damage, message):
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS, zeros=0.9), candidates=20, dense=False)
    with h5py.File(path, "r+") as file:
        damage(file["tensors/lm_head.weight"])
    with pytest.raises(StoreError, match=rf"contradicts itself: .*{message}"):
        concentration_table([path])


def slow_quantity(values, quantity, at):
    """Return the figure by a full sort, in the plainest way."""
    ordered = sorted(values.astype(float), reverse=True)
    n = len(ordered)
    median = ordered[::-1][math.ceil(n / 2) - 1]
    if quantity == "median":
        return median
    if quantity == "top_mean_over_median":
        m = max(1, math.ceil(round(at * n, 6)))
        return math.fsum(ordered[:m]) / m / median
    k = int(at)
    return k / math.fsum(math.log(x / ordered[k]) for x in ordered[:k])


NEW = ["median", "top_mean_over_median", "tail_index"]


@pytest.mark.parametrize("dense", [True, False])
def test_median_ratio_and_tail_index_are_those_of_a_full_sort(tmp_path, dense):
    specs = matrix_specs(6, (41, 15))
    scores = random_scores(specs, seed=5)
    values = everything(scores)
    table = concentration_table([write_store(tmp_path / "s.h5", specs, scores, candidates=200, dense=dense)])
    found = table[table["quantity"].isin(NEW)]
    assert list(found.loc[found["quantity"] == "tail_index", "at"]) == [30, 100, 300]
    assert set(found["quantity"]) == set(NEW)
    for row in found.itertuples():
        exact = slow_quantity(values, row.quantity, row.at)
        if row.quantity == "tail_index":
            assert row.value == pytest.approx(exact, rel=1e-12)
            error = pytest.approx(exact / math.sqrt(row.at))
            assert row.high - row.value == error
            assert row.value - row.low == error
        else:
            assert row.low <= exact <= row.high
            assert row.low <= row.value <= row.high
            assert row.high / row.low == pytest.approx(1 if dense else 1.09, abs=1e-12 if dense else 0.03)
            if dense:
                assert row.value == pytest.approx(exact, rel=1e-12)
    spread = rows_of(table, "tail_index_range").iloc[0]
    alphas = found.loc[found["quantity"] == "tail_index", "value"]
    assert (spread["low"], spread["value"], spread["high"]) == (alphas.min(), alphas.median(), alphas.max())


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float32, 30, elements=st.one_of(st.just(0.0), st.floats(2**-90, 1024, width=32),
                                                     st.floats(1, 3, width=32))).filter(lambda v: v.any()),
    candidates=st.integers(1, 12),
)  # fmt: skip
def test_bounds_of_median_and_ratio_hold_whatever_the_scores(tmp_path_factory, values, candidates):
    specs = [TensorSpec(f"t{i}", (15,), None, "x", "other", ("row",)) for i in range(2)]
    scores = {spec.name: part for spec, part in zip(specs, np.split(values, 2), strict=True)}
    table = concentration_table(
        [write_store(tmp_path_factory.mktemp("b") / "s.h5", specs, scores, candidates=candidates, dense=False)]
    )
    median = rows_of(table, "median").iloc[0]
    exact = slow_quantity(values, "median", None)
    assert median["low"] <= exact <= median["high"]
    ratios = rows_of(table, "top_mean_over_median")
    assert len(ratios) == (median["value"] > 0)
    for row in ratios.itertuples():
        assert row.low * (1 - 1e-12) <= slow_quantity(values, row.quantity, row.at) <= row.high * (1 + 1e-12)


def test_the_tail_index_of_a_power_law_is_its_exponent():
    scores = np.sort((np.random.default_rng(0).random(200_000) ** (-1 / 1.5)).astype(np.float32))[::-1]
    for k, alpha in hill_estimates(scores, len(scores)):
        assert alpha == pytest.approx(1.5, abs=4 * 1.5 / math.sqrt(k))
    assert [k for k, _ in hill_estimates(scores, len(scores))] == [30, 100, 300, 1000, 3000, 10_000]
    assert [k for k, _ in hill_estimates(scores[:1000], len(scores))] == [30, 100, 300]  # k + 1 must be known
    assert hill_estimates(np.array([3.0] * 400 + [0.0] * 400, np.float32), 10_000) == []


def test_the_tail_index_uses_no_score_beyond_the_place_where_a_tensor_runs_out(tmp_path):
    specs = matrix_specs(2, (40, 40))
    rng = np.random.default_rng(0)
    high, low = rng.random(1600) + 100, rng.random(1600)
    scores = {s.name: v.astype(np.float32).reshape(40, 40) for s, v in zip(specs, (high, low), strict=True)}
    table = concentration_table([write_store(tmp_path / "s.h5", specs, scores, candidates=200, dense=False)])
    assert list(rows_of(table, "tail_index")["at"]) == [30, 100]  # of 400 candidates only 200 are the first of all


def test_every_figure_stands_beside_that_of_magnitude_over_the_same_weights(tmp_path):
    a, b = random_scores(SPECS, seed=1), random_scores(SPECS, seed=2)
    one = write_store(tmp_path / "a.h5", SPECS, a)
    table = concentration_table([one, write_store(tmp_path / "b.h5", SPECS, b, metric="magnitude")])
    other, null = (table[table["metric"] == m].reset_index(drop=True) for m in ("grad_squared", "magnitude"))
    assert null["magnitude"].equals(null["value"].rename("magnitude"))
    assert other["magnitude"].equals(null["value"].rename("magnitude"))
    assert not np.allclose(other["magnitude"], other["value"])
    assert concentration_table([one])["magnitude"].isna().all()
    fewer = {name: values for name, values in b.items() if name != "lm_head.weight"}
    table = concentration_table([one, write_store(tmp_path / "c.h5", SPECS, fewer, metric="magnitude")])
    whole = table[(table["metric"] == "grad_squared") & (table["scope"] == "all")]
    assert whole["magnitude"].isna().all()  # of other weights
    own = table[(table["metric"] == "grad_squared") & (table["name"] == "q_proj")]
    assert own["magnitude"].notna().all()
