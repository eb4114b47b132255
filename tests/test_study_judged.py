"""Findings over models and phases on what was judged: true of facts made by hand."""

from __future__ import annotations

from critical_weights.report import study_findings_judged as judged
from critical_weights.report import study_tables_judged as tables
from critical_weights.report.study_gather import repeats
from critical_weights.report.study_words import limits

# --- stability -------------------------------------------------------------------------------------------------------


def ranking(metric, method, largest, value, k=100, mode="global"):
    own = {"metric": metric, "mode": mode, "method": method}
    verdict = own | {"largest_k": largest, "fails_at": [], "answered_to": None, "threshold": 0.5, "n_texts": 100,
                     "note": ""}  # fmt: skip
    low, high = value - 0.125, value + 0.125
    overlap = own | {"k": k, "value": value, "low": low, "high": high, "expected": 0.01, "n": 100, "note": ""}
    return verdict, overlap


def stability(*rankings, **others):
    verdicts, overlaps = zip(*rankings, strict=True)
    known = {"verdicts": list(verdicts), "overlaps": list(overlaps), "not_measured": []}
    return judged.stability({"parts": {"p/m": {"stability": known}} | others, "repeats": {}})


def test_estimates_from_probes_are_not_called_halves():
    text = stability(ranking("hutchinson_diag", "probes", 0, 0.25, 10))["text"]
    assert text.endswith("; of them two halves (or estimates) share 0.25 (0.125 to 0.375) of the union of their first "
                         "10 (hutchinson_diag of p/m).")  # fmt: skip
    text = stability(ranking("obd", "halves", 300, 0.75), ranking("hutchinson_diag", "probes", 0, 0.25))["text"]
    assert "; of the others two halves (or estimates) share 0.25" in text


def test_rankings_that_share_as_much_are_no_range():
    text = stability(*(ranking(name, "halves", 0, 0.25) for name in "abc"))["text"]
    assert text.endswith("share 0.25 (0.125 to 0.375) of the union of their first 100 (a of p/m), and of 2 more as "
                         "large a part.")  # fmt: skip
    text = stability(ranking("a", "halves", 0, 0.25), ranking("b", "halves", 0, 0.25001))["text"]
    assert text.endswith("(b of p/m), and of 1 more as large a part."), "to the digits that are told"
    text = stability(ranking("a", "halves", 0, 0.5), ranking("b", "halves", 0, 0.25))["text"]
    assert "share from 0.5 (0.375 to 0.625) of the union of their first 100 (a of p/m) down to 0.25" in text


def test_stability_links_the_parts_that_are_named():
    none = {"stability": {"verdicts": [], "overlaps": [], "not_measured": []}}
    others = {f"q{i}/m": none for i in range(4)}
    found = judged.stability({
        "parts": others | {"z/m": {"stability": dict(zip(("verdicts", "overlaps"),
                           ([own] for own in ranking("a", "halves", 30, 0.75)), strict=True), not_measured=[])}},
        "repeats": {},
    })  # fmt: skip
    assert found["files"] == ["z/m/analysis/stability.csv"]


# --- what is counted twice -------------------------------------------------------------------------------------------


def part(evaluation, dtype="float32", **own):
    texts = {"sha256": "aa", "seed": 1, "evaluation_sha256": evaluation}
    store = {"store": {"model_dtype": dtype}, "family": "gradient"}
    return {"model": {"sha256": "bb"}, "texts": texts, "metrics": {"obd": store}, "stability": None, "corpus_loss": [],
            "validation": None, "criteria": None} | own  # fmt: skip


def damaged(area):
    row = {"verdict": "above controls", "area": area, "area_low": area, "area_high": area, "metric": "obd",
           "mode": "global", "intervention": "zero", "n_texts": 40, "seeds": 3, "draws": 1000, "nonfinite_texts": 0,
           "trust": 1, "k_low": 10, "k_high": 100, "gain_matched": 0.25, "gain_matched_low": 0.125,
           "gain_matched_high": 0.375}  # fmt: skip
    return {"validation": {"verdict": [row]}}


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
    assert [row[7] for row in table.rows] == ["0.25 (0.125 to 0.375)", "-", "0.25 (0.125 to 0.375)"]
    parts.pop("p2/m")
    assert "Largest change of the loss: 0.5" in judged.validation({"parts": parts, "repeats": {}})["text"]


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


def test_spikes_link_the_parts_that_have_them():
    none, one = ({"superweights": {"weights": own, "texts": 8}} for own in ([], [{"class": "early"}]))
    parts = {f"p{i}/m": none for i in range(4)} | {"p9/m": one}
    found = judged.superweights({"parts": parts, "repeats": {}})
    assert found["files"][0] == "p9/m/analysis/superweights.csv"
