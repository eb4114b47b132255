"""Findings over models and phases on what interventions, laws and spikes say: true of facts made by hand."""

from __future__ import annotations

from critical_weights.report import study_findings_judged as judged
from critical_weights.report import study_tables_judged as tables
from critical_weights.report.study_gather import repeats
from critical_weights.report.study_words import limits
from study_parts import column, damaged, part

# --- what is counted twice -------------------------------------------------------------------------------------------


def test_damage_on_other_evaluation_texts_is_not_counted_twice():
    parts = {f"p{i}/m": part(hash_, **damaged(i / 8)) for i, hash_ in enumerate("ABBA", 1)}
    facts = {"parts": parts, "repeats": repeats(parts)}
    assert facts["repeats"] == {"p2/m": "p1/m", "p3/m": "p1/m", "p4/m": "p1/m"}
    sure = judged.validation(facts)["sure"]
    assert sure.endswith(" Counted twice, which makes nothing surer: p3/m repeats p2/m and p4/m repeats p1/m.")
    only = {name: parts[name] for name in ("p1/m", "p2/m")}
    assert "Counted twice" not in judged.validation({"parts": only, "repeats": repeats(only)})["sure"]


def test_criteria_repeat_but_for_other_evaluation_texts():
    row = {"name": "x", "verdict": "pass", "value": 1.0, "test": ">", "threshold": "0"}
    parts = {f"p{i}/m": part(hash_, criteria={"rows": [row]}) for i, hash_ in enumerate("AAB", 1)}
    facts = {"parts": parts, "repeats": repeats(parts), "across": {"criteria": None}}
    assert judged.criteria(facts)["sure"].endswith(
        " Counted twice, which makes nothing surer: p2/m repeats p1/m and p3/m repeats p1/m but for its evaluation "
        "texts."
    )
    said = " ".join(limits(facts))
    assert "p2/m has the model, texts and seed of p1/m. What both say is one piece of evidence." in said
    assert ("p3/m has the model, calibration texts and seed of p1/m, but other evaluation texts. What both say of "
            "scores is one piece of evidence.") in said  # fmt: skip


def test_another_dtype_is_no_repetition():
    assert repeats({"p1/m": part("A"), "p1/half": part("A", "bfloat16")}) == {}


def test_the_largest_change_is_that_of_losses_that_stayed_finite():
    broken = {"verdict": "not compared: texts did not stay finite", "nonfinite_texts": 2}
    whole, part_of = damaged(0.5), damaged(0.25)
    part_of["validation"]["verdict"].append(part_of["validation"]["verdict"][0] | broken | {"metric": "wanda"})
    parts = {"p1/m": part("A", **whole), "p2/m": part("B", **part_of)}
    text = judged.validation({"parts": parts, "repeats": {}})["text"]
    assert "Largest change of the loss where it stayed finite: 0.5 (0.5 to 0.5)" in text
    parts["p2/m"]["validation"]["verdict"].reverse()
    text = judged.validation({"parts": parts, "repeats": {}})["text"]
    assert text.endswith("0.25 (0.25 to 0.25) nats per token by wanda (global, zero; 2 texts left out) in p2/m.")
    table = tables.validation({"parts": parts})
    assert column(table, "more than matched (nats per token)") == [
        "0.25 (0.125 to 0.375)",
        "-",
        "0.25 (0.125 to 0.375)",
    ]
    parts.pop("p2/m")
    assert "Largest change of the loss: 0.5" in judged.validation({"parts": parts, "repeats": {}})["text"]


# --- at which k a ranking is above its controls ----------------------------------------------------------------------


def test_rankings_above_controls_in_the_mean_alone_are_told_with_the_k_at_which_they_are_not():
    parts = {
        "p1/m": part("A", **damaged(0.5, metric="wanda", not_at=[10, 3000], lowers_at=[10])),
        "p2/m": part("B", **damaged(0.25)),
    }
    found = judged.validation({"parts": parts, "repeats": {}})
    assert (
        "2 came out above controls. Of those above, 1 is so in the mean over k, but not at every k: wanda of p1/m "
        "(not at 10 and 3,000; at 10 the loss falls). Largest change of the loss: 0.5 "
    ) in found["text"]
    assert column(tables.validation({"parts": parts}), "not at k") == ["10, 3,000", "none"]
    parts["p1/m"]["validation"]["verdict"][0]["not_at"] = []
    assert "2 came out above controls. Largest change" in judged.validation({"parts": parts, "repeats": {}})["text"]


def test_rankings_that_are_not_above_controls_have_no_k_at_which_they_are_not():
    parts = {"p1/m": part("A", **damaged(0.5, verdict="below controls", not_at=[10]))}
    assert "not at" not in judged.validation({"parts": parts, "repeats": {}})["text"]
    assert column(tables.validation({"parts": parts}), "not at k") == ["-"]


def test_what_a_mean_over_k_and_its_interval_are_of_is_told():
    parts = {"p1/m": part("A", **damaged(0.5)), "p2/m": part("B", **damaged(0.25, k_high=3000))}
    sure = judged.validation({"parts": parts, "repeats": {}})["sure"]
    assert sure.startswith(
        "Mean over log k (10 to 100 and 10 to 3,000) of the change of the mean loss on evaluation "
        "texts (40), none of them a calibration text; in brackets 95 % of 1,000 draws of texts."
    )
    assert ("Above controls: the interval of the difference to as many other weights of the same tensors and decile of "
            "abs(w), over draws of texts and Student's t over 3 seeds, lies above 0") in sure  # fmt: skip
    alone = part("A", **damaged(0.5, verdict="not compared: x"))
    assert "controls" not in judged.validation({"parts": {"p/m": alone}, "repeats": {}})["sure"]


