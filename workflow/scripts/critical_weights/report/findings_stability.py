"""Findings on how far a ranking would come out again: with other texts, other probes, without the first position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .facts_positions import kept_at
from .facts_stability import at_k
from .finding import SHOWN, Finding, finding
from .show import count, interval, listed, plural, real, share

SHOWN_K = 100
"""Overlaps are told at the largest k up to this one."""


def stability(facts: Mapping[str, Any]) -> Finding | None:
    """Say which rankings over all tensors hold, up to which k, and how much those share that do not."""
    known = facts["stability"]
    verdicts = [v for v in known["verdicts"] if v["mode"] == "global"] if known else []
    tested = [verdict for verdict in verdicts if verdict["largest_k"] is not None]
    if not tested:
        return None
    holds = sorted((v for v in tested if v["largest_k"] > 0), key=lambda v: -v["largest_k"])
    fails = [verdict for verdict in tested if verdict["largest_k"] == 0]
    rankings = plural(len(tested), "ranking")
    text = f"of {rankings} over all tensors, {count(len(holds))} {'hold' if len(holds) != 1 else 'holds'}"
    if holds:
        parts = [f"{v['metric']} {held(v)}" for v in holds]
        text += f" when the texts or probes change: {listed(parts)}"
    else:
        text += " at any k when the texts or probes change"
    told = [(v, row) for v in fails if (row := at_k(known["overlaps"], v["metric"], "global", SHOWN_K))]
    if told:
        told.sort(key=lambda pair: -pair[1]["value"])
        others = "the others'" if holds else "their"
        parts = [f"{interval(row['value'], row['low'], row['high'])} ({verdict['metric']})" for verdict, row in told]
        text += (
            f"; of {others} first {count(told[0][1]['k'])} two halves (or estimates) share {listed(parts)} of the union"
        )
    sure = (
        f"Jaccard index (shared over union) of two random halves of {plural(tested[0]['n_texts'] or 0, 'text')}, or "
        "of two simulated estimates from probes; in brackets 95 % of them. A ranking holds where the lower end is "
        f"above {real(tested[0]['threshold'])} and above chance. Half of the texts tell less than all: of texts this "
        "is on the safe side; of probes it is not."
    )
    missing = [row["metric"] for row in known["not_measured"] if row["what"] == "resampling"]
    if missing:
        sure += f" Not measured: {listed(missing)}."
    return finding("How far the rankings hold", text, sure, "stability", "analysis/stability.csv")


def held(verdict: Mapping[str, Any]) -> str:
    """Return up to which k a ranking holds, with the smaller ones at which it does not, and where no k can tell."""
    largest, but = verdict["largest_k"], []
    if verdict["fails_at"]:
        but.append(f"not at {listed([count(k) for k in verdict['fails_at']])}")
    if largest == verdict["answered_to"]:
        but.append("of more the kept candidates cannot tell")
    return f"up to the first {count(largest)}" + (f" ({'; '.join(but)})" if but else "")


def noise(facts: Mapping[str, Any]) -> Finding | None:
    """Say how noisy the estimates from random probes are."""
    known = facts["stability"]
    rows = [row for row in known["noise"] if row["k"] <= SHOWN_K] if known else []
    if not rows:
        return None
    most = max(row["k"] for row in rows)
    rows = [row for row in rows if row["k"] == most]
    parts = [
        f"by {row['metric']} the standard error is {share(row['value'])} of the score in the median (95 % of the "
        f"weights: {share(row['low'])} to {share(row['high'])})"
        + ("" if row["significant_share"] is None else
           f", and {share(row['significant_share'])} are above two standard errors")
        for row in rows
    ]  # fmt: skip
    sure = "The error is measured over the probes of the same pass. Weights picked for being large look surer than "
    sure += "they are: their noise was picked with them."
    text = f"of the first {plural(most, 'weight')}, {'; '.join(parts)}"
    return finding("How noisy the curvature estimates are", text, sure, "stability", "analysis/stability.csv")


def first_position(facts: Mapping[str, Any]) -> Finding | None:
    """Say how much of the top scores comes from the first position of each text, and what stays without it."""
    known = facts["first_position"]
    if not known or not known["metrics"]:
        return None
    stays = {name: row for name, metric in known["metrics"].items() if (row := kept_at(metric, SHOWN_K))}
    if not stays:
        return None
    order = sorted(stays, key=lambda name: stays[name]["value"])

    def sentence(name: str) -> str:
        metric, row = known["metrics"][name], stays[name]
        return (
            f"{share(row['value'])} of the first {count(row['k'])} by {name} stay among them, and position 0 makes "
            f"{share(metric['share'])} of the score of its {count(metric['n'])} kept weights"
        )

    text = f"without the first position of each text, {sentence(order[0])}"
    if len(order) > 1:
        text += f"; at the other end, {sentence(order[-1])}"
    fallen = [own for own in known["metrics"][order[0]]["fallen"] if own["scope"] == "line"]
    if fallen:
        line = fallen[0]
        text += (
            f". Most falls with it in {line['line']} {line['index']} of {line['name']}: "
            f"{share(line['value'])} of the score of its {count(line['n'])} weights"
        )
    unsure = [name for name, row in stays.items() if row["kth_over_rest"] is not None and row["kth_over_rest"] <= 1]
    sure = "Of the kept weights of each tensor; the loss itself still counts the first position."
    sure += f" Weights beyond those could change the figure of {listed(unsure)}." if unsure else (
        " No weight beyond them could enter without gaining score by losing a position.")  # fmt: skip
    if any(known["metrics"][name]["share"] < 0 for name in (order[0], order[-1])):
        sure += " Where its part is below 0, the score grows without it."
    if known["not_available"]:
        sure += f" Not available: {listed([row['metric'] for row in known['not_available']])}."
    return finding("What the first position does", text, sure, "first-position", "analysis/first_position.csv")


def agreement(facts: Mapping[str, Any]) -> Finding | None:
    """Say which two metrics order the weights that both rank at the top most and least alike."""
    rows = [row for row in facts["agreement"] or [] if row["quantity"] == "spearman" and row["over"] == "shared"
            and row["value"] is not None]  # fmt: skip
    if len(rows) < SHOWN:
        return None
    rows.sort(key=lambda row: -row["value"])

    def sentence(row: Mapping[str, Any]) -> str:
        return f"{row['a']} and {row['b']} ({real(row['value'], 3)}, {plural(row['n'], 'weight')})"

    text = f"of the weights that two metrics both put first, {sentence(rows[0])} order theirs most alike, and "
    text += f"{sentence(rows[-1])} least, of {count(len(rows))} pairs"
    sure = "Spearman correlation of the scores. Taking only weights that both rank at the top lowers it, below 0 too: "
    sure += "it compares pairs of metrics, and does not stand for all weights."
    return finding("Whether the metrics order alike", text, sure, "overlap", "analysis/agreement.csv")
