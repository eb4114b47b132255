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
ENOUGH = 30
"""From so many shared weights on a correlation is told: two weights always have 1 or -1."""


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
    told = [row for v in fails if (row := at_k(known["overlaps"], v["metric"], "global", SHOWN_K))]
    text += _shared(told, "the others'" if holds else "their")
    limits = dict.fromkeys(real(verdict["threshold"]) for verdict in tested)
    sure = f"Jaccard index (shared over union) of {_compared(tested)}; in brackets 95 % of them. A ranking holds where "
    sure += f"the lower end is above {listed(list(limits))} and above chance. Half of the texts tell less than all: of "
    sure += "texts this is on the safe side; of probes it is not."
    missing = [row["metric"] for row in known["not_measured"] if row["what"] == "resampling"]
    if missing:
        sure += f" Not measured: {listed(missing)}."
    return finding("How far the rankings hold", text, sure, "stability", "analysis/stability.csv")


def _shared(told: list[Mapping[str, Any]], whose: str) -> str:
    """Say what two halves or estimates share, at each k that is the largest known of a ranking."""
    by_k: dict[int, list[str]] = {}
    for row in sorted(told, key=lambda row: (-row["k"], -row["value"])):
        by_k.setdefault(row["k"], []).append(f"{interval(row['value'], row['low'], row['high'])} ({row['metric']})")
    parts = [f"of {whose} first {count(k)} two halves (or estimates) share {listed(own)} of the union" if not place else
             f"of {whose} first {count(k)}, {listed(own)}" for place, (k, own) in enumerate(by_k.items())]  # fmt: skip
    return f"; {', and '.join(parts)}" if parts else ""


def _compared(verdicts: list[Mapping[str, Any]]) -> str:
    """Say what was held against what: halves of how many texts, estimates from probes, or both."""
    halves = [verdict for verdict in verdicts if verdict["method"] != "probes"]
    texts = [count(n) for n in sorted({verdict["n_texts"] for verdict in halves if verdict["n_texts"] is not None})]
    told = [f"two random halves of {listed(texts) or 'the'} texts"] if halves else []
    told += ["two simulated estimates from probes"] if len(halves) < len(verdicts) else []
    return ", or of ".join(told)


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
    most: dict[str, Mapping[str, Any]] = {}
    for row in known["noise"] if known else []:
        if most.get(row["metric"], {"k": 0})["k"] < row["k"] <= SHOWN_K:
            most[row["metric"]] = row
    if not most:
        return None
    parts = [
        f"by {name} the standard error of the first {plural(row['k'], 'weight')} is {share(row['value'])} of the score "
        f"in the median (95 % of the weights: {share(row['low'])} to {share(row['high'])})"
        + ("" if row["significant_share"] is None else
           f", and {share(row['significant_share'])} are above two standard errors")
        for name, row in most.items()
    ]  # fmt: skip
    sure = "The error is measured over the probes of the same pass. Weights picked for being large look surer than "
    sure += "they are: their noise was picked with them."
    return finding(
        "How noisy the curvature estimates are", "; ".join(parts), sure, "stability", "analysis/stability.csv"
    )


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
        told = [share(stays[name]["value"]) for name in (order[0], order[-1])]
        text += f"; at the other end, {sentence(order[-1])}" if told[0] != told[1] else (
            f"; as much stays by {plural(len(order) - 1, 'more metric')}"
        )  # fmt: skip
    fallen = [own for own in known["metrics"][order[0]]["fallen"] if own["scope"] == "line"]
    if fallen:
        line = fallen[0]
        text += (
            f". Of the score by {order[0]} most falls with it in {line['line']} {line['index']} of {line['name']}: "
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
    known = [row for row in facts["agreement"] or [] if row["quantity"] == "spearman" and row["over"] == "shared"
             and row["value"] is not None]  # fmt: skip
    rows = sorted((row for row in known if row["n"] >= ENOUGH), key=lambda row: -row["value"])
    if len(rows) < SHOWN:
        return None
    told = [real(row["value"], 3) for row in rows]

    def sentence(place: int) -> str:
        row, alike = rows[place], told.count(told[place]) - 1
        more = f"; {plural(alike, 'more pair')} as much" if alike else ""
        return f"{row['a']} and {row['b']} ({told[place]}, {plural(row['n'], 'weight')}{more})"

    text = "of the weights that two metrics both put first, "
    if told[0] == told[-1]:
        text += f"all {count(len(rows))} pairs order theirs as much alike: {rows[0]['a']} and {rows[0]['b']} have "
        text += f"{told[0]} ({plural(rows[0]['n'], 'weight')})"
    else:
        text += f"{sentence(0)} order theirs most alike, and {sentence(-1)} least, of {count(len(rows))} pairs"
    sure = "Spearman correlation of the scores. Taking only weights that both rank at the top lowers it, below 0 too: "
    sure += "it compares pairs of metrics, and does not stand for all weights."
    if len(rows) < len(known):
        left = plural(len(known) - len(rows), "pair that shares", "pairs that share")
        sure += f" Left out: {left} fewer than {ENOUGH} weights."
    return finding("Whether the metrics order alike", text, sure, "overlap", "analysis/agreement.csv")
