"""Tables on stability say at which k a ranking holds, of which it can be told, and of what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from critical_weights.report import tables_stability
from critical_weights.report.facts_stability import at_k, read_stability
from critical_weights.report.overview import metrics
from critical_weights.tables.schema import write_table
from critical_weights.tables.stability import STABILITY, TOO_HIGH
from synthetic_analysis import table_of
from test_report_tables import Row, column, headings

HALVES = "each half has N/2 texts: sets of N texts share more"


def stability(
    folder: Path, lows: dict[int, float], *, metric: str = "taylor_abs", mode: str = "global",
    largest: float | None = 300, notes: dict[int, str] | None = None, method: str = "halves",
) -> Row:  # fmt: skip
    """Return what the report reads of a metric whose first k share at least so much of their union, by k."""
    own = {"metric": metric, "mode": mode, "n_texts": 100, "unit": ""}
    rows = [own | {"k": k, "method": method, "quantity": "jaccard", "value": low + 0.01, "low": low, "high": low + 0.02,
                   "expected": 0.1, "n": 90, "note": (notes or {}).get(k, HALVES)}
            for k, low in lows.items()]  # fmt: skip
    rows.append(own | {"method": "verdict", "quantity": "largest_k", "value": largest, "expected": 0.5,
                       "note": f"by {method}: {HALVES}; not at k = 10"})  # fmt: skip
    write_table(table_of(STABILITY, rows), folder / STABILITY.name, STABILITY)
    known = read_stability(folder)
    assert known is not None
    return known


@pytest.mark.parametrize(
    "lows, largest, told",
    [
        ({10: 0.25, 30: 0.6, 100: 0.6, 300: 0.7}, 300, "30 to 300"),
        ({10: 0.4, 30: 0.45, 100: 0.478, 300: 0.52}, 300, "300 only"),
        ({10: 0.6, 30: 0.6, 100: 0.6, 300: 0.4, 1000: 0.6}, 1000, "10 to 100 and 1,000"),
        ({10: 0.6, 30: 0.4, 100: 0.6, 300: 0.4, 1000: 0.6}, 1000, "10, 100 and 1,000"),
        ({10: 0.6, 30: 0.4, 100: 0.6}, 100, "10 and 100"),
        ({10: 0.3, 30: 0.3}, 0, "no k"),
        ({10: 0.5}, 0, "no k"),  # as much as the threshold is not more
    ],
)
def test_a_ranking_is_said_to_hold_at_those_k_alone_at_which_it_does(tmp_path, lows, largest, told):
    known = stability(tmp_path, lows, largest=largest)
    table = tables_stability.verdicts(known)
    assert column(table, "holds at k") == [told]
    assert "holds up to k" not in headings(table)
    facts = {"stability": known, "validation": None, "metrics": {"taylor_abs": METRIC},
             "model": {"analysed": {"n_weights": 50}}}  # fmt: skip
    assert column(metrics(facts), "holds at k") == [told]


def test_the_k_that_are_answered_are_those_that_the_candidates_answer_in_half_of_the_groups(tmp_path):
    groups = ((10, 9, ""), (30, 9, ""), (100, 5, ""), (300, 4, ""), (1000, 9, f"; {TOO_HIGH}"))
    notes = {k: f"mean over {n} of 9 blocks (the tensors outside them are one); {HALVES}{more}"
             for k, n, more in groups}  # fmt: skip
    known = stability(
        tmp_path, {10: 0.6, 30: 0.6, 100: 0.4, 300: 0.9, 1000: 0.9}, mode="perblock", largest=30, notes=notes
    )
    (verdict,) = known["verdicts"]
    assert (verdict["answered"], verdict["holds_at"], verdict["fails_at"]) == ([10, 30, 100], [10, 30], [])
    assert verdict["answered_to"] == 100
    table = tables_stability.verdicts(known)
    assert (column(table, "k answered"), column(table, "at k")) == (["10 to 100"], ["100"])
    assert at_k(known["overlaps"], "taylor_abs", "perblock", 1000)["k"] == 100


def test_a_verdict_that_no_k_could_give_is_no_no(tmp_path):
    known = stability(tmp_path, {10: 0.9}, largest=None, notes={10: TOO_HIGH})
    table = tables_stability.verdicts(known)
    assert (column(table, "holds at k"), column(table, "k answered")) == (["not known"], ["none"])


def test_what_all_rankings_have_stands_once_below_the_table(tmp_path):
    table = tables_stability.verdicts(stability(tmp_path, {10: 0.25, 30: 0.6}, largest=30))
    assert not {"threshold", "texts", "note"} & set(headings(table))
    assert "above 0.5 and above chance" in table.note
    assert "Halves of the 100 texts share less than two whole sets of 100 would." in table.note


def test_estimates_from_probes_are_said_to_tell_nothing_of_other_texts(tmp_path):
    known = stability(tmp_path, {10: 0.25, 30: 0.3}, largest=0, metric="obd_hutch", method="probes")
    table = tables_stability.verdicts(known)
    assert "two simulated estimates" in column(table, "compared")[0]
    assert "say nothing of other texts" in table.note
    assert "Halves of" not in table.note
    facts = {"stability": known, "validation": None, "metrics": {"obd_hutch": METRIC, "taylor_abs": METRIC},
             "model": {"analysed": {"n_weights": 50}}}  # fmt: skip
    whole = metrics(facts)
    assert column(whole, "two halves (or estimates) share") == ["0.31 (0.3 to 0.32), k 30, estimates", "-"]
    assert "halves share" not in headings(whole)
    assert "of the same texts: what other texts would change was not measured for obd_hutch" in whole.note
    other = stability(tmp_path, {10: 0.25, 30: 0.6}, largest=30)
    whole = metrics(facts | {"stability": other})
    assert column(whole, "two halves (or estimates) share") == ["-", "0.61 (0.6 to 0.62), k 30"]
    assert "not measured for" not in whole.note


METRIC = {
    "concentration": None,
    "overall": {"mean": 1.0, "max": 2.0, "max_over_mean": 2.0},
    "units": "weight",
    "top": [],
}


def test_draws_are_said_to_be_of_texts_or_of_probes():
    own = {
        "n": 10,
        "k": 10,
        "stay": 3,
        "of_draws": 0.95,
        "probability_median": 0.5,
        "probability_min": 0.1,
        "draws": 200,
    }
    table = tables_stability.weights({"weights": {"obd": own | {"method": "bootstrap"},
                                                  "obd_hutch": own | {"method": "probes"}}})  # fmt: skip
    assert column(table, "draws of") == ["texts", "probes"]


def test_a_reason_does_not_stand_under_a_heading_of_figures():
    known = {"metrics": {"obd": {"n": 50, "share": 0.25, "overlap": [{"k": 10, "value": 0.9, "kth_over_rest": None}],
                                 "fallen": []}},
             "not_available": [{"metric": "magnitude", "reason": "the metric reads no text"}]}  # fmt: skip
    table = tables_stability.first_position(known)
    assert column(table, "kept weights") == ["50"]
    assert "Not available: magnitude (the metric reads no text)." in table.note
    assert "Position 0 makes: " in table.note
