"""The verdict from made-up tables: areas, wins and words by hand; rank correlation against scipy; no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, spearmanr

from critical_weights.errors import TableError
from critical_weights.report import findings_judged, study_findings_judged, tables_judged
from critical_weights.report.rows import records
from critical_weights.stability.resampling import bootstrap_multiplicities
from critical_weights.tables.interventions import (
    INTERVENTIONS_TABLE,
    SINGLE_SCORES,
    SINGLE_WEIGHTS,
    TEXTS_TABLE,
    VERDICT,
)
from critical_weights.tables.schema import read_table, write_table
from critical_weights.validation.single_agreement import spearman
from critical_weights.validation.verdict import _control_area, verdict_table

TEXTS, KS = 12, (10, 100, 1000)
PREDICTED = np.arange(5, 5 + TEXTS)
LEVELS = {"good": (0.1, 0.2, 0.6), "fair": (0.05, 0.1, 0.2), "bad": (0.0, 0.001, 0.001)}
"""Damage per token of each metric's top k, before noise."""


def made_up(matched: float = 0.01) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the four tables of three metrics; controls of every metric do ``matched`` per token at each k."""
    rng = np.random.default_rng(0)
    rows, changes = [{"part": "unchanged"}], [np.zeros(TEXTS)]
    for metric, levels in LEVELS.items():
        for k, level in zip(KS, levels, strict=True):
            for kind, seed, mean in [("top", None, level)] + [
                (c, s, matched) for c in ("random", "matched") for s in (1, 2)
            ]:
                rows.append({"part": "ladder", "metric": metric, "mode": "global", "kind": kind, "k": k, "seed": seed,
                             "intervention": "zero"})  # fmt: skip
                changes.append(PREDICTED * (mean + 0.001 * rng.standard_normal(TEXTS)))
    table = pd.DataFrame(rows, columns=[c.name for c in INTERVENTIONS_TABLE.columns])
    table = table.assign(condition=range(len(rows)))
    texts = pd.DataFrame(
        {"condition": np.repeat(np.arange(len(rows)), TEXTS), "text": np.tile(np.arange(TEXTS), len(rows)),
         "predicted": np.tile(PREDICTED, len(rows)), "change": np.concatenate(changes)},
    ).reindex(columns=[c.name for c in TEXTS_TABLE.columns])  # fmt: skip
    damage = rng.lognormal(-8, 2, 40) * rng.choice([-1, 1], 40)
    weights = pd.DataFrame(
        {"number": range(40), "dnll": damage, "first_order": 2 * damage, "second_order": -damage / 4}
    )
    weights = weights.reindex(columns=[c.name for c in SINGLE_WEIGHTS.columns])
    scores = {"good": np.abs(damage), "fair": np.abs(damage) * rng.lognormal(0, 1, 40), "bad": -np.abs(damage)}
    long = [pd.DataFrame({"number": range(40), "metric": m, "score": s, "drawn": ["top"] * 2 + ["sample"] * 38})
            for m, s in scores.items()]  # fmt: skip
    return table, texts, weights, pd.concat(long).reindex(columns=[c.name for c in SINGLE_SCORES.columns])


def test_areas_wins_and_words() -> None:
    """Order, areas and gains are those of the made-up damages; each interval holds its value."""
    tables = made_up()
    found = verdict_table(*tables, draws=200, seed=1).set_index("metric")
    assert found.index.tolist() == ["good", "fair", "bad"]
    assert found["wins"].tolist() == [2, 1, 0]
    assert found["trust"].tolist() == [1, 2, 3]
    assert found["verdict"].tolist() == ["above controls", "above controls", "below controls"]
    for metric, levels in LEVELS.items():
        area = (levels[0] + 2 * levels[1] + levels[2]) / 4  # k in equal steps of log k
        row = found.loc[metric]
        assert row["area"] == pytest.approx(area, abs=1e-3)
        assert row["area_matched"] == pytest.approx(0.01, abs=1e-3)
        assert row["gain_matched"] == pytest.approx(row["area"] - row["area_matched"], abs=1e-12)
        for name in ("area", "gain_random", "gain_matched"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert found["seeds"].tolist() == [2, 2, 2]


def test_every_interval_is_that_of_plain_loops() -> None:
    """Quantiles over draws of texts; of a gain also over Student's t of the controls' mean over their seeds."""
    table, texts, *singles = made_up()
    draws, seed = 64, 5
    found = verdict_table(table, texts, *singles, draws=draws, seed=seed).set_index("metric")
    times = bootstrap_multiplicities(TEXTS, draws, seed)
    student = np.random.default_rng([seed, 3]).standard_t(1, draws)

    def area(metric: str, kind: str, number: float | None, weights: np.ndarray) -> float:
        own = table[(table["metric"] == metric) & (table["kind"] == kind)]
        own = own[own["seed"] == number] if number else own
        damage = []
        for condition in own.sort_values("k")["condition"]:
            change = texts.loc[texts["condition"] == condition, "change"].to_numpy()
            damage.append(sum(change * weights) / sum(PREDICTED * weights))
        return (damage[0] + 2 * damage[1] + damage[2]) / 4

    for metric in LEVELS:
        areas = [area(metric, "top", None, own) for own in times]
        expected = {"area": areas}
        for kind in ("random", "matched"):
            plain = [area(metric, kind, number, np.ones(TEXTS)) for number in (1, 2)]
            error = abs(plain[0] - plain[1]) / 2  # s / sqrt(2) of two
            controls = [(area(metric, kind, 1, own) + area(metric, kind, 2, own)) / 2 + error * t
                        for own, t in zip(times, student, strict=True)]  # fmt: skip
            expected[f"gain_{kind}"] = [a - c for a, c in zip(areas, controls, strict=True)]
        for name, drawn in expected.items():
            for end, level in (("low", 0.025), ("high", 0.975)):
                assert found.loc[metric, f"{name}_{end}"] == pytest.approx(np.quantile(drawn, level), rel=1e-9), name


def test_a_verdict_is_wrong_as_seldom_as_it_says() -> None:
    """Selections that do what their controls do on average are told apart from three of these in some 5 %."""
    rng, studies, seeds = np.random.default_rng(3), 400, 3
    told = 0
    for _ in range(studies):
        controls = pd.DataFrame({"seed": range(seeds), "k": 10, "condition": range(1, seeds + 1)})
        damage = np.repeat(rng.standard_normal((seeds + 1, 1)), 501, axis=1)
        damage[0] = 0.0  # the mean that the controls are drawn around; texts tell nothing
        gain = damage[0] - _control_area(damage, controls, seed=1)
        told += not np.quantile(gain[1:], 0.025) <= 0 <= np.quantile(gain[1:], 0.975)
    assert binomtest(told, studies, 0.05).pvalue > 1e-3, told / studies


def test_a_win_needs_the_whole_interval_of_the_difference() -> None:
    """Of two rankings as good as each other neither wins, however far the upper ends lie above 0."""
    table, texts, *singles = made_up()
    conditions = {name: table.index[(table["metric"] == name) & (table["kind"] == "top")] for name in ("good", "fair")}
    for good, fair in zip(conditions["good"], conditions["fair"], strict=True):
        change = texts.loc[texts["condition"] == good, "change"].to_numpy()
        sign = np.where(np.arange(TEXTS) % 2, 0.5, -0.5)
        texts.loc[texts["condition"] == fair, "change"] = change + PREDICTED.mean() * sign
    found = verdict_table(table, texts, *singles, draws=200, seed=1).set_index("metric")
    assert found["wins"].to_dict() == {"good": 1, "fair": 0, "bad": 0}


def test_one_seed_leaves_the_spread_of_controls_out() -> None:
    table, texts, *singles = made_up()
    kept = table[table["seed"] != 2].index
    texts = texts[texts["condition"].isin(kept)]
    number = {old: new for new, old in enumerate(kept)}
    table = table.loc[kept].assign(condition=range(len(kept)))
    texts = texts.assign(condition=texts["condition"].map(number))
    found = verdict_table(table, texts, *singles, draws=100, seed=1)
    assert found["seeds"].tolist() == [1] * 3
    width = found["gain_matched_high"] - found["gain_matched_low"]
    assert (width < 0.01).all()
    assert np.isfinite(width).all()


def test_not_told_apart_from_equal_controls() -> None:
    """Controls that do what a selection does leave its verdict open, in one way or the other word only by noise."""
    found = verdict_table(*made_up(matched=0.00075), draws=200, seed=1).set_index("metric")
    assert found.loc["bad", "verdict"] == "not told apart from controls"


def test_smaller_controls_are_not_held_against_their_selection() -> None:
    """A control of fewer weights, here at the largest k, enters neither gain nor verdict; without any there is none."""
    table, *others = made_up()
    table["asked"] = table["k"]
    whole = verdict_table(table, *others, draws=50, seed=1).set_index("metric")
    assert whole["k_compared"].tolist() == [1000] * 3
    short = table["kind"].isin(["random", "matched"]) & (table["k"] == 1000)
    found = verdict_table(table.assign(asked=table["k"] - short), *others, draws=50, seed=1).set_index("metric")
    assert found["k_compared"].tolist() == [100] * 3
    assert found["k_high"].tolist() == [1000] * 3
    assert found["area"].tolist() == whole["area"].tolist()
    good = found.loc["good"]
    assert good["gain_matched"] == pytest.approx((LEVELS["good"][0] + LEVELS["good"][1]) / 2 - 0.01, abs=2e-3)
    none = verdict_table(table.assign(asked=table["k"] - table["seed"].notna()), *others, draws=50, seed=1)
    assert none["k_compared"].isna().all()
    assert none["gain_matched"].isna().all()
    assert set(none["verdict"]) == {"not compared: no control is as large"}


def test_single_weights() -> None:
    """Correlations leave the top weights out; ratios are medians; the sign of a wrong prediction is wrong."""
    table, texts, weights, scores = made_up()
    found = verdict_table(table, texts, weights, scores, draws=200, seed=1).set_index("metric")
    sample = weights["dnll"].to_numpy()[2:]
    for metric, own in scores.groupby("metric"):
        expected = spearmanr(own["score"].to_numpy()[2:], np.abs(sample)).statistic
        assert found.loc[metric, "spearman"] == pytest.approx(expected)
        assert found.loc[metric, "spearman_low"] <= expected <= found.loc[metric, "spearman_high"]
    assert found.loc["good", "spearman"] == 1
    assert (found["first_order_ratio"] == 2).all()
    assert (found["second_order_ratio"] == 0.25).all()
    assert (found["first_order_sign"] == 1).all()
    assert (found["largest_single"] == weights["dnll"].iloc[:2].max()).all()
    assert (found["n_single"] == 38).all()


def test_spearman_with_ties_against_scipy() -> None:
    """Row by row as scipy has it, ties at their mean rank; a constant row has none."""
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 4, (5, 30)).astype(float), rng.integers(0, 9, (5, 30)).astype(float)
    a[4] = 1
    found = spearman(a, b)
    assert found[:4] == pytest.approx([spearmanr(x, y).statistic for x, y in zip(a[:4], b[:4], strict=True)])
    assert np.isnan(found[4])
    assert np.isnan(spearman(np.zeros((1, 1)), np.zeros((1, 1)))).all()


def test_texts_that_are_not_finite_are_left_out() -> None:
    """An infinite or NaN change of one text costs that text, not the row."""
    table, texts, weights, scores = made_up()
    spoilt = texts.copy()
    spoilt.loc[(spoilt["condition"] == 1) & (spoilt["text"] == 3), "change"] = np.inf
    spoilt.loc[(spoilt["condition"] == 1) & (spoilt["text"] == 4), "change"] = np.nan
    found = verdict_table(table, spoilt, weights, scores, draws=50, seed=1).set_index("metric")
    assert np.isfinite(found["area"]).all()
    assert found.index[0] == "good"
    assert found["nonfinite_texts"].tolist() == [2, 0, 0]
    assert found["verdict"].tolist() == ["not compared: texts did not stay finite", "above controls", "below controls"]
    assert found["wins"].tolist() == [2, 1, 0]


def test_nobody_wins_over_a_row_whose_worst_texts_are_left_out() -> None:
    """The selection that breaks most texts has the smallest mean damage of those that are left."""
    table, texts, weights, scores = made_up()
    condition = table.index[(table["metric"] == "good") & (table["kind"] == "top") & (table["k"] == 1000)][0]
    of_it = texts["condition"] == condition
    texts.loc[of_it, "change"] = np.where(texts.loc[of_it, "text"] < TEXTS - 1, np.inf, -100.0)
    found = verdict_table(table, texts, weights, scores, draws=50, seed=1).set_index("metric")
    assert found.loc["good", "area"] < 0
    assert found.loc["good", "nonfinite_texts"] == TEXTS - 1
    assert found.loc["fair", "wins"] == 1
    assert found.loc["good", "verdict"] == "not compared: texts did not stay finite"


@pytest.mark.parametrize("kind", ["random", "matched"])
def test_a_control_that_breaks_gives_no_verdict(kind: str) -> None:
    table, texts, weights, scores = made_up()
    broken = table.index[(table["metric"] == "good") & (table["kind"] == kind) & (table["k"] == 10)][0]
    texts.loc[(texts["condition"] == broken) & (texts["text"] == 0), "change"] = np.nan
    found = verdict_table(table, texts, weights, scores, draws=50, seed=1).set_index("metric")
    assert found.loc["good", "verdict"] == "not compared: texts did not stay finite"
    assert found.loc["good", "nonfinite_texts"] == 0
    assert found.loc["fair", "verdict"] == "above controls"


def test_a_table_where_nothing_stays_finite_is_written(tmp_path: Path) -> None:
    table, texts, weights, scores = made_up()
    texts["change"] = texts["change"].where(texts["condition"] == 0, np.nan)
    found = verdict_table(table, texts, weights, scores, draws=50, seed=1)
    assert found["area"].isna().all()
    assert found["nonfinite_texts"].tolist() == [TEXTS] * 3
    assert set(found["verdict"]) == {"not compared: texts did not stay finite"}
    assert found["wins"].tolist() == [0] * 3
    write_table(found, tmp_path / VERDICT.name, VERDICT)
    pd.testing.assert_frame_equal(read_table(tmp_path / VERDICT.name, VERDICT), found, check_dtype=False)


def test_a_row_where_nothing_stays_finite_wins_over_nobody_and_comes_last() -> None:
    table, texts, weights, scores = made_up()
    broken = table.index[(table["metric"] == "fair") & (table["kind"] == "top")]
    texts["change"] = texts["change"].mask(texts["condition"].isin(broken))
    found = verdict_table(table, texts, weights, scores, draws=50, seed=1)
    assert found["metric"].tolist() == ["good", "bad", "fair"]
    assert found["wins"].tolist() == [1, 0, 0]
    assert found["area"].isna().tolist() == [False, False, True]


def test_reports_say_what_did_not_stay_finite() -> None:
    """In words for one model and for all of them, with rows that have an area, that lost texts, and that have none."""
    table, texts, weights, scores = made_up()
    broken = table.index[(table["metric"] == "good") & (table["kind"] == "top")]
    some = texts.assign(change=texts["change"].mask(texts["condition"].isin(broken) & (texts["text"] < 2)))
    none = texts.assign(change=texts["change"].where(texts["condition"] == 0))
    told = []
    for own in (some, none):
        rows = records(verdict_table(table, own, weights, scores, draws=50, seed=1))
        known = {"verdict": [row | {"not_at": [], "lowers_at": []} for row in rows], "ladder": []}
        told.append(findings_judged.validation({"validation": known})["text"])
        assert tables_judged.verdict(known).rows[0][-1] == ("2" if own is some else "12")
        study = {"parts": {"p/m": {"validation": known}}, "repeats": []}
        assert "not compared: texts did not stay finite" in study_findings_judged.validation(study)["text"]
    assert "(2 texts left out whose loss did not stay finite)" in told[0]
    assert "it is not compared: texts did not stay finite" in told[0]
    assert "no evaluation text's loss stayed finite" in told[1]


def test_tables_that_do_not_belong_together() -> None:
    """No ladder, or texts of another run: one line."""
    table, texts, weights, scores = made_up()
    with pytest.raises(TableError, match="no ladder"):
        verdict_table(table.iloc[:1], texts, weights, scores)
    with pytest.raises(TableError, match="other conditions"):
        verdict_table(table.iloc[:-1], texts, weights, scores)
