"""What a ranking says and what was measured: a lead, and damage above controls, may hide that the loss falls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from critical_weights.report import findings_best, findings_judged, tables_scores
from critical_weights.report.facts_judged import read_alone, read_validation
from critical_weights.tables.interventions import INTERVENTIONS_TABLE, SINGLE_WEIGHTS, VERDICT
from critical_weights.tables.schema import read_table, write_table
from synthetic_report import write_interventions, write_rows
from synthetic_results import MODEL, finish, make_results
from test_report import RANKING

Row = dict[str, Any]
LABELS = ["gradxw_global_k10"]
ALONE = {"to": 0.0, "change": 0.115, "dnll": -0.0078357, "low": -0.00995388, "high": -0.0057193, "n_texts": 16}


def metric(*alone: Row | None) -> Row:
    """Return what the report knows of a metric whose best weights did this when they were changed alone."""
    row = {"parameter": "lm_head.weight", "component": "lm_head", "layer": None, "row": 1, "col": 53, "expert": None,
           "token": None, "weight": -0.115, "gradient": -0.08}  # fmt: skip
    top = [row | {"rank": i, "indices": f"(1, {i})", "sensitivity_score": 1 / i, "alone": own}
           for i, own in enumerate(alone, 1)]  # fmt: skip
    return {"top": top, "has_gradient": True, "units": "nats per token", "family": "gradient",
            "overall": {"max_over_median": None, "num_weights": 100}, "top_exact": len(top),
            "top_of": LABELS[0]}  # fmt: skip


@pytest.mark.parametrize(
    "alone, words",
    [
        (ALONE, "; set to 0 alone, this weight changes the loss by -0.00784 nats per token (-0.00995 to -0.00572; 16 "
         "evaluation texts): the loss falls."),
        (ALONE | {"dnll": 0.02, "low": 0.01, "high": 0.03}, " by 0.02 nats per token (0.01 to 0.03; 16 evaluation "
         "texts): the loss rises."),
        (ALONE | {"dnll": 0.02, "low": -0.01, "high": 0.03, "n_texts": 1}, " by 0.02 nats per token (-0.01 to 0.03; 1 "
         "evaluation text): whether it rises or falls, these texts cannot tell."),
        (ALONE | {"dnll": 0.0, "low": 0.0, "high": 0.0}, "this weight leaves the loss of 16 evaluation texts as it "
         "is."),
        (ALONE | {"change": 0.0}, "; what was tried on it alone leaves this weight as it is."),
        (ALONE | {"to": -0.25, "dnll": None, "low": None, "high": None}, "; set to -0.25 alone, this weight leaves no "
         "evaluation text with a finite loss."),
        (None, "; what changing it alone does was not measured."),
    ],
    ids=["down", "up", "over 0", "nothing", "as it was", "not finite", "not measured"],
)  # fmt: skip
def test_the_weight_that_leads_is_told_with_what_changing_it_alone_does(alone, words):
    found = findings_best.best({"metrics": {"grad_x_weight": metric(alone)}})
    assert found["text"].endswith(words)
    assert ("interventions/single_weights.csv" in found["files"]) == (alone is not None)


def test_best_weights_stand_beside_what_changing_them_alone_does():
    lost = ALONE | {"dnll": None, "low": None, "high": None}
    table = tables_scores.top("grad_x_weight", metric(ALONE, None, lost))
    at = [heading for heading, _ in table.columns].index("measured alone (nats per token)")
    assert [row[at] for row in table.rows] == ["-0.00784 (-0.00995 to -0.00572)", "not measured", "not finite"]
    assert "Measured alone: change of the mean loss per token on 16 evaluation texts where this weight is set to 0" in (
        table.note
    )
    table = tables_scores.top("grad_x_weight", metric(ALONE, ALONE | {"to": 0.5}))
    assert (
        "where this weight is changed; below 0 the loss falls; in brackets 95 % of bootstrap draws of texts."
        in table.note
    )
    assert "measured alone (nats per token)" not in [c for c, _ in tables_scores.top("x", metric(None)).columns]


def single(number: int, indices: str, **figures: Any) -> Row:
    return {"number": number, "parameter": "model.embed_tokens.weight", "indices": indices, "component": "embed_tokens",
            "weight": 0.5, "change": -0.5, "gradient": 0.1, "first_order": -0.05, "second_order": -0.04, "n_texts": 2,
            "n_tokens": 18} | figures  # fmt: skip


def test_single_weights_are_found_by_their_address(tmp_path):
    assert read_alone(tmp_path) == {}
    rows = [single(0, "(1, 3)", dnll=-0.0625, low=-0.1, high=-0.03), single(1, "(1, 2)")]
    write_rows(rows, tmp_path / SINGLE_WEIGHTS.name, SINGLE_WEIGHTS)
    known = read_alone(tmp_path)
    own = {"to": 0.0, "change": -0.5, "n_texts": 2}
    assert known["model.embed_tokens.weight", "(1, 3)"] == own | {"dnll": -0.0625, "low": -0.1, "high": -0.03}
    assert known["model.embed_tokens.weight", "(1, 2)"] == own | {"dnll": None, "low": None, "high": None}


@pytest.mark.parametrize("interventions", [True, False])
def test_reports_tell_single_weights_where_interventions_belong_to_the_study(tmp_path, interventions):
    from critical_weights.report import write_report
    from synthetic_results import experiments

    root = make_results(tmp_path / "results", LABELS, everything=True)
    finish(root, LABELS)
    folder = root / "p2" / MODEL
    write_interventions(folder)
    first = json.loads((folder / "report" / "quantitative_results.json").read_text())["metrics"]["grad_x_weight"]["top"]
    rows = [single(0, first[0]["indices"], parameter=first[0]["parameter"], dnll=-0.0625, low=-0.1, high=-0.03)]
    write_rows(rows, folder / "interventions" / SINGLE_WEIGHTS.name, SINGLE_WEIGHTS)
    write_report(root, "p2", MODEL, experiments(LABELS), folder / "report", interventions=interventions)
    page = (folder / "report" / "research_summary.md").read_text()
    assert ("| -0.0625 (-0.1 to -0.03) |" in page) == interventions
    of_first = (folder / "report" / "report.html").read_text().partition("First weights of each experiment</span>")[2]
    of_first = of_first.partition('<h2 id="map">')[0]
    assert of_first.count(">-0.0625 <wbr>(-0.1 to -0.03)</td>") == interventions
    assert ("Measured alone: change of the mean loss per token on 2 evaluation texts" in of_first) == interventions
    assert ("by -0.0625 nats per token (-0.1 to -0.03; 2 evaluation texts): the loss falls" in page) == interventions


def ladder(folder: Path, **damage: list[tuple[float, float]]) -> list[Row]:
    """Write interventions in which setting the first k to 0 has these intervals, beside controls of -0.01 to 0.01.

    Returns:
        The verdicts as the report knows them; what is measured at k = 1,000 has smaller controls.

    """
    common = {"part": "ladder", "mode": "global", "intervention": "zero", "condition": 0, "asked": 0, "changed": 0,
              "unchanged": 0, "nonfinite": 0, "unmatched": 0, "agreement": 1.0, "n_texts": 3, "n_tokens": 27,
              "nan_texts": 0, "inf_texts": 0, "collapsed_texts": 0}  # fmt: skip
    rows = []
    for name, intervals in damage.items():
        for k, (low, high) in zip((10, 30, 100, 1000), intervals, strict=False):
            own = common | {"metric": name, "k": k}
            rows.append(own | {"kind": "top", "dnll": low, "low": low, "high": high})
            rows += [own | {"kind": "matched", "seed": seed, "dnll": 0.0, "low": -0.01, "high": 0.005 * seed}
                     for seed in (1, 2)]  # fmt: skip
            rows.append(own | {"kind": "bottom", "dnll": 5.0, "low": 5.0, "high": 5.0})
    write_rows(rows, folder / INTERVENTIONS_TABLE.name, INTERVENTIONS_TABLE)
    verdicts = [{"trust": place, "metric": name, "mode": "global", "intervention": "zero", "verdict": "above controls",
                 "wins": 0, "k_low": 10, "k_high": 1000, "k_compared": 100, "nonfinite_texts": 0, "area": 0.4,
                 "area_low": 0.3, "area_high": 0.5, "gain_matched": 0.3, "gain_matched_low": 0.2,
                 "gain_matched_high": 0.4, "n_single": 0, "n_texts": 3, "seeds": 2, "draws": 50}
                for place, name in enumerate(damage, 1)]  # fmt: skip
    write_rows(verdicts, folder / VERDICT.name, VERDICT)
    return read_validation(folder)["verdict"]


def test_a_verdict_names_the_k_at_which_it_does_not_hold(tmp_path):
    """As grad_x_weight of the bundled model: its first 10 and 30 do no damage, its first 100 to 3,000 much."""
    found = ladder(tmp_path, gradxw=[(-0.0221, -0.0146), (-0.0114, 0.0081), (0.1, 0.2), (0.2, 0.3)],
                   obd=[(0.02, 0.03), (0.0101, 0.04), (0.1, 0.2), (0.2, 0.3)],
                   gradsq=[(0.01, 0.03), (0.02, 0.04), (0.1, 0.2), (0.005, 0.3)])  # fmt: skip
    assert [(row["metric"], row["not_at"], row["lowers_at"]) for row in found] == [
        ("grad_x_weight", [10, 30], [10]), ("obd", [], []), ("grad_squared", [10], []),
    ]  # fmt: skip


def test_beyond_the_last_k_with_whole_controls_only_a_loss_that_falls_is_told(tmp_path):
    (row,) = ladder(tmp_path, obd=[(0.02, 0.03), (0.02, 0.03), (0.02, 0.03), (-0.3, -0.2)])
    assert (row["not_at"], row["lowers_at"]) == ([1000], [1000])


def test_a_loss_of_the_texts_that_are_left_is_not_told_as_falling(tmp_path):
    ladder(tmp_path, obd=[(-0.2, -0.1), (-0.2, -0.1)])
    table = read_table(tmp_path / INTERVENTIONS_TABLE.name, INTERVENTIONS_TABLE)
    table.loc[(table["kind"] == "top") & (table["k"] == 10), "nan_texts"] = 1
    write_table(table, tmp_path / INTERVENTIONS_TABLE.name, INTERVENTIONS_TABLE)
    (row,) = read_validation(tmp_path)["verdict"]
    assert (row["not_at"], row["lowers_at"]) == ([30], [30])


def test_a_verdict_without_the_ladder_behind_it_names_no_k(tmp_path):
    ladder(tmp_path, obd=[(-0.2, -0.1)])
    (tmp_path / INTERVENTIONS_TABLE.name).unlink()
    assert [(row["not_at"], row["lowers_at"]) for row in read_validation(tmp_path)["verdict"]] == [([], [])]


EXCEPTIONS = "At a k it is above controls where its interval lies above that of every matched control"


@pytest.mark.parametrize(
    "own, words",
    [
        ({"not_at": [10, 30], "lowers_at": [10]}, "it is above controls, but not at k = 10, where it lowers the loss, "
         "nor at k = 30"),
        ({"not_at": [10, 3000], "lowers_at": []}, "it is above controls, but not at k = 10 and 3,000"),
        ({"not_at": [10, 30], "lowers_at": [10, 30]}, "it is above controls, but not at k = 10 and 30, where it lowers "
         "the loss"),
        ({"not_at": [], "lowers_at": []}, "it is above controls"),
        ({"not_at": [10, 30], "lowers_at": [30], "verdict": "not told apart from controls"}, "it is not told apart "
         "from controls; at k = 30 it lowers the loss"),
        ({"not_at": [10, 30], "lowers_at": [], "verdict": "below controls"}, "it is below controls"),
    ],
)  # fmt: skip
def test_damage_above_controls_is_told_with_the_k_at_which_it_is_not(own, words):
    found = findings_judged.validation({"validation": {"verdict": [RANKING | own]}})
    assert found["text"].endswith(f"as many others of the same size; {words}.")
    assert (EXCEPTIONS in found["sure"]) == (", but not at" in words)


def test_every_ranking_above_controls_is_told_with_its_exceptions():
    rows = [RANKING, RANKING | {"metric": "grad_x_weight", "area": 0.2, "not_at": [10, 30], "lowers_at": [10]},
            RANKING | {"metric": "obd", "area": 0.1, "not_at": [10], "lowers_at": []},
            RANKING | {"metric": "wanda", "area": 0.1, "not_at": [10], "verdict": "below controls"}]  # fmt: skip
    found = findings_judged.validation({"validation": {"verdict": rows}})
    assert found["text"].endswith(
        "; it is above controls. Of all 4: 3 above controls and 1 below controls. Above, but not at every k: "
        "grad_x_weight (global) not at k = 10, where it lowers the loss, nor at k = 30; obd (global) not at k = 10."
    )
    assert EXCEPTIONS in found["sure"]
    found = findings_judged.validation({"validation": {"verdict": [rows[1], rows[0], rows[3]]}})
    assert found["text"].endswith("; it is above controls, but not at k = 10, where it lowers the loss, nor at k = 30. "
                                  "Of all 3: 2 above controls and 1 below controls.")  # fmt: skip
