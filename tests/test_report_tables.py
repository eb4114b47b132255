"""Tables of the report say what their headings say: of how many, on which texts, in which unit."""

from __future__ import annotations

from typing import Any

import pytest

from critical_weights.report import tables_judged, tables_setup, tables_structure
from critical_weights.report.overview import setup
from critical_weights.report.sheet import Table

Row = dict[str, Any]


def column(table: Table, heading: str) -> list[str]:
    """Return the cells under a heading."""
    place = headings(table).index(heading)
    return [row[place] for row in table.rows]


def headings(table: Table) -> list[str]:
    return [heading for heading, _ in table.columns]


# --- which ranking to trust ------------------------------------------------------------------------------------------

RANKING = {"trust": 1, "metric": "obd", "mode": "global", "intervention": "zero", "verdict": "above controls",
           "wins": 1, "k_low": 10, "k_high": 3000, "k_compared": 3000, "nonfinite_texts": 0, "area": 0.5,
           "area_low": 0.4, "area_high": 0.6, "gain_random": 0.45, "gain_random_low": 0.35, "gain_random_high": 0.55,
           "gain_matched": 0.25, "gain_matched_low": 0.125, "gain_matched_high": 0.375, "spearman": 0.9,
           "spearman_low": 0.8, "spearman_high": 0.95, "n_single": 317, "n_texts": 40, "seeds": 3,
           "draws": 1000}  # fmt: skip
OTHER = RANKING | {"trust": 2, "metric": "wanda", "wins": 0}


def test_the_gain_over_matched_controls_comes_first_and_what_is_the_same_stands_below():
    table = tables_judged.verdict({"verdict": [RANKING, OTHER]})
    assert headings(table) == [
        "trust", "metric", "verdict", "more than matched (nats per token)", "damage (nats per token)",
        "more than random (nats per token)", "better than", "rank correlation with single damage",
    ]  # fmt: skip
    assert table.rows[0] == ["1", "obd", "above controls", "0.25 (0.125 to 0.375)", "0.5 (0.4 to 0.6)",
                             "0.45 (0.35 to 0.55)", "1 of 1", "0.9 (0.8 to 0.95)"]  # fmt: skip
    for words in ("intervention zero", "global", "k from 10 to 3,000", "40 evaluation texts", "317 single weights",
                  "3 seeds", "1,000 draws"):  # fmt: skip
        assert words in table.note
    assert "not finite" not in table.note


@pytest.mark.parametrize(
    "field, value, heading, cells, gone",
    [
        ("mode", "perlayer", "mode", ["global", "perlayer"], "global"),
        ("intervention", "mean", "intervention", ["zero", "mean"], "zero"),
        ("k_compared", 300, "compared up to k", ["3,000", "300"], ""),
        ("k_compared", None, "compared up to k", ["3,000", "-"], ""),
        ("k_high", 300, "k", ["10 to 3,000", "10 to 300"], "k from"),
        ("n_single", 30, "single weights", ["317", "30"], "317"),
        ("n_texts", 30, "evaluation texts", ["40", "30"], "40"),
        ("nonfinite_texts", 2, "texts not finite", ["0", "2"], ""),
        ("seeds", 5, "seeds", ["3", "5"], "3 seeds"),
    ],
)
def test_what_differs_between_rankings_has_its_column(field, value, heading, cells, gone):
    table = tables_judged.verdict({"verdict": [RANKING, OTHER | {field: value}]})
    assert column(table, heading) == cells
    assert not gone or gone not in table.note
    assert heading != "compared up to k" or "Compared up to k" in table.note
    assert heading != "texts not finite" or "nothing is compared" in table.note


def test_a_comparison_that_ends_before_the_last_k_is_told_though_all_end_there():
    table = tables_judged.verdict({"verdict": [row | {"k_compared": 300} for row in (RANKING, OTHER)]})
    assert column(table, "compared up to k") == ["300", "300"]