def test_passages_that_evaluation_and_calibration_texts_share_are_a_limit():
    parts = {f"p{i}/m": part("A", **damaged(0.5)) for i in range(3)}
    for name, n in (("p0/m", 2), ("p1/m", 0)):
        parts[name]["texts"] |= {"evaluation": {"n_texts": 100}, "overlap": {"run": 13, "texts": n, "positions": 5}}
    said = "Of the evaluation texts, 2 of 100 in p0/m share 13 tokens in a row with a calibration text."
    assert said in limits({"parts": parts, "repeats": {}})
    parts["p0/m"]["validation"] = None
    assert "tokens in a row" not in " ".join(limits({"parts": parts, "repeats": {}})), "they were not used"


def test_one_k_is_no_range():
    parts = {"p1/m": part("A", **damaged(0.5, k_high=10))}
    assert judged.validation({"parts": parts, "repeats": {}})["sure"].startswith("Mean over log k (10) of")
    assert " k: 10; " in tables.validation({"parts": parts}).note


# --- the table of validation -----------------------------------------------------------------------------------------


def test_settings_that_are_the_same_in_all_rows_are_told_once():
    parts = {f"p{i}/m": part("A", **damaged(i / 8, k_high=k)) for i, k in ((1, 100), (2, 3000))}
    table = tables.validation({"parts": parts})
    headings = [name for name, _ in table.columns]
    assert headings == ["phase and model", "metric", "verdict", "more than matched (nats per token)",
                        "damage (nats per token)", "not at k", "trust", "k"]  # fmt: skip
    assert table.note.endswith(" In all rows: mode: global; intervention: zero; compared up to k: 100; evaluation "
                               "texts: 40; seeds: 3.")  # fmt: skip
    assert column(table, "k") == ["10 to 100", "10 to 3,000"]


def test_a_table_without_rows_keeps_its_headings():
    assert len(tables.validation({"parts": {"p/m": part("A")}}).columns) == 13


# --- laws ------------------------------------------------------------------------------------------------------------


def scored(status=None):
    law = [{"law": "x", "status": status, "error": 1, "tolerance": 0.1}] if status else []
    return {
        "experiments": {"mag_global_k5": {"metric": "magnitude"}, "gradsq_perlayer_k3": {"metric": "grad_squared"}},
        "checks": [{"metrics": ["magnitude"], "laws": [], "rehearsal": None},
                   {"metrics": ["grad_squared"], "laws": law, "rehearsal": None}],
    }  # fmt: skip


def test_laws_link_files_that_hold_them_the_failed_ones_first():
    parts = {f"p{i}/m": scored(status) for i, status in enumerate((None, "passed", "passed", "passed", "failed"))}
    found = judged.laws({"parts": parts, "repeats": {}})
    name = "gradsq_perlayer_k3/sensitivity_stats.json"
    assert found["files"] == [f"p4/m/{name}", f"p1/m/{name}", f"p2/m/{name}"]


def test_metrics_that_no_law_ties_are_named():
    found = judged.laws({"parts": {"p/m": scored("passed")}, "repeats": {}})
    assert found["sure"].endswith(" doubled gradients. No law was checked on the scores by magnitude.")
    parts = {"p/m": scored("not applicable")}
    found = judged.laws({"parts": parts, "repeats": {}})
    assert found["sure"].endswith(" No law was checked on the scores by grad_squared and magnitude.")
    parts["p/m"]["checks"][0]["laws"] = parts["p/m"]["checks"][1]["laws"] = [{"law": "x", "status": "passed"}]
    assert "No law" not in judged.laws({"parts": parts, "repeats": {}})["sure"]
    assert column(tables.checks({"parts": {"p/m": scored("passed")}}), "scores by") == ["magnitude", "grad_squared"]


def test_places_of_spikes_are_told_by_their_kind():
    weights = [{"class": kind, "parameter": "w", "row": 0, "col": 0} for kind in ("last", "early", "early", "")]
    own = {"superweights": {"weights": weights, "texts": 8, "profile": [], "tokens": 9}}
    found = judged.superweights({"parts": {"p/m": own, "q/m": {"superweights": None}}, "repeats": {}})
    text = (
        "Places with an activation spike were found in 1 of 1 pair of phase and model: 3 in p/m (2 early and 1 last)."
    )
    assert found["text"] == text
    assert found["sure"].startswith("An early spike is one that a weight makes, or a few of one column: a super weight")
    assert column(tables.superweights({"parts": {"p/m": own}}), "spikes") == ["3 (2 early and 1 last)"]
    none = {"superweights": {"weights": [], "texts": 8, "profile": [], "tokens": 9}}
    found = judged.superweights({"parts": {"p/m": none}, "repeats": {}})
    assert found["text"] == "Places with an activation spike were found in 0 of 1 pair of phase and model."
    assert found["sure"].startswith("Forward passes")


def test_spikes_link_the_parts_that_have_them():
    none, one = ({"superweights": {"weights": own, "texts": 8}} for own in ([], [{"class": "early"}]))
    parts = {f"p{i}/m": none for i in range(4)} | {"p9/m": one}
    found = judged.superweights({"parts": parts, "repeats": {}})
    assert found["files"][0] == "p9/m/analysis/superweights.csv"
