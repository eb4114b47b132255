"""What the report tells of places: of which weights a part is told, at which k, and beside which weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from critical_weights.report import findings_structure, findings_tokens, tables_structure
from critical_weights.report.facts_structure import read_structure
from critical_weights.structure.selections import Selection
from critical_weights.structure.structure import structure_table
from critical_weights.tables.schema import write_table
from critical_weights.tables.structure import STRUCTURE
from synthetic_stores import TensorSpec, facts_of

SIZE = 50
Place = tuple[str, int, int]


def name(layer: int, part: str = "q_proj") -> str:
    """Return a tensor's name."""
    return f"model.layers.{layer}.self_attn.{part}.weight"


def selection(metric: str, k: int, places: list[Place], **more: Any) -> Selection:
    """Return the first k weights by a metric, at these places."""
    rows = [(tensor, str((row, col)), 1.0) for tensor, row, col in places]
    frame = pd.DataFrame(rows, columns=["parameter", "indices", "sensitivity_score"])
    return Selection(f"{metric}_global_k{k}", metric, "global", k, frame, **more)


def known(folder: Path, selections: list[Selection], names: list[str]) -> dict[str, Any]:
    """Return what the report reads of the table on some selections, of a model of square tensors of these names."""
    shape, axes = (SIZE, SIZE), ("row", "col")
    layer = {own: int(own.split(".")[2]) if "layers" in own else None for own in names}
    specs = [TensorSpec(own, shape, layer[own], own.split(".")[-2], "linear", axes) for own in names]
    facts = facts_of(specs) | {"hidden_size": SIZE, "n_layers": max(0, *(n or 0 for n in layer.values())) + 1}
    write_table(structure_table(selections, facts), folder / STRUCTURE.name, STRUCTURE)
    return read_structure(folder)


def text(made: Any, facts: dict[str, Any]) -> str:
    return made({"structure": facts})["text"]


def test_what_lines_hold_is_told_of_the_weights_that_are_not_alone_in_their_tensor(tmp_path):
    """Ten weights on one tensor's diagonal and ninety in as many tensors: five lines of each tensor hold 95 of 100."""
    names = [name(layer) for layer in range(91)]
    places = [(names[0], i, i) for i in range(10)] + [(own, 3, 4) for own in names[1:]]
    facts = known(tmp_path, [selection("magnitude", 100, places)], names)
    told = text(findings_structure.lines, facts)
    assert told.startswith(
        "Of the first weights that share a tensor with others, the five best rows or columns of each"
    )
    assert "hold 50 % (by chance" in told
    assert "by magnitude (10 of the first 100)" in told
    table = tables_structure.lines(facts)
    assert [heading for heading, _ in table.columns[2:4]] == ["weights", "sharing a tensor"]
    assert table.rows[0][2:4] == ["100", "10"]


def test_lines_that_hold_as_much_are_not_told_as_most_and_least(tmp_path):
    one, two = ([(name(0), 3, i) for i in range(n)] for n in (10, 20))
    facts = known(tmp_path, [selection("magnitude", 10, one), selection("obd", 20, two)], [name(0)])
    told = text(findings_structure.lines, facts)
    assert "by magnitude (10 of the first 10), and as large a part by 1 more metric; row 3" in told
    assert "largest" not in told
    other = [(name(0), i, i) for i in range(10)]
    facts = known(tmp_path, [selection("magnitude", 10, one), selection("obd", 20, two),
                             selection("wanda", 10, other)], [name(0)])  # fmt: skip
    told = text(findings_structure.lines, facts)
    assert "by magnitude (10 of the first 10), the largest part of 3 metrics, level with obd, and 50 % (" in told
    assert "by wanda (10 of the first 10), the smallest; row 3" in told