def test_the_k_at_which_a_ranking_does_not_hurt_more_are_told_where_they_are_known():
    assert "not at k" not in headings(tables_judged.verdict({"verdict": [RANKING, OTHER]}))
    ladder = [LADDER | {"metric": metric, "k": k} for metric in ("obd", "wanda", "taylor_abs")
              for k in ((10, 3000) if metric == "obd" else (10, 30, 100, 3000))]  # fmt: skip
    more = [RANKING | {"metric": "taylor_abs", "not_at": [30, 100, 3000]},
            RANKING | {"not_at": [], "verdict": "not compared: texts did not stay finite"}]  # fmt: skip
    table = tables_judged.verdict(
        {"verdict": [RANKING | {"not_at": []}, OTHER | {"not_at": [10, 3000]}, *more], "ladder": ladder}
    )
    assert column(table, "not at k") == ["none", "10 and 3,000", "30 to 3,000", "-"]
    assert "Not at k: " in table.note


def test_no_ranking_makes_an_empty_table():
    for known in (None, {"verdict": [], "ladder": [], "unchanged": None, "conditions": 0}):
        assert tables_judged.verdict(known).rows == tables_judged.ladder(known).rows == []


LADDER = {"metric": "obd", "mode": "global", "kind": "top", "k": 10, "seed": None, "intervention": "scale",
          "strength": 0.5, "asked": 10, "changed": 10, "unmatched": 0, "dnll": 0.5, "low": 0.4, "high": 0.6,
          "first_order": 0.4, "second_order": 0.45, "kl": 0.1, "agreement": 0.75, "nan_texts": 0, "inf_texts": 0,
          "n_texts": 40}  # fmt: skip


def test_the_ladder_says_on_which_texts_and_where_the_other_conditions_are():
    known = {"ladder": [LADDER, LADDER | {"kind": "matched", "seed": 42, "unmatched": 3}], "conditions": 571,
             "unchanged": {"n_texts": 40, "n_tokens": 2663, "perplexity": 31.0}}  # fmt: skip
    table = tables_judged.ladder(known)
    assert not {"mode", "intervention", "texts not finite"} & set(headings(table))
    assert "KL divergence (nats per token)" in headings(table)
    for words in ("40 evaluation texts (2,663 predicted tokens)", "intervention scale (strength 0.5)", "global",
                  "interventions/interventions.csv holds 571 conditions", "interventions in the config"):  # fmt: skip
        assert words in table.note
    known["ladder"].append(LADDER | {"mode": "perlayer", "nan_texts": 1, "inf_texts": 1, "intervention": "zero",
                                     "strength": None})  # fmt: skip
    table = tables_judged.ladder(known)
    assert column(table, "mode")[2] == "perlayer"
    assert column(table, "intervention") == ["scale (strength 0.5)"] * 2 + ["zero"]
    assert column(table, "texts not finite") == ["0", "0", "2"]


def test_scoring_passes_of_one_outcome_are_not_called_one_pass():
    check = {"metrics": ["obd", "wanda"], "rehearsal": {"status": "not applicable", "reason": "no"}, "laws": []}
    assert headings(tables_judged.rehearsals([check]))[0] == "scores by"


# --- what went in ----------------------------------------------------------------------------------------------------


def part(n: int) -> Row:
    return {"source": "default", "sha256": "ab" * 32, "n_texts": n, "n_tokens": 10 * n, "n_predicted": 9 * n,
            "n_read": n, "n_blank": 0, "n_too_short": 0, "n_cut": 0, "n_duplicates": 0, "n_not_drawn": 0,
            "lengths": {"min": 8, "median": 10.0, "max": 12}}  # fmt: skip


