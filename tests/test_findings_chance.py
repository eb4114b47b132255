"""What chance and estimates could make of a finding is told beside it: draws, probes, rules, and how many pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from critical_weights.report import (
    findings_best,
    findings_overlap,
    findings_peaks,
    findings_structure,
    findings_tokens,
    tables_analysis,
    tables_structure,
)
from critical_weights.report.analysis import read_overlap
from critical_weights.report.facts_superweights import read_not_searched, read_superweights
from critical_weights.tables.schema import OVERLAP, write_table
from critical_weights.tables.superweights import SPIKE_PROFILE, SUPERWEIGHTS
from synthetic_analysis import table_of
from synthetic_report import super_weight, write_rows
from test_findings_alike import leading, peaks
from test_findings_places import known as structure_of
from test_findings_places import name, selection, token_facts

Row = dict[str, Any]
CAVEAT = "Weights of a row or column are not independent, so that p is too small"


def pairs(folder: Path, *, by_tensor: bool) -> list[Row]:
    """Return the overlaps of three pairs: related, related by their tensors alone, and not related."""
    rows = []
    for b, p, strict in (("wanda", 1e-9, 1e-8), ("obd", 1e-6, 0.3), ("mag", 0.4, 0.5)):
        own = {"tensor": "", "a": "act_mag", "b": b, "k": "30", "shared": 9, "share": 0.3, "jaccard": 0.2,
               "complete": True}  # fmt: skip
        rows.append(own | {"scope": "global", "expected": 0.5, "p": p})
        if by_tensor:
            rows.append(own | {"scope": "global_by_tensor", "expected": 3.75, "p": strict})
    write_table(table_of(OVERLAP, rows), folder / OVERLAP.name, OVERLAP)
    return read_overlap(folder / OVERLAP.name)["global"]


def test_overlap_is_held_against_draws_that_keep_to_the_tensors(tmp_path):
    found = findings_overlap.overlap({"overlap": {"global": pairs(tmp_path, by_tensor=True)}})
    assert "In 2 of 3 pairs more is shared than free draws would share, and in 1 more than draws that hold as many " \
           "of each tensor (hypergeometric, p below 0.01 / 3)." in found["sure"]  # fmt: skip
    assert CAVEAT in found["sure"]
    assert "(30 %; 0.5 expected of free draws, 3.8 of draws tensor by tensor)" in found["text"]


def test_overlap_of_an_earlier_version_is_held_against_free_draws_alone(tmp_path):
    rows = pairs(tmp_path, by_tensor=False)
    found = findings_overlap.overlap({"overlap": {"global": rows}})
    assert (
        "In 2 of 3 pairs more is shared than free draws would share (hypergeometric, p below 0.01 / 3)."
        in (found["sure"])
    )
    assert "(30 %; 0.5 expected of free draws)" in found["text"]
    assert [heading for heading, _ in tables_analysis.overlap(rows).columns][-3:] == ["expected by chance", "p",
                                                                                     "exact"]  # fmt: skip


def test_the_table_of_overlaps_shows_the_stricter_chance(tmp_path):
    table = tables_analysis.overlap(pairs(tmp_path, by_tensor=True))
    headings = [heading for heading, _ in table.columns]
    assert headings[-5:] == ["expected by chance", "p", "expected tensor by tensor", "p tensor by tensor", "exact"]
    assert [row[-5:] for row in table.rows[:2]] == [["0.5", "1e-09", "3.75", "1e-08", "yes"],
                                                    ["0.5", "1e-06", "3.75", "0.3", "yes"]]  # fmt: skip
    assert CAVEAT in table.note
    assert "Tensor by tensor: draws from each tensor apart, as often as it comes in each list" in table.note


def estimated(facts: Row, *names: str, probes: int | None = 10, clipped: str = "", zeros: float = 0.0) -> Row:
    """Return facts in which these metrics are estimates from random probes."""
    for own in names:
        facts["metrics"][own] |= {"family": "curvature", "clipped": clipped}
        facts["metrics"][own]["overall"]["zero_fraction"] = zeros
        facts["experiments"][f"{own}_run"]["config"] = {} if probes is None else {"scoring": {"probes": probes}}
    return facts


def test_estimates_are_not_ranked_among_scores_that_are_none():
    below = "estimates of the curvature below 0"
    facts = estimated(peaks(e=9.0, a=5.0, b=4.0), "e", clipped=below, zeros=0.485)
    found = findings_peaks.peak(facts)
    assert found["text"] == (
        "The most peaked of 2 metrics that are no estimates is a: its largest score is 5 times the mean over all 10 "
        "weights; the least peaked is b: its largest score is 4 times the mean over all 10 weights. Estimated from 10 "
        "random probes: the largest e score is 9 times the mean over all 10 weights, and 48.5 % of its scores are 0, "
        "as estimates of the curvature below 0 count."
    )
    assert found["sure"].endswith(
        " The noise of random probes moves them up or down: figures of estimates are exact for the estimates, not for "
        "what is estimated."
    )
    assert "e_run/sensitivity_stats.json" in found["files"]
    facts = estimated(peaks(e=9.0, f=7.0, a=5.0), "e", "f", probes=None)
    assert findings_peaks.peak(facts)["text"] == (
        "The largest a score is 5 times the mean over all 10 weights. Estimated from random probes: the largest e "
        "score is 9 times the mean over all 10 weights; the largest f score is 7 times the mean over all 10 "
        "weights."
    )


def test_where_all_are_estimates_they_are_ranked_as_such():
    found = findings_peaks.peak(estimated(peaks(e=9.0, f=7.0), "e", "f", clipped="estimates below 0", zeros=0.25))
    assert found["text"] == (
        "The most peaked of 2 metrics, all estimated from 10 random probes, is e: its largest score is 9 times the "
        "mean over all 10 weights, and 25 % of its scores are 0, as estimates below 0 count; the least peaked is f: "
        "its largest score is 7 times the mean over all 10 weights, and 25 % of its scores are 0, as estimates below 0 "
        "count."
    )
    assert "The noise of random probes" in found["sure"]
    assert "noise" not in findings_peaks.peak(peaks(a=5.0, b=4.0))["sure"]


def test_channels_are_told_by_their_chance_and_those_not_told_are_counted():
    totals = [{"metric": f"m{i}", "quantity": "channels_hit", "expected": 0.5} for i in range(8)]
    named = [{"metric": f"m{i}", "index": 58, "hits": 4 + i, "weights": 8, "n": 9, "p": p}
             for i, p in enumerate((1e-4, 1e-5, 1e-12, 1e-7, 1e-9, 0.5))]  # fmt: skip
    facts = {"structure": {"channels": {"totals": totals, "named": named}}}
    told = findings_structure.channels(facts)["text"]
    assert "by 5 of 8 metrics: in 6 blocks by m2 (8 of 9 weights), 8 blocks by m4 (8 of 9 weights), 7 blocks by m3 " \
           "(8 of 9 weights) and so by 2 more." in told  # fmt: skip
    facts["structure"]["channels"]["named"] = named[2:5]
    assert "more." not in findings_structure.channels(facts)["text"]


@pytest.mark.parametrize(
    "metrics, outcome",
    [({"obd": 9}, "1 of 1 (hyper"), ({"obd": 9, "wanda": 9}, "all 2 (hyper"), ({"obd": 5, "wanda": 5}, "none of 2 (hy"),
     ({"obd": 5}, "none of 1 (hyper"), ({"obd": 9, "wanda": 5, "magnitude": 9}, "2 of 3 (hyper")],
)  # fmt: skip
def test_how_many_parts_are_told_apart_from_chance_is_said(tmp_path, metrics, outcome):
    """Of ten weights nine or five lie in one of two equal tensors."""
    names = [name(0), name(1, "k_proj")]
    chosen = [selection(metric, 40, [(names[0], i, i) for i in range(4 * n)] + [(names[1], i, i) for i in
                                                                               range(40 - 4 * n)])
              for metric, n in metrics.items()]  # fmt: skip
    sure = findings_structure.components({"structure": structure_of(tmp_path, chosen, names)})["sure"]
    assert f"Largest parts told apart from chance: {outcome}" in sure


def spikes(folder: Path, rows: list[Row], settings: Row | None) -> Row:
    """Return what the report knows of the tables and the record of a search for super weights."""
    profile = [{"round": 1, "layer": layer, "component": "down_proj", "parameter": f"h.{layer}", "max_input": 7.5,
                "input_col": 2, "input_text": 0, "input_position": 0, "max_output": largest, "output_row": 1,
                "output_text": 0, "output_position": 0, "median_input": 1.5, "median_output": 0.75, "texts": 4,
                "tokens": 41} for layer, largest in enumerate((19.5, 4.25))]  # fmt: skip
    write_rows(profile, folder / "analysis" / SPIKE_PROFILE.name, SPIKE_PROFILE)
    write_rows(rows, folder / "analysis" / SUPERWEIGHTS.name, SUPERWEIGHTS)
    if settings is not None:
        (folder / "spikes.json").write_text(json.dumps({"settings": settings}))
    return read_superweights(folder / "analysis")


RULE = {"ratio": 5.0, "next_ratio": 3.0}


def test_no_super_weight_is_told_beside_the_rule(tmp_path):
    facts = spikes(tmp_path, [], RULE | {"texts": 8, "rounds": 8})
    assert facts["rule"] == RULE
    told = findings_structure.superweights({"superweights": facts})["text"]
    assert told.endswith("times that of the block beside it, where a spike needs at least 5 times the one "
                         "and 3 times the other.")  # fmt: skip


def test_super_weights_are_told_beside_the_rule(tmp_path):
    found = findings_structure.superweights({"superweights": spikes(tmp_path, [super_weight("obd")], RULE)})
    assert "spike needs" not in found["text"]
    assert "A spike is at least 5 times the median of the other blocks' largest outputs, and 3 times the largest of " \
           "the block beside it." in found["sure"]  # fmt: skip


def test_where_the_rule_is_not_recorded_it_is_not_told(tmp_path):
    facts = spikes(tmp_path, [], None)
    assert facts["rule"] is None
    found = findings_structure.superweights({"superweights": facts})
    assert found["text"].endswith("times that of the block beside it.")
    assert "A spike is" not in found["sure"]


@pytest.mark.parametrize("some", [True, False], ids=["some blocks", "no block"])
def test_blocks_where_none_was_looked_for_are_told_with_the_reason(tmp_path, some):
    """Not looked for is not none found."""
    missing = {"2": "its experts are one tensor", "3": "its experts are one tensor"}
    known = spikes(tmp_path, [], RULE)
    (tmp_path / "spikes.json").write_text(json.dumps({"settings": RULE, "not_applicable": missing}))
    facts = {"superweights": known if some else None, "not_searched": read_not_searched(tmp_path / "spikes.json")}
    told = findings_structure.superweights(facts)
    where = "n 2 blocks none was looked for: its experts are one tensor."
    assert told["text"].endswith(f". I{where}" if some else f"Not applicable: i{where}")
    notes = [make(*facts.values()).note for make in (tables_structure.superweights, tables_structure.spikes)]
    begin = "Not looked for in" if some else "Not applicable: nothing was looked for in"
    assert all(f"{begin} 2 blocks: its experts are one tensor." in note for note in notes)
    assert read_not_searched(tmp_path / "gone.json") is None
    assert tables_structure.superweights(None).note == "Not looked for."


def test_the_mark_of_a_leading_space_is_explained_where_it_is_told():
    facts = token_facts(obd=[5, 4, 3])
    rows = facts["tokens"]["first"]
    assert "marks" not in findings_tokens.tokens(facts)["text"]
    rows[1]["token"], rows[2]["token"] = "Ġthe", "Ġa"
    told = findings_tokens.tokens(facts)["text"]
    assert "“Ġthe” in lm_head (4; 1 occurrence in the texts; Ġ marks a leading space) and “Ġa” in lm_head (3; 1 " \
           "occurrence in the texts) hold" in told  # fmt: skip
    assert "(token “▁a”; ▁ marks a leading space)" in findings_best.best(leading(token="▁a"))["text"]
    assert "(token “▁”; ▁ marks a leading space)" in findings_best.best(leading(token="▁"))["text"]
    assert "(token “a▁”) leads" in findings_best.best(leading(token="a▁"))["text"]
