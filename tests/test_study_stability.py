"""How far rankings hold over models and phases: findings, tables, limits and steps, true of facts made by hand."""

from __future__ import annotations

from critical_weights.report import study_findings_judged as judged
from critical_weights.report import study_tables_judged as tables
from critical_weights.report.study_words import limits, next_steps
from study_parts import column, damaged, known, part, ranking


def stability(*rankings, **others):
    return judged.stability({"parts": {"p/m": known(*rankings, **others)}, "repeats": {}})


def test_estimates_from_probes_are_told_apart_from_halves_of_texts():
    text = stability(ranking("hutchinson_diag", "probes", [], 0.25, 10))["text"]
    assert text.endswith(
        "; of them, two simulated estimates from probes share 0.25 (0.125 to 0.375) of the union of the first 10 "
        "(hutchinson_diag of p/m)."
    )
    text = stability(ranking("h", "probes", [], 0.375), ranking("o", "probes", [], 0.25),
                     ranking("obd", "halves", [100], 0.75), ranking("a", "halves", [], 0.5))["text"]  # fmt: skip
    assert text.endswith(
        "; of the others, two halves of the texts share 0.5 (0.375 to 0.625) of the union of the first 100 (a of p/m); "
        "two simulated estimates from probes share from 0.375 (0.25 to 0.5) of the union of the first 100 (h of p/m) "
        "down to 0.25 (0.125 to 0.375) (o of p/m)."
    )


def test_rankings_that_hold_are_told_with_the_k_at_which_they_do():
    text = stability(ranking("a", "halves", [30, 100], 0.75), ranking("b", "halves", [30], 0.75))["text"]
    assert text.endswith("2 hold at some k when the texts or probes change: a of p/m at k = 30 to 100 and b of p/m at "
                         "k = 30 only.")  # fmt: skip
    verdict, overlap = ranking("a", "halves", [30, 100], 0.75)
    text = stability((verdict | {"answered_to": 100}, overlap))["text"]
    assert text.endswith(": a of p/m at k = 30 to 100 (of more the kept candidates cannot tell).")


def test_rankings_that_share_as_much_are_no_range():
    text = stability(*(ranking(name, "halves", [], 0.25) for name in "abc"))["text"]
    assert text.endswith("share 0.25 (0.125 to 0.375) of the union of the first 100 (a of p/m, and 2 more as much).")
    text = stability(ranking("a", "halves", [], 0.25), ranking("b", "halves", [], 0.25001))["text"]
    assert text.endswith("(b of p/m, and 1 more as much)."), "to the digits that are told"
    text = stability(ranking("a", "halves", [], 0.5), ranking("b", "halves", [], 0.25))["text"]
    assert "share from 0.5 (0.375 to 0.625) of the union of the first 100 (a of p/m) down to 0.25" in text


def test_overlaps_at_other_k_are_no_range_either():
    text = stability(ranking("a", "halves", [], 0.5, 30), ranking("b", "halves", [], 0.25))["text"]
    assert text.endswith(
        "; of them, two halves of the texts share 0.5 (0.375 to 0.625) of the union of the first 30 (a of p/m); two "
        "halves of the texts share 0.25 (0.125 to 0.375) of the union of the first 100 (b of p/m)."
    )


def test_what_was_not_drawn_again_is_told():
    both = ranking("obd", "halves", [100], 0.75), ranking("h", "probes", [], 0.375)
    sure = stability(*both, not_measured=[("wanda", "not available: x"), ("mag", "not applicable: uses no text")])[
        "sure"
    ]
    assert (
        "two random halves of 60 texts, which share less than two sets of as many would, or of two simulated "
        "estimates from probes, an upper bound; in brackets 95 % of them"
    ) in sure
    assert sure.endswith(" What other texts would change was not measured for h, of which the probes alone were drawn "
                         "again, nor for wanda.")  # fmt: skip
    sure = stability(both[0])["sure"]
    assert "probes" not in sure
    assert "not measured" not in sure
    assert stability(both[1])["sure"].endswith(" for h, of which the probes alone were drawn again.")
    sure = stability(both[0], not_measured=[("wanda", "not available: x")])["sure"]
    assert sure.endswith(" What other texts would change was not measured for wanda.")


def test_estimates_of_other_seeds_are_of_other_texts_unless_their_note_says_else():
    verdict, overlap = ranking("h", "probes", [], 0.375)
    seeds = overlap | {
        "method": "seeds",
        "note": "seed 1 against 2; other probes; texts that several seeds chose count",
    }
    own = known((verdict, overlap), (verdict, seeds))["stability"]
    own["verdicts"].pop()
    facts = {"parts": {"p/m": {"stability": own}}, "repeats": {}}
    assert "not measured" not in judged.stability(facts)["sure"]
    seeds["note"] = "seed 1 against 2; other probes; the same texts"
    assert "not measured for h, of which" in judged.stability(facts)["sure"]


def test_the_table_tells_the_k_at_which_rankings_hold_and_those_answered():
    rankings = (
        ranking("a", "halves", [30, 100], 0.75),
        ranking("b", "halves", [100], 0.75),
        ranking("h", "probes", [], 0.5),
    )
    table = tables.stability({"parts": {"p/m": known(*rankings)}})
    assert column(table, "holds at k") == ["30 to 100", "100 only", "no k"]
    assert column(table, "k answered") == ["10, 30, 100"] * 3
    assert column(table, "texts") == ["60", "60", "-"]
    assert table.note.endswith(" What simulated estimates share is an upper bound, and says nothing of other texts.")
    assert "upper bound" not in tables.stability({"parts": {"p/m": known(*rankings[:2])}}).note


def test_stability_links_the_parts_that_are_named():
    none = {"stability": {"verdicts": [], "overlaps": [], "not_measured": []}}
    others = {f"q{i}/m": none for i in range(4)}
    found = judged.stability({
        "parts": others | {"z/m": {"stability": dict(zip(("verdicts", "overlaps"),
                           ([own] for own in ranking("a", "halves", [30], 0.75)), strict=True), not_measured=[])}},
        "repeats": {},
    })  # fmt: skip
    assert found["files"] == ["z/m/analysis/stability.csv"]


def test_limits_name_the_metrics_of_which_other_texts_were_not_tried():
    rankings = ranking("obd", "halves", [100], 0.75), ranking("h", "probes", [], 0.375)
    own = part("A") | known(*rankings, not_measured=[("wanda", "not available: x"), ("mag", "not applicable: y")])
    said = "How far other texts would change the rankings by h and wanda was not measured."
    assert said in limits({"parts": {"p/m": own}, "repeats": {}})
    assert "How far" not in " ".join(limits({"parts": {"p/m": part("A") | known(rankings[0])}, "repeats": {}}))


def test_steps_say_of_which_rankings_and_k_they_are():
    own = part("A", **damaged(0.5)) | known(ranking("obd", "halves", [], 0.25)) | {"checks": []}
    facts = {"parts": {"p/m": own}, "repeats": {}, "across": {"criteria": None, "phases": None}}
    assert next_steps(facts) == [
        "Score p/m with more texts before the rankings by obd are read as lists: over all tensors they hold at no k "
        "that the kept candidates answer (p/m/analysis/stability.csv)."
    ]