def study(*asked: int, longest: int = 256, positions: int | None = 256, **more: Any) -> Row:
    """Return facts of a study whose experiments asked for texts of so many tokens at most."""
    texts = {"calibration": part(7), "evaluation": part(100), "max_samples": 100, "max_length": longest, "seed": 42,
             "overlap": {"run": 13, "texts": 2, "positions": 5}}  # fmt: skip
    runs = {
        f"r{i}": {"config": {"phase": {"seed": 42} | ({"max_length": n} if n else {})}} for i, n in enumerate(asked)
    }
    model = {"model": "tiny", "max_positions": positions, "n_weights": 50, "n_tensors": 5, "n_layers": 2,
             "analysed": {"n_weights": 50, "n_tensors": 5}}  # fmt: skip
    unchanged = {"n_texts": 40, "n_tokens": 2663, "perplexity": 31.0}
    return {"texts": texts, "experiments": runs, "model": model, "corpus_loss": [], "metrics": {}, "superweights": None,
            "validation": {"verdict": [RANKING, OTHER], "unchanged": unchanged, "conditions": 571}} | more  # fmt: skip


def named(table: Table) -> dict[str, str]:
    return {row[0]: row[1] for row in table.rows}


@pytest.mark.parametrize(
    "facts, told",
    [
        (study(512, 512), "256 (the model's limit; 512 asked for)"),
        (study(256), "256"),
        (study(0), "256"),  # of an earlier version: what was asked for is not recorded
        (study(512, positions=None), "256 (512 asked for)"),
        (study(512, longest=512, positions=1024), "512"),
    ],
)
def test_the_longest_text_is_that_which_the_model_takes_and_what_was_asked_for_stands_beside_it(facts, told):
    assert named(setup(facts))["tokens a text at most"] == told
    assert f"of at most {told} tokens each" in tables_setup.texts(facts["texts"], facts).note


def test_evaluation_texts_that_interventions_used_are_told_apart_from_all():
    facts = study(512)
    whole = named(setup(facts))
    assert whole["evaluation texts"] == "100"
    assert whole["of them used by interventions"] == "40 (2,663 predicted tokens)"
    assert whole["interventions"] == (
        "mode global, intervention zero, k from 10 to 3,000, 3 seeds of each control, 1,000 draws"
    )
    facts["validation"]["verdict"][1] = OTHER | {"mode": "perlayer"}
    assert named(setup(facts))["interventions"].startswith("mode global and perlayer, intervention zero, ")
    rows = {row[0]: row[1:] for row in tables_setup.texts(facts["texts"], facts).rows}
    assert rows["texts used by interventions"] == ["not applicable", "40"]
    off = facts | {"validation": None}
    assert named(setup(off))["of them used by interventions"] == "none: no interventions were made"
    rows = {row[0]: row[1:] for row in tables_setup.texts(off["texts"], off).rows}
    assert rows["texts used by interventions"] == ["not applicable", "0"]


def test_passages_that_both_sets_of_texts_share_are_told():
    facts = study(512)
    assert named(setup(facts))["of them with 13 tokens in a row of a calibration text"] == "2"
    rows = {row[0]: row[1:] for row in tables_setup.texts(facts["texts"]).rows}
    assert rows["texts with 13 tokens in a row of a calibration text"] == ["not applicable", "2"]
    assert "texts used by interventions" not in rows, "not known from the texts alone"
    del facts["texts"]["overlap"]
    assert "in a row of" not in " ".join(named(setup(facts)))
    assert "in a row of" not in " ".join(row[0] for row in tables_setup.texts(facts["texts"]).rows)


def test_settings_say_that_what_was_asked_for_is_not_always_what_was_used():
    assert "phase.max_length" in tables_setup.settings(study(512)["experiments"]).note
    assert "phase.max_length" not in tables_setup.settings(study(0)["experiments"]).note


# --- where the weights lie -------------------------------------------------------------------------------------------


def test_channels_and_neurons_say_of_how_many_weights_theirs_are():
    row = {"selection": "obd_global_k10", "layer": None, "expert": None, "index": 3, "hits": 4, "expected": 0.5,
           "p": 0.1, "weights": 8, "n": 31}  # fmt: skip
    known = {"channels": {"named": [row]}, "neurons": {"named": [row | {"layer": 1}]}}
    assert headings(tables_structure.channels(known))[-1] == "of those selected in blocks"
    assert headings(tables_structure.neurons(known))[-1] == "of those selected in MLPs"
