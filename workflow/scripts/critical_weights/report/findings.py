"""The findings at the head of the report: each sentence is built from figures, its wording chosen by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from . import findings_judged, findings_stability, findings_structure, findings_tokens
from .finding import Finding, finding
from .findings_best import best
from .findings_overlap import overlap
from .findings_peaks import peak, stats_files
from .show import count, listed, plural, share, times


def findings(facts: Mapping[str, Any]) -> list[Finding]:
    """Return the findings that the facts allow: what, in figures; how sure; and where the evidence is.

    What the reader came for stands first: which weights lead, how sure that is, and what changing them did.
    """
    order = (
        best, findings_stability.stability, findings_judged.validation,
        selection, peak, places, overlap, findings_stability.agreement,
        findings_structure.lines, findings_structure.components, findings_structure.channels, findings_tokens.tokens,
        findings_structure.superweights, findings_stability.noise, findings_stability.first_position,
        findings_judged.criteria, laws,
    )  # fmt: skip
    return [one for one in (make(facts) for make in order) if one]


def selection(facts: Mapping[str, Any]) -> Finding | None:
    """Say how much of the total score the selections hold, next to their share of the weights."""
    weight_share = {
        label: run["selection"]["num_weights"] / facts["metrics"][run["metric"]]["overall"]["num_weights"]
        for label, run in facts["experiments"].items()
    }
    known = {
        label: run["selection"]["share_of_score"] / weight_share[label]
        for label, run in facts["experiments"].items()
        if run["selection"]["share_of_score"] is not None and weight_share[label]
    }
    if not known:
        return None

    def sentence(label: str) -> str:
        run = facts["experiments"][label]
        total = facts["metrics"][run["metric"]]["overall"]["num_weights"]
        n = run["selection"]["num_weights"]
        return (
            f"the {plural(n, 'weight')} of {label} ({share(weight_share[label])} of {count(total)}) "
            f"{'holds' if n == 1 else 'hold'} {share(run['selection']['share_of_score'])} of the total {run['metric']} "
            f"score, {times(known[label])} {'its' if n == 1 else 'their'} share of the weights"
        )

    most, least = max(known, key=lambda k: known[k]), min(known, key=lambda k: known[k])
    text = sentence(most)
    if times(known[most]) != times(known[least]):
        text += f"; at the other end, {sentence(least)}"
    sure = "Sums over all scored weights, not over a sample. Which weights are selected depends on metric, mode and k."
    files = (f"{label}/sensitivity_stats.json" for label in dict.fromkeys((most, least)))
    return finding("How much the selections hold", text, sure, "selections", *files)


def places(facts: Mapping[str, Any]) -> Finding | None:
    """Say which component holds the largest share of each metric's total score, next to its share of the weights."""
    leaders: dict[tuple[str, float | None], list[str]] = {}
    for name, metric in facts["metrics"].items():
        components = (metric["concentration"] or {}).get("by_component") or {}
        held = {c: f for c, f in components.items() if f.get("score_share") is not None}
        if held:
            first = max(held, key=lambda c: held[c]["score_share"])
            weights = held[first].get("weight_share")
            leaders.setdefault((first, weights), []).append(f"{share(held[first]['score_share'])} by {name}")
    if not leaders:
        return None
    sentences = [
        f"in {component}: {listed(parts)}"
        + ("" if weights is None else f", with {share(weights)} of the scored weights")
        for (component, weights), parts in leaders.items()
    ]
    sure = "Sums over all scored weights, selected or not. A component's part also depends on how many weights it has."
    text = f"the largest part of the total score lies {'; '.join(sentences)}"
    return finding("Where the score lies", text, sure, "concentration", "analysis/concentration.csv")


def laws(facts: Mapping[str, Any]) -> Finding | None:
    """Say how the conservation laws came out."""
    outcomes = [law for check in facts["checks"] for law in check["laws"]]
    if not outcomes:
        return None
    status = Counter(law["status"] for law in outcomes)
    tested = status["passed"] + status["failed"]
    checked = listed([metric for check in facts["checks"] if check["laws"] for metric in check["metrics"]])
    passes = [check["metrics"][0] for check in facts["checks"] if check["laws"]]
    over = f"over {len(passes)} scoring passes " if len(passes) > 1 else ""
    text = f"{plural(tested, 'conservation law')} can be checked {over}on this model, on the gradients behind {checked}"
    if tested:
        text += f": {status['passed']} passed, {status['failed']} failed"
    if status["failed"]:
        text += ", so the scores of that pass are not to be trusted"
    if status["not applicable"]:
        text += f"; {plural(status['not applicable'], 'more does', 'more do')} not apply to it"
    errors = [
        law["error"] / law["tolerance"] for law in outcomes if law.get("error") is not None and law.get("tolerance")
    ]
    sure = "The laws need no ground truth: they catch wrong axes, lost tokens, dropped tensors and doubled gradients."
    if errors:
        sure += f" Largest error: {share(max(errors))} of its tolerance."
    return finding("Whether the scores can be right", text, sure, "self-checks", *stats_files(facts, *passes))
