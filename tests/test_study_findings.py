"""Findings over models and phases on facts made by hand: each sentence must be true of what it is made from."""

from __future__ import annotations

import pytest

from critical_weights.across.draws import LEAST_P
from critical_weights.report import study_findings as first
from critical_weights.report import study_findings_across as across


def over(**tables):
    return {"across": {name: {"rows": rows, "reason": ""} for name, rows in tables.items()}, "repeats": {}}


# --- kinds of blocks -------------------------------------------------------------------------------------------------


def kinds(n, p):
    return [{"phase": "p", "model": "m", "metric": f"x{i}", "clusters": 2, "mean_silhouette": 0.99, "p": p, "n": 32,
             "features": 14, "cluster_of_block": [1, 2]} for i in range(n)]  # fmt: skip


@pytest.mark.parametrize("cases", [1, 2, 10, 99])
def test_the_smallest_p_counts_among_that_many_cases(cases):
    found = across.clusters(over(clusters=kinds(cases, LEAST_P)))
    assert f"in {cases} of {cases} cases" in found["text"]
    assert "none can count" not in found["sure"]


def test_kinds_that_no_p_could_show_are_told():
    found = across.clusters(over(clusters=kinds(100, LEAST_P)))
    assert "in 0 of 100 cases" in found["text"]
    assert "nearest to it: 2 kinds by x0 in p/m (p 0.0001, 32 blocks)" in found["text"]
    assert found["sure"].endswith("p below 0.01 / 100. No p is below 0.0001: of so many cases none can count.")


def test_kinds_that_are_not_named_are_counted():
    assert found_text(across.clusters, clusters=kinds(5, LEAST_P)).endswith("and 2 more.")
    assert "nearest to it: 2 kinds by x0" in found_text(across.clusters, clusters=kinds(5, 0.5))
    assert found_text(across.clusters, clusters=kinds(5, 0.5)).endswith("and 2 more.")


def found_text(maker, **tables):
    return maker(over(**tables))["text"]


def test_kinds_of_blocks_in_a_phase_that_repeats_another_are_counted_once_more():
    facts = over(clusters=kinds(2, LEAST_P)) | {"repeats": {"p2/m": "p/m"}}
    assert "Counted twice" not in across.clusters(facts)["sure"], "no row is of it"
    facts["across"]["clusters"]["rows"][1]["phase"] = "p2"
    assert across.clusters(facts)["sure"].endswith(" Counted twice, which makes nothing surer: p2/m repeats p/m.")


# --- checkpoints -----------------------------------------------------------------------------------------------------


def checkpoint(metric, k, share):
    return {"phase": "p2", "run": "bundled", "metric": metric, "model": "a", "step": 80, "last": "b", "k": k,
            "shared": int(k * share), "share": share, "settled": 3, "expected": 1.0, "expected_by_tensor": 1.0,
            "p_by_tensor": 0.1, "loss": 3.0}  # fmt: skip


def test_checkpoints_are_told_each_with_its_k_and_the_others_counted():
    rows = [checkpoint("grad_squared", 100, 0.5), *(checkpoint(m, 1000, 0.2) for m in ("obd", "wanda", "a", "b"))]
    text = found_text(across.checkpoints, checkpoints=rows)
    assert "by grad_squared in bundled (p2, k 100), 50 % at step 80 (3 settled)" in text
    assert "by obd in bundled (p2, k 1,000), 20 % at step 80 (3 settled)" in text
    assert text.endswith("; 2 more.")


# --- models ----------------------------------------------------------------------------------------------------------


def model_row(name, q, tensors=30):
    return {"phase": "p", "metric": "obd", "a": "x", "b": "y", "k": 100, "scope": "component", "name": name,
            "share_a": 0.5, "share_b": 0.25, "expected_a": 0.1, "expected_b": 0.1, "difference": 0.25, "n_a": 100,
            "n_b": 100, "tensors_a": tensors, "tensors_b": tensors, "q_weights": q, "q_lines": q,
            "q_tensors": q}  # fmt: skip


def test_models_that_are_not_named_are_counted():
    text = found_text(across.models, models=[model_row(f"c{i}", 0.001) for i in range(5)])
    assert "5 differ by all three tests: c0 by obd" in text
    assert text.endswith("; 2 more.")


