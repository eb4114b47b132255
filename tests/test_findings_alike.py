"""Sentences of the report stay true at ties, of few weights, without texts and where nothing was compared."""

from __future__ import annotations

from typing import Any

import pytest

from critical_weights.report import (
    findings,
    findings_best,
    findings_judged,
    findings_overlap,
    findings_peaks,
    findings_stability,
    tables_judged,
    tables_stability,
)
from critical_weights.report.facts_stability import at_k
from critical_weights.tables.stability import TOO_HIGH
from test_report import RANKING

Row = dict[str, Any]


def peaks(**ratios: float) -> dict[str, Any]:
    return {
        "metrics": {name: {"overall": {"max_over_mean": value, "num_weights": 10}, "concentration": None,
                           "family": "gradient", "clipped": ""} for name, value in ratios.items()},
        "experiments": {f"{name}_run": {"metric": name} for name in ratios},
    }  # fmt: skip


@pytest.mark.parametrize(
    "ratios, told",
    [
        ({"a": 5.0, "b": 5.0}, "The largest a score is 5 times the mean over all 10 weights; by 1 more metric it is as "
         "many times the mean."),
        ({"c": 3.0, "a": 5.0, "b": 5.0}, "The most peaked of 3 metrics is a, level with b: its largest score is 5 "
         "times the mean over all 10 weights; the least peaked is c: its largest score is 3 times the mean over all 10 "
         "weights."),
        ({"a": 5.0, "b": 4.0}, "The most peaked of 2 metrics is a: its largest score is 5 times the mean over all 10 "
         "weights; the least peaked is b: its largest score is 4 times the mean over all 10 weights."),
    ],
    ids=["all", "the first two", "none"],
)  # fmt: skip
def test_scores_that_are_as_peaked_are_not_told_as_most_and_least(ratios, told):
    assert findings_peaks.peak(peaks(**ratios))["text"] == told


def test_pairs_that_all_share_as_many_have_no_least():
    row = {"a": "a", "k": "30", "shared": 4, "share": 4 / 30, "expected": None, "p": None, "complete": True,
           "expected_by_tensor": None, "p_by_tensor": None}  # fmt: skip
    rows = [row | {"b": "b"}, row | {"b": "c"}]
    told = findings_overlap.overlap({"overlap": {"global": rows}})["text"]
    assert told == "Of the first 30 weights by each metric, a and b share 4 (13.3 %), as does 1 more pair."
    rows[1]["shared"] = 3
    assert "least alike of 2 pairs, a and c share 3" in findings_overlap.overlap({"overlap": {"global": rows}})["text"]


def leading(family: str = "static", token: str | None = None) -> dict[str, Any]:
    """Return what the report knows of one metric with one weight."""
    top = {"parameter": "x", "indices": "(0, 0)", "token": token, "sensitivity_score": 2.0, "alone": None}
    metric = {"top": [top], "has_gradient": False, "units": "weight", "overall": {"max_over_median": None},
              "top_exact": 1, "top_of": "run", "family": family}  # fmt: skip
    return {"metrics": {"one": metric}}


@pytest.mark.parametrize("family, sure", [("static", "Exact: the score reads no text, and n"),
                                          ("gradient", "Exact for these texts: n")])  # fmt: skip
def test_the_best_weight_is_exact_for_texts_only_where_some_are_read(family, sure):
    assert findings_best.best(leading(family=family))["sure"] == sure + "o score was estimated by sampling weights."


def correlations(*pairs: tuple[float, int]) -> dict[str, Any]:
    return {"agreement": [
        {"a": f"a{place}", "b": f"b{place}", "quantity": "spearman", "over": "shared", "value": value, "n": n}
        for place, (value, n) in enumerate(pairs)
    ]}  # fmt: skip


def test_pairs_that_share_few_weights_do_not_order_them_most_or_least_alike():
    facts = correlations((0.8, 900), (1.0, 2), (-1.0, 29), (0.5, 30), (0.1, 40))
    found = findings_stability.agreement(facts)
    assert (
        "a0 and b0 (0.8, 900 weights) order theirs most alike, and a4 and b4 (0.1, 40 weights) least, of 3 pairs"
        in (found["text"])
    )
    assert "Left out: 2 pairs that share fewer than 30 weights." in found["sure"]
    assert "Left out" not in findings_stability.agreement(correlations((0.8, 900), (0.5, 30), (0.1, 40)))["sure"]
    assert findings_stability.agreement(correlations((0.8, 900), (0.5, 30), (0.1, 3))) is None


def test_pairs_that_order_as_alike_are_counted():
    text = findings_stability.agreement(correlations((1.0, 900), (1.0, 800), (0.2, 40)))["text"]
    assert "a0 and b0 (1, 900 weights; 1 more pair as much) order theirs most alike, and a2 and b2 (0.2, 40 " in text
    text = findings_stability.agreement(correlations((1.0, 900), (1.0, 800), (1.0, 40)))["text"]
    assert text.endswith("all 3 pairs order theirs as much alike: a0 and b0 have 1 (900 weights).")


def unstable(*found: tuple[str, int, float], texts: int | None = 100, method: str = "halves") -> dict[str, Any]:
    verdicts = [{"metric": metric, "mode": "global", "largest_k": 0, "fails_at": [], "answered_to": None,
                 "threshold": 0.5, "n_texts": texts, "method": method, "note": ""}
                for metric, _, _ in found]  # fmt: skip
    overlaps = [{"metric": metric, "mode": "global", "k": k, "method": method, "value": value, "low": value,
                 "high": value, "expected": 0.01, "n": 100, "note": ""} for metric, k, value in found]  # fmt: skip
    return {"verdicts": verdicts, "overlaps": overlaps, "noise": [], "not_measured": [], "weights": {}}