def test_weights_held_are_those_that_no_line_above_holds(tmp_path):
    """Column 0 holds five, one of which the row above holds too."""
    places = [(name(0), 0, j) for j in range(6)] + [(name(0), i, 0) for i in range(1, 5)]
    table = tables_structure.named_lines(known(tmp_path, [selection("magnitude", 10, places)], [name(0)]))
    assert [row[2:5:2] for row in table.rows] == [["row 0", "6"], ["col 0", "4"]]
    assert "Weights held: those that no line of its tensor above it holds" in table.note


def test_components_are_told_at_the_k_of_each_metric(tmp_path):
    names = [name(0), name(1, "k_proj")]
    many = [(names[0], i, j) for i in range(SIZE) for j in range(20)]
    few = [(names[1], 3, j) for j in range(10)]
    facts = known(tmp_path, [selection("obd", 10, few), selection("magnitude", 1000, many)], names)
    told = text(findings_structure.components, facts)
    assert told.startswith(
        "Of the first 1,000 weights over all tensors the largest part lies in q_proj (50 % of the scored weights): "
        "100 % by magnitude; of the first 10, in k_proj (50 % of the scored weights): 100 % by obd. Inside"
    )


def test_components_that_hold_as_much_as_the_first_are_named(tmp_path):
    names = [name(0), name(1, "k_proj"), name(1, "v_proj")]
    places = [(own, i, i) for own in names[:2] for i in range(5)]
    told = text(findings_structure.components, known(tmp_path, [selection("obd", 10, places)], names))
    assert ": 50 % by obd (as much in k_proj; not told apart from chance). " in told


def test_weights_of_score_0_are_told_as_left_out(tmp_path):
    own = selection("obd", 10, [(name(0), i, i) for i in range(10)])
    own.frame.loc[:3, "sensitivity_score"] = 0
    told = text(findings_structure.components, known(tmp_path, [own], [name(0)]))
    assert "100 % by obd (of the 6 with a score above 0; not told apart from chance)" in told


def test_depths_that_are_alike_go_from_nowhere_to_nowhere(tmp_path):
    names = [name(0), name(1)]
    same = [(own, i, i) for own in names for i in range(5)]
    facts = known(tmp_path, [selection("obd", 10, same), selection("magnitude", 10, same)], names)
    assert "last) is 0.5 (10 weights) by obd, as by 1 more metric; the blocks' weights have 0.5." in text(
        findings_structure.components, facts
    )


def test_each_metric_stands_beside_the_weights_that_it_scores(tmp_path):
    """Of two equal tensors one has no activations: what a metric scores alone is no finding."""
    names = [name(0), name(1, "k_proj")]
    places = [(names[0], i, i) for i in range(10)]
    chosen = [selection("magnitude", 10, places), selection("wanda", 10, places, scored=frozenset(names[:1]))]
    facts = known(tmp_path, chosen, names)
    told = text(findings_structure.components, facts)
    assert "q_proj (50 % of the scored weights): 100 % by magnitude" in told
    assert "in q_proj (100 % of the scored weights): 100 % by wanda (not told apart from chance)" in told
    assert told.endswith("; the blocks' scored weights have 0.5 by magnitude and 0 by wanda.")
    table = tables_structure.components(facts)
    assert [heading for heading, _ in table.columns] == [
        "component", "of the weights that magnitude scores", "of the weights that wanda scores",
        "of magnitude_global_k10", "of wanda_global_k10",
    ]  # fmt: skip
    assert table.rows == [["q_proj", "50 %", "100 %", "100 %*", "100 %"], ["k_proj", "50 %", "-", "0 %", "-"]]
    assert tables_structure.layers(facts).rows[-1] == ["mean depth in the blocks", "0.5", "0", "0", "0"]


def test_metrics_of_one_population_stand_beside_one_column(tmp_path):
    places = [(name(0), i, i) for i in range(10)]
    table = tables_structure.components(
        known(tmp_path, [selection("obd", 10, places), selection("magnitude", 10, places)], [name(0)])
    )
    assert [heading for heading, _ in table.columns][:2] == ["component", "of the scored weights"]