def test_models_of_so_few_tensors_that_none_can_count_are_told():
    found = across.models(over(models=[model_row("c0", 0.001), model_row("c1", 0.03, 4), model_row("c2", 0.03, 4)]))
    assert "1 differs" in found["text"]
    assert "2 of the comparisons could not count: of so few tensors no permutation has a p below 0.01." in found["sure"]
    assert "could not count" not in across.models(over(models=[model_row("c0", 0.5)]))["sure"]


# --- text sets -------------------------------------------------------------------------------------------------------


def task(metric, shared, k=100):
    return {"model": "m", "metric": metric, "a": "p1", "b": "p3", "k": k, "shared": shared, "only": k - shared,
            "jaccard": shared / (2 * k - shared), "expected": 0.5, "p": 0.01}  # fmt: skip


def test_text_sets_that_agree_as_far_are_no_range():
    text = found_text(across.tasks, tasks=[task("obd", 40), task("wanda", 40)])
    assert text.endswith("0.25 (obd of m, p1 and p3: 40 shared, 0.5 by chance), and so has 1 more comparison.")
    near = found_text(across.tasks, tasks=[task("obd", 400_000, 10**6), task("wanda", 400_001, 10**6)])
    assert near.endswith(", and so has 1 more comparison."), "to the digits that are told"
    ends = found_text(across.tasks, tasks=[task("obd", 40), task("wanda", 80), task("mag", 60)])
    assert "0.25 (obd of m" in ends
    assert "to 0.667 (wanda of m, p1 and p3: 80 shared, 0.5 by chance), over 3 comparisons." in ends


# --- phases ----------------------------------------------------------------------------------------------------------


def phase(metric, verdict, differing=0):
    equal = None if verdict.startswith("no check") else float(verdict == "deterministic")
    return {"model": "m", "metric": metric, "a": "p1", "b": "p2", "equal": equal, "verdict": verdict, "tensors": 33,
            "differing": differing, "largest_difference": 0.0, "same_order": 9, "of": 9, "k": 100,
            "jaccard": 1.0}  # fmt: skip


def test_phases_are_told_by_what_differs():
    same, other = phase("obd", "deterministic"), phase("wanda", "not deterministic: differs in checks")
    text = found_text(across.phases, phases=[same, other])
    assert "1 gave the same results bit for bit, 1 did not" in text
    assert "scores" not in text
    assert text.endswith("(wanda of m, p1 and p2: differs in checks; 33 tensors compared, 0 differ).")
    worse = phase("mag", "not deterministic: differs in a.weight and 2 more", 3)
    text = found_text(across.phases, phases=[other, worse, same])
    assert text.endswith("(mag of m, p1 and p2: differs in a.weight and 2 more; 33 tensors compared, 3 differ).")
    text = found_text(across.phases, phases=[same])
    assert text.endswith("0 did not (obd of m, p1 and p2: 33 tensors compared, 0 differ).")


# --- overlap ---------------------------------------------------------------------------------------------------------


def pairs(*shared):
    rows = [{"a": f"a{i}", "b": f"b{i}", "k": 30, "shared": n, "share": n / 30, "expected": 1.0, "complete": True}
            for i, n in enumerate(shared)]  # fmt: skip
    metrics = {side + str(i): {"family": "gradient"} for side in "ab" for i in range(len(shared))}
    return {"parts": {"p/m": {"overlap": {"global": rows}, "metrics": metrics}}}


def test_pairs_that_share_as_many_are_neither_most_nor_least():
    text = first.overlap(pairs(4, 4, 4))["text"]
    assert text == "In p/m, a0 and b0 share 4 of the first 30 weights (13.3 %, 1 by chance), as do 2 more pairs."
    text = first.overlap(pairs(9, 4, 9, 9, 4))["text"]
    assert "a0 and b0 share 9 of the first 30 weights (30 %, 1 by chance), as do 2 more pairs; the least" in text
    assert text.endswith("the least alike of 5 pairs, a4 and b4 share 4 of the first 30 weights (13.3 %, 1 by chance), "
                         "as does 1 more pair.")  # fmt: skip


# --- concentration ---------------------------------------------------------------------------------------------------


