"""Findings from the tables over all experiments: determinism, models, text sets, training, kinds of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..across.draws import LEAST_P, least_p_of_permutation
from ..significance import SIGNIFICANT
from .finding import Finding, finding
from .show import chance, count, listed, plural, real, share
from .study_across import UNITS
from .study_facts import again, some

Row = Mapping[str, Any]


def _rows(facts: Mapping[str, Any], table: str) -> list[Row]:
    known = facts["across"][table]
    return known["rows"] if known else []


def phases(facts: Mapping[str, Any]) -> Finding | None:
    """Say whether phases of equal settings gave the same results, and what differs where they did not."""
    rows = _rows(facts, "phases")
    if not rows:
        return None
    same = [row for row in rows if row["equal"] is not None]
    wrong = [row for row in same if not row["equal"]]
    text = f"of {plural(len(rows), 'comparison')} of one model and metric between two phases, {count(len(same))} "
    text += f"{'has' if len(same) == 1 else 'have'} equal settings"
    if same:
        text += f": {count(len(same) - len(wrong))} gave the same results bit for bit, {count(len(wrong))} did not"
        first = max(wrong or same, key=lambda row: row["differing"])
        text += f" ({first['metric']} of {first['model']}, {first['a']} and {first['b']}: "
        text += f"{first['verdict'].removeprefix('not deterministic: ')}; " if wrong else ""
        text += f"{plural(first['tensors'], 'tensor')} compared, {count(int(first['differing']))} differ)"
    other = len(rows) - len(same)
    if other:
        text += f"; {plural(other, 'comparison')} of other settings {'is' if other == 1 else 'are'} no check"
    sure = "Every number that both score stores keep is compared, and what their checks say. Equal bytes show that one "
    sure += "command gives one result: determinism. They do not show that other texts would give it too."
    return finding("Whether equal phases give equal scores", text, sure, "phases", "report/phases.csv")


def all_see(row: Row) -> bool:
    """Whether a difference between two models is seen by the tests of every unit."""
    return all(row[f"q_{unit}"] is not None and row[f"q_{unit}"] < SIGNIFICANT for unit in UNITS)


def models(facts: Mapping[str, Any]) -> Finding | None:
    """Say where the first weights of two models lie in other components or at other depths."""
    rows = [row for row in _rows(facts, "models") if all(row[f"q_{unit}"] is not None for unit in UNITS)]
    if not rows:
        return None
    seen = sorted((row for row in rows if all_see(row)), key=lambda row: -abs(row["difference"]))
    text = f"of {plural(len(rows), 'comparison')} of a component's or a depth's share of the first weights between two "
    text += f"models, {count(len(seen))} {'differs' if len(seen) == 1 else 'differ'} by all three tests"
    if seen:
        text += ": " + some([
            f"{_place(row)} by {row['metric']}, {share(row['share_a'])} in {row['a']} ({share(row['expected_a'])} of "
            f"its weights) and {share(row['share_b'])} in {row['b']} ({share(row['expected_b'])}), {row['phase']}, "
            f"k {count(row['k'])}" for row in seen], "; ")  # fmt: skip
    sure = f"A difference counts where its q (Benjamini and Hochberg) is below {SIGNIFICANT} for weights, for whole "
    sure += "lines and for a permutation of the tensors: top weights come in lines, which fools one test alone."
    never = sum(least_p_of_permutation(row["tensors_a"], row["tensors_b"]) >= SIGNIFICANT for row in rows)
    if never:
        sure += f" {count(never)} of the comparisons could not count: of so few tensors no permutation has a p below "
        sure += f"{SIGNIFICANT}."
    return finding("Whether the models differ", text, sure, "between-models", "report/models.csv")


def _place(row: Row) -> str:
    return row["name"] if row["scope"] == "component" else f"depth {row['name']}"


def tasks(facts: Mapping[str, Any]) -> Finding | None:
    """Say how far two sets of texts agree on the first weights."""
    rows = _rows(facts, "tasks")
    if not rows:
        return None
    k = min(row["k"] for row in rows)
    rows = sorted((row for row in rows if row["k"] == k), key=lambda row: row["jaccard"])

    def told(row: Row) -> str:
        return (
            f"{real(row['jaccard'], 3)} ({row['metric']} of {row['model']}, {row['a']} and {row['b']}: "
            f"{count(row['shared'])} shared, {real(row['expected'], 2)} by chance)"
        )

    text = f"between phases of other texts the first {count(k)} weights have a Jaccard index of {told(rows[0])}"
    if real(rows[0]["jaccard"], 3) != real(rows[-1]["jaccard"], 3):
        text += f" to {told(rows[-1])}, over {plural(len(rows), 'comparison')}"
    elif len(rows) > 1:
        n = len(rows) - 1
        text += f", and so {'has' if n == 1 else 'have'} {plural(n, 'more comparison')}"
    sure = "Exact counts. Two draws of texts of one kind differ too: hold a figure against that of two halves, under "
    sure += "Stability, before you lay it to the kind of the texts."
    return finding("What other texts change", text, sure, "text-sets", "report/tasks.csv")


def checkpoints(facts: Mapping[str, Any]) -> Finding | None:
    """Say when in training the first weights of the last checkpoint were among the first."""
    rows = [row for row in _rows(facts, "checkpoints") if row["model"] != row["last"] and row["share"] is not None]
    if not rows:
        return None
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["phase"], row["run"], row["metric"]), []).append(row)

    def told(key: tuple[str, str, str], own: list[Row]) -> str:
        steps = listed([
            f"{share(row['share'])} at {'step ' + count(row['step']) if row['step'] is not None else row['model']} "
            f"({count(row['settled'])} settled)" for row in own])  # fmt: skip
        return f"by {key[2]} in {key[1]} ({key[0]}, k {count(own[0]['k'])}), {steps}"

    text = "of the last checkpoint's first k weights are among the first k before: "
    text += some([told(key, own) for key, own in groups.items()], "; ")
    sure = "Exact counts. Settled: in this and all later checkpoints. Chance levels, also of agreeing on tensors "
    sure += "alone, stand beside them in the table."
    return finding("When in training they are settled", text, sure, "checkpoints", "report/checkpoints.csv")


def clusters(facts: Mapping[str, Any]) -> Finding | None:
    """Say where the blocks fall into kinds by their score profile."""
    rows = [row for row in _rows(facts, "clusters") if row["p"] is not None]
    if not rows:
        return None
    clear = sorted((row for row in rows if row["p"] < SIGNIFICANT / len(rows)), key=lambda row: row["p"])
    text = f"blocks fall into kinds by their score profile in {count(len(clear))} of {count(len(rows))} cases (one "
    text += "phase, model and metric each)"
    nearest = min(row["p"] for row in rows)
    named = clear or [row for row in rows if row["p"] == nearest]
    text += "; " + ("" if clear else "nearest to it: ") + some([
        f"{plural(row['clusters'], 'kind')} by {row['metric']} in {row['phase']}/{row['model']} "
        f"(p {chance(row['p'])}, {plural(row['n'], 'block')})" for row in named])  # fmt: skip
    sure = f"Mean silhouette beyond blocks without kinds that change with depth alike, p below {SIGNIFICANT} / "
    sure += f"{count(len(rows))}."
    if SIGNIFICANT / len(rows) <= LEAST_P:
        sure += f" No p is below {LEAST_P:g}: of so many cases none can count."
    told = {f"{row['phase']}/{row['model']}" for row in rows}
    twice = {name: first for name, first in facts["repeats"].items() if {name, first} <= told}
    sure += again({"repeats": twice})
    return finding("Whether there are kinds of blocks", text, sure, "blocks", "report/clusters.csv")


FINDINGS = (phases, models, tasks, checkpoints, clusters)
"""In the order of the report."""