def test_channels_without_a_chance_level_are_not_told_as_explained_by_it():
    totals = [{"metric": "obd", "quantity": "channels_hit", "expected": None}]
    named = [{"metric": "obd", "index": 3, "hits": 4, "weights": 8, "n": 9, "p": None}]
    facts = {"structure": {"channels": {"totals": totals, "named": named}}}
    assert findings_structure.channels(facts) is None
    totals[0]["expected"] = 0.5
    assert "no residual channel is hit" in findings_structure.channels(facts)["text"].lower()


def token_facts(**shares: list[int]) -> dict[str, Any]:
    """Return what the report knows of selections of ten weights, so many of them in each token's row."""
    selections, first = {}, []
    for metric, held in shares.items():
        label = f"{metric}_global_k10"
        selections[label] = {"metric": metric, "k": 10, "rows": len(held), "selected": sum(held),
                             "share": sum(held) / 10, "special": 0, "unseen": 0}  # fmt: skip
        first += [{"selection": label, "share": n / 10, "token": f"t{place}", "special": "", "row": place,
                   "component": "lm_head", "selected": n, "count": 1} for place, n in enumerate(held)]  # fmt: skip
    return {"tokens": {"selections": selections, "first": first}, "structure": None}


def test_metrics_with_as_large_a_part_in_one_row_are_named_together():
    told = findings_tokens.tokens(token_facts(obd=[5, 1], wanda=[5], act_mag=[2]))["text"]
    assert "of the first 10 by obd, like wanda a metric with the largest part in one token's row; 60 % of them" in told
    assert "Over 3 metrics the part in token rows goes from 20 % (act_mag) to 60 % (obd)" in told
    told = findings_tokens.tokens(token_facts(obd=[5, 1], wanda=[4, 2]))["text"]
    assert "by obd, the metric with the largest part in one token's row" in told
    assert told.endswith("By each of 2 metrics the same part lies in token rows.")


def test_rows_that_hold_as_much_as_the_last_one_named_are_told():
    told = findings_tokens.tokens(token_facts(obd=[3, 2, 1, 1]))["text"]
    assert " hold the most (others as much as the last of these) of the first 10 by obd" in told
    assert "others" not in findings_tokens.tokens(token_facts(obd=[4, 3, 2, 1]))["text"]


def test_a_part_in_token_rows_is_of_the_weights_with_a_score():
    facts = token_facts(obd=[3])
    facts["tokens"]["selections"]["obd_global_k10"]["share"] = 0.5
    assert "; 50 % of the 6 with a score above 0 lie in 1 row of" in findings_tokens.tokens(facts)["text"]
    assert "; 30 % of them lie in 1 row of" in findings_tokens.tokens(token_facts(obd=[3]))["text"]


def test_a_token_that_has_no_spelling_is_told_by_its_row():
    facts = token_facts(obd=[3])
    facts["tokens"]["first"][0] |= {"token": "", "special": "no token", "row": 50_300}
    assert findings_tokens.tokens(facts)["text"].startswith("The row of number 50,300 (no token) in lm_head (3; 1 occ")


def test_metrics_without_a_weight_in_a_token_row_count_as_least():
    facts = token_facts(obd=[5, 1])
    named = {label: {"metric": label.split("_")[0], "selected": {"value": 10.0}}
             for label in ("obd_global_k10", "wanda_global_k10")}  # fmt: skip
    facts["structure"] = {"close": list(named), "selections": named}
    told = findings_tokens.tokens(facts)["text"]
    assert told.endswith("Over 2 metrics the part in token rows goes from 0 % (wanda) to 60 % (obd).")


def test_a_block_that_stands_over_zero_is_given_no_ratio():
    profile = [{"layer": 0, "max_output": 3.0, "to_median": 2.0, "to_next": None}]
    known_ones = {"profile": profile, "weights": [], "texts": 1, "tokens": 2, "rounds": 1, "rule": None}
    told = findings_structure.superweights({"superweights": known_ones})["text"]
    assert told.endswith("in block 0, 2 times the median of the others' largest.")