def share_of_first(value, component="x", family="gradient"):
    figure = {"at": 0.01, "value": value, "low": value, "high": value}
    by_component = {component: {"score_share": value, "weight_share": 0.1}}
    return {"family": family, "concentration": {"top_share": [figure], "by_component": by_component}}


def test_metrics_between_the_last_two_lie_there_by_their_largest():
    parts = {f"p{i}/m": {"metrics": {"a": share_of_first(0.9), "b": share_of_first(0.8), "c": share_of_first(low),
                                     "d": share_of_first(0.3)}} for i, low in enumerate((0.1, 0.5))}  # fmt: skip
    text = first.concentration({"parts": parts})["text"]
    assert text.endswith("; 1 metric lies between the last two by its largest share.")


def test_shares_that_read_the_same_are_no_range():
    parts = {f"p{i}/m": {"metrics": {"a": share_of_first(0.5 + i / 10**6)}} for i in range(2)}
    assert first.concentration({"parts": parts})["text"].endswith("of the total score, 50 % by a (p0/m and p1/m).")


def test_links_lead_to_the_parts_that_are_named():
    values = [0.5, 0.5, 0.5, 0.9, 0.1]
    parts = {f"p{i}/m": {"metrics": {"a": share_of_first(value)}} for i, value in enumerate(values)}
    facts = {"parts": parts, "repeats": {}}
    assert first.concentration(facts)["files"][:2] == ["p4/m/analysis/concentration.csv",
                                                       "p3/m/analysis/concentration.csv"]  # fmt: skip
    assert first.components(facts)["files"][0] == "p3/m/analysis/concentration.csv"


def test_estimates_from_probes_are_told_apart_from_scores_without_their_noise():
    metrics = {"h": share_of_first(0.9, family="curvature"), "a": share_of_first(0.5), "b": share_of_first(0.25),
               "o": share_of_first(0.125, family="curvature"), "c": share_of_first(0.0625)}  # fmt: skip
    text = first.concentration({"parts": {"p/m": {"metrics": metrics}}})["text"]
    assert text == ("The first 1 % of the weights hold, of the total score, 50 % by a (p/m); 25 % by b (p/m); 6.25 % "
                    "by c (p/m). Of estimates from random probes, whose noise can make scores look more peaked than "
                    "they are, the first 1 % hold 90 % by h (p/m); 12.5 % by o (p/m).")  # fmt: skip
    only = {name: metrics[name] for name in "ho"}
    text = first.concentration({"parts": {"p/m": {"metrics": only}}})["text"]
    assert text.startswith("Of estimates from random probes, whose noise can make scores look more peaked")
    assert text.endswith("the first 1 % hold, of the total score, 90 % by h (p/m); 12.5 % by o (p/m).")


def test_estimates_from_probes_are_named_where_components_lead_by_them():
    parts = {"p/m": {"metrics": {"h": share_of_first(0.9, family="curvature"), "a": share_of_first(0.5, "y")}}}
    found = first.components({"parts": parts, "repeats": {}})
    assert (
        "in x in 1 (at most 90 %, with 10 % of the weights: h, p/m, an estimate from probes) and y in 1 (at most 50 %, "
        "with 10 % of the weights: a, p/m)" in found["text"]
    )
    assert found["sure"].endswith(" The noise of estimates from probes (h) is in their sums.")
    assert (
        "noise"
        not in first.components({"parts": {"p/m": {"metrics": {"a": share_of_first(0.5)}}}, "repeats": {}})["sure"]
    )


def test_noise_of_estimates_is_told_where_metrics_are_compared():
    facts = pairs(9, 4)
    part = facts["parts"]["p/m"]
    assert "noise" not in first.overlap(facts)["sure"]
    part["metrics"]["b0"] = share_of_first(0.5, family="curvature")
    assert first.overlap(facts)["sure"].endswith(
        " The noise of estimates from probes (b0) can lower what they share with other metrics."
    )
    part["metrics"]["a1"] = share_of_first(0.5, family="curvature")
    assert first.overlap(facts)["sure"].endswith(
        " The noise of estimates from probes (a1 and b0) can lower what they share with other metrics; that of the "
        "same probes can raise what they share with each other."
    )