def test_what_halves_share_is_told_at_the_k_of_each_ranking():
    known = unstable(("grad_squared", 100, 0.4), ("hutchinson_diag", 10, 0.3), ("obd", 100, 0.2))
    told = findings_stability.stability({"stability": known})["text"]
    assert told.endswith(
        "; of their first 100 two halves (or estimates) share 0.4 (0.4 to 0.4) (grad_squared) and 0.2 (0.2 to 0.2) "
        "(obd) of the union, and of their first 10, 0.3 (0.3 to 0.3) (hutchinson_diag)."
    )


def test_halves_are_of_texts_that_were_read():
    known = unstable(("hutchinson_diag", 10, 0.3), texts=None, method="probes")
    sure = findings_stability.stability({"stability": known})["sure"]
    assert "0 texts" not in sure
    assert sure.startswith("Jaccard index (shared over union) of two simulated estimates from probes; in brackets")
    both = unstable(("obd", 10, 0.3))
    both["verdicts"] += known["verdicts"]
    sure = findings_stability.stability({"stability": both})["sure"]
    assert "of two random halves of 100 texts, or of two simulated estimates from probes; in brackets" in sure


def test_an_overlap_that_the_candidates_cannot_answer_stands_for_no_ranking():
    rows = unstable(("obd", 30, 0.3), ("obd", 100, 0.9))["overlaps"]
    rows[1]["note"] = f"each half has N/2 texts; {TOO_HIGH}"
    assert at_k(rows, "obd", "global", 100)["k"] == 30
    assert at_k(rows[1:], "obd", "global", 100) is None
    table = tables_stability.overlaps({"overlaps": rows})
    assert table.columns[-1][0] == "answered by the kept candidates"
    assert [row[-1] for row in table.rows] == ["yes", "no"]


def test_noise_is_told_at_the_largest_k_of_each_metric():
    own = {"value": 0.4, "low": 0.2, "high": 1.1, "significant_share": None}
    noise = [own | {"metric": metric, "k": k} for metric, k in (("obd_hutch", 10), ("obd_hutch", 30), ("hutch", 10))]
    told = findings_stability.noise({"stability": {"noise": noise}})["text"]
    assert told.startswith("By obd_hutch the standard error of the first 30 weights is 40 % of the score in the median")
    assert "; by hutch the standard error of the first 10 weights is 40 %" in told


def positions(**stays: float) -> dict[str, Any]:
    metrics = {name: {"share": 0.1, "n": 50, "overlap": [{"k": 100, "value": value, "kth_over_rest": None}],
                      "fallen": [{"scope": "line", "line": "col", "index": 3, "name": "x", "value": 0.9, "n": 4}]}
               for name, value in stays.items()}  # fmt: skip
    return {"first_position": {"metrics": metrics, "not_available": []}}


def test_the_first_position_has_no_other_end_where_as_much_stays():
    told = findings_stability.first_position(positions(a=0.9, b=0.9))["text"]
    assert "; as much stays by 1 more metric. Of the score by a most falls with it in col 3 of x: 90 %" in told
    assert "; at the other end, 90 %" in findings_stability.first_position(positions(a=0.8, b=0.9))["text"]


STOPPED = {"verdict": "not compared: texts did not stay finite", "nonfinite_texts": 2, "area": -0.4, "area_low": -0.5,
           "area_high": -0.3, "gain_matched": -0.41, "gain_matched_low": -0.5, "gain_matched_high": -0.3,
           "gain_random": -0.42, "gain_random_low": -0.6, "gain_random_high": -0.2, "trust": 1, "spearman": None,
           "n_single": 0}  # fmt: skip


def test_a_ranking_that_was_not_compared_has_no_gain():
    known = {"verdict": [RANKING | STOPPED]}
    told = findings_judged.validation({"validation": known})["text"]
    assert told.endswith(
        "over k from 1 to 10 (2 texts left out whose loss did not stay finite); it is not compared: texts did not stay "
        "finite."
    )
    table = tables_judged.verdict(known)
    at = [[heading for heading, _ in table.columns].index(f"more than {kind} (nats per token)")
          for kind in ("random", "matched")]  # fmt: skip
    assert [table.rows[0][i] for i in at] == ["-", "-"]
    held = {key: value for key, value in STOPPED.items() if key not in ("verdict", "nonfinite_texts")}
    row = tables_judged.verdict({"verdict": [RANKING | held]}).rows[0]
    assert [row[i] for i in at] == ["-0.42 (-0.6 to -0.2)", "-0.41 (-0.5 to -0.3)"]


@pytest.mark.parametrize("other", [{"nonfinite_texts": 3}, {"area": None}, {"area": 0.4}])
def test_no_ranking_hurts_most_beside_one_that_hurts_as_much_or_beyond_measure(other):
    known = {"verdict": [RANKING, RANKING | {"area": 0.1} | other]}
    assert "hurts most" not in findings_judged.validation({"validation": known})["text"]
    assert (
        "hurts most"
        in findings_judged.validation({"validation": {"verdict": [RANKING, RANKING | {"area": 0.1}]}})["text"]
    )


def test_laws_of_several_passes_are_counted_by_pass():
    law = {"law": "x", "status": "passed", "error": 1e-7, "tolerance": 1e-3}
    checks = [{"metrics": [metric], "laws": [law]} for metric in ("grad_squared", "obd")]
    facts = {"checks": checks, "experiments": {"a": {"metric": "grad_squared"}, "b": {"metric": "obd"}}}
    assert findings.laws(facts)["text"].startswith("2 conservation laws can be checked over 2 scoring passes on this")
    facts["checks"] = checks[:1]
    assert findings.laws(facts)["text"].startswith("1 conservation law can be checked on this model, on the gradients")
