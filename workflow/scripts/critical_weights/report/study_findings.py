"""The findings over models and phases: each sentence is built from figures, its wording chosen by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from . import study_findings_across, study_findings_judged
from .finding import SHOWN, Finding, finding, is_estimate
from .show import bounded_share, count, listed, plural, real, share
from .study_facts import ESTIMATES, again, as_many, estimates, evidence, first_percent, leader


def study_findings(facts: Mapping[str, Any]) -> list[Finding]:
    """Return the findings that the facts allow: how sure rankings are and what changing weights did come first.

    Those from the tables over all experiments are last.
    """
    judged = study_findings_judged
    makers = (judged.stability, judged.validation, concentration, components, overlap, judged.superweights,
              judged.criteria, judged.laws, *study_findings_across.FINDINGS)  # fmt: skip
    return [one for one in (make(facts) for make in makers) if one]


Held = Mapping[str, Mapping[str, Mapping[str, Any]]]


def concentration(facts: Mapping[str, Any]) -> Finding | None:
    """Say how much of the total score the first weights hold: the least and the most over models and phases.

    Estimates from probes stand apart: their noise alone can bring one of them to an end.
    """
    measured: dict[str, dict[str, Mapping[str, Any]]] = {}
    estimated: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, part in facts["parts"].items():
        for metric, own in part["metrics"].items():
            if figure := first_percent(own["concentration"]):
                (estimated if is_estimate(own) else measured).setdefault(metric, {})[name] = figure
    kinds = [held for held in (measured, estimated) if held]
    if not kinds:
        return None
    first = f"the first {share(next(iter(next(iter(kinds[0].values())).values()))['at'])}"
    text = f"{first} of the weights hold, of the total score, {_held(measured)}" if measured else ""
    if estimated:
        text += ". Of " if measured else "of "
        text += f"{ESTIMATES}, {first} hold{'' if measured else ', of the total score,'} {_held(estimated)}"
    sure = "Of all scored weights, selected or not; in brackets bounds, where a histogram stands in for the scores."
    named = [name for held in kinds for metric in _ends(held) for name in _least_and_most(held[metric])]
    return finding("How far the scores are concentrated", text, sure, "concentration",
                   *evidence([*named, *facts["parts"]], "analysis/concentration.csv"))  # fmt: skip


def _held(held: Held) -> str:
    """Return what the first weights hold by the metrics that are named, and how many lie between them."""
    ends = _ends(held)
    told = "; ".join(_share_by(metric, held[metric]) for metric in ends)
    if not (n := len(held) - len(ends)):
        return told
    return (
        f"{told}; {plural(n, 'metric lies', 'metrics lie')} between the last two by "
        f"{'its' if n == 1 else 'their'} largest share"
    )


def _ends(held: Held) -> list[str]:
    """Return the metrics that are named: all of a few; else those that hold most, and the one that holds least."""
    order = sorted(held, key=lambda metric: -max(figure["value"] for figure in held[metric].values()))
    return order if len(order) <= SHOWN else [*order[: SHOWN - 1], order[-1]]


def _least_and_most(own: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    return min(own, key=lambda name: own[name]["value"]), max(own, key=lambda name: own[name]["value"])


def _share_by(metric: str, own: Mapping[str, Mapping[str, Any]]) -> str:
    low, high = _least_and_most(own)
    least, most = (bounded_share(*(own[name][key] for key in ("value", "low", "high"))) for name in (low, high))
    if least == most:
        return f"{most} by {metric} ({listed(list(own)) if len(own) <= SHOWN else f'all {len(own)}'})"
    return f"{least} ({low}) to {most} ({high}) by {metric}"


def components(facts: Mapping[str, Any]) -> Finding | None:
    """Say which components hold the largest part of the total score, and how often."""
    leaders = [(name, metric, *found) for name, part in facts["parts"].items()
               for metric, own in part["metrics"].items() if (found := leader(own["concentration"]))]  # fmt: skip
    if not leaders:
        return None
    noisy = estimates(facts)
    times = Counter(component for _, _, component, _ in leaders)
    parts, named = [], []
    for component, n in times.most_common():
        own = [row for row in leaders if row[2] == component]
        name, metric, _, figure = max(own, key=lambda row: row[3]["score_share"])
        estimate = ", an estimate from probes" if metric in noisy else ""
        named.append(name)
        parts.append(
            f"{component} in {count(n)} (at most {share(figure['score_share'])}, with "
            f"{share(figure['weight_share'])} of the weights: {metric}, {name}{estimate})"
        )
    text = f"the largest part of the total score lies, of {plural(len(leaders), 'ranking')} (one phase, model and "
    text += f"metric each), in {listed(parts)}"
    sure = "Sums over all scored weights. A component's part also depends on how many weights it has: hold it against "
    sure += "that share."
    sure += f" The noise of estimates from probes ({listed(noisy)}) is in their sums." if noisy else ""
    return finding("Where the score lies", text, sure + again(facts), "map",
                   *evidence([*named, *facts["parts"]], "analysis/concentration.csv"))  # fmt: skip


def overlap(facts: Mapping[str, Any]) -> Finding | None:
    """Say which two metrics share most of their first weights in each phase and model, and which least."""
    rows = {name: sorted((row for row in part["overlap"]["global"] if row["complete"]), key=lambda row: -row["shared"])
            for name, part in facts["parts"].items()}  # fmt: skip
    rows = {name: own for name, own in rows.items() if own}
    if not rows:
        return None

    def told(row: Mapping[str, Any]) -> str:
        chance = "" if row["expected"] is None else f", {real(row['expected'], 2)} by chance"
        return f"{row['a']} and {row['b']} share {count(row['shared'])} of the first {count(int(row['k']))} weights" + (
            f" ({share(row['share'])}{chance})"
        )

    sentences = []
    for name, own in list(rows.items())[:SHOWN]:
        sentence = f"in {name}, {told(own[0])}{as_many(own, own[0])}"
        if own[-1]["shared"] < own[0]["shared"]:
            sentence += f"; the least alike of {count(len(own))} pairs, {told(own[-1])}{as_many(own, own[-1])}"
        sentences.append(sentence)
    more = len(rows) - len(sentences)
    text = ". ".join([sentences[0], *(f"{one[0].upper()}{one[1:]}" for one in sentences[1:])])
    text += f". {count(more)} more {'stands' if more == 1 else 'stand'} in the table" if more else ""
    sure = "Exact counts over all tensors of each pair's most and least alike metrics, which were picked for being so."
    if noisy := estimates(facts):
        sure += f" The noise of estimates from probes ({listed(noisy)}) can lower what they share with other metrics"
        sure += "; that of the same probes can raise what they share with each other" if len(noisy) > 1 else ""
        sure += "."
    return finding("How far the metrics agree", text, sure, "overlap", *evidence(rows, "analysis/overlap.csv"))
