"""The findings at the head of the report: each sentence is built from figures, its wording chosen by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from . import findings_judged, findings_stability, findings_structure
from .analysis import as_little, at_one_k
from .finding import SIGNIFICANT, Finding, finding
from .findings_ends import level
from .show import bounded, count, listed, plural, quoted, real, share, times

OVER_METRICS = (
    findings_structure.lines, findings_structure.components, findings_structure.channels, findings_structure.tokens,
    findings_structure.superweights, findings_stability.stability, findings_stability.noise,
    findings_stability.first_position, findings_stability.agreement, findings_judged.criteria,
    findings_judged.validation,
)  # fmt: skip
"""Findings from the analysis tables, in the order of the report."""


def findings(facts: Mapping[str, Any]) -> list[Finding]:
    """Return the findings that the facts allow: what, in figures; how sure; and where the evidence is."""
    first, last = (selection, peak, places, best, overlap), (laws,)
    found = (make(facts) for make in (*first, *OVER_METRICS, *last))
    return [one for one in found if one]


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


def peak(facts: Mapping[str, Any]) -> Finding | None:
    """Say how far the largest score stands above the mean, and how unequal the scores are."""
    ratio = {
        name: metric["overall"]["max_over_mean"]
        for name, metric in facts["metrics"].items()
        if metric["overall"]["max_over_mean"] is not None
    }
    if not ratio:
        return None
    order = sorted(ratio, key=lambda name: -ratio[name])
    told, first, last = {name: times(value) for name, value in ratio.items()}, order[0], order[-1]

    def sentence(name: str, subject: str) -> str:
        metric = facts["metrics"][name]
        text = f"{subject} is {told[name]} the mean over all {count(metric['overall']['num_weights'])} weights"
        gini = (metric["concentration"] or {}).get("gini")
        return text + (f", Gini coefficient {bounded(gini['value'], gini['low'], gini['high'])}" if gini else "")

    if told[first] == told[last]:
        text = sentence(first, f"the largest {first} score")
        text += f"; by {plural(len(order) - 1, 'more metric')} it is as many times the mean" if len(order) > 1 else ""
    else:
        most = f"the most peaked of {len(order)} metrics is {first}{level(told, first)}: its largest score"
        least = f"the least peaked is {last}{level(told, last)}: its largest score"
        text = f"{sentence(first, most)}; {sentence(last, least)}"
    ginis = [(m["concentration"] or {}).get("gini") for m in facts["metrics"].values()]
    width = max((g["high"] - g["low"] for g in ginis if g), default=None)
    sure = "Maximum and mean are over all scored weights."
    if width is not None:
        sure += (
            f" The Gini coefficients are known to within {real(width, 2)}."
            if width
            else " The Gini coefficients are exact too."
        )
    files = ("analysis/concentration.csv", *_stats_files(facts, first, last))
    return finding("How peaked the scores are", text, sure, "distribution", *files)


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


def best(facts: Mapping[str, Any]) -> Finding | None:
    """Say which weight leads, and whether the best weights lie together."""
    ranked = {name: metric for name, metric in facts["metrics"].items() if metric["top"]}
    if not ranked:
        return None
    name = next((n for n, metric in ranked.items() if metric["has_gradient"]), next(iter(ranked)))
    metric = ranked[name]
    first, rows = metric["top"][0], metric["top"]
    tensor, n = Counter(row["parameter"] for row in rows).most_common(1)[0]
    text = f"by {name}, {first['parameter']} at {first['indices']}"
    if first["token"] is not None:
        text += f" (token {quoted(first['token'])})"
    text += f" leads with {real(first['sensitivity_score'])} {metric['units']}"
    if metric["overall"]["max_over_median"] is not None:
        text += f", {times(metric['overall']['max_over_median'])} the median of all weights"
    alike = sum(row["sensitivity_score"] == first["sensitivity_score"] for row in rows)
    if alike > 1:
        text += f", as do {alike - 1} more of the first {len(rows)}" if alike > 2 else ", as does the second"
    if len(rows) > 1:
        together = "all" if n == len(rows) else f"{n}" if n > 1 else "no two"
        text += f"; {together} of the first {len(rows)} lie in {'one tensor' if n == 1 else tensor}"
    if len(ranked) > 1:
        same = [m for m, other in ranked.items() if m != name and _address(other["top"][0]) == _address(first)]
        others = listed(same) if same else "none of the other metrics"
        text += f"; {others} {'put' if len(same) > 1 else 'puts'} it first too" if same or len(ranked) > 2 else \
                "; the other metric puts another weight first"  # fmt: skip
    reads = metric["family"] != "static"
    sure = "Exact for these texts: no" if reads else "Exact: the score reads no text, and no"
    sure += " score was estimated by sampling weights."
    if metric["top_exact"] < len(rows):
        sure = (
            f"Exact for the first {metric['top_exact']} of all weights; the others are the first of {metric['top_of']}."
        )
    if metric["family"] == "curvature":
        sure += " A score of this metric is an estimate from random probes."
    return finding("Which weight leads", text, sure, "best-weights", f"{metric['top_of']}/top_weights.csv")


def _address(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["parameter"], row["indices"]


def overlap(facts: Mapping[str, Any]) -> Finding | None:
    """Say which two metrics agree most and least on the first k weights, next to what chance would give."""
    told = at_one_k(facts["overlap"]["global"])
    rows = sorted((row for row in told if row["complete"]), key=lambda row: -row["shared"])
    if not rows:
        return None

    def sentence(row: Mapping[str, Any]) -> str:
        chance = "" if row["expected"] is None else f"; {real(row['expected'], 2)} expected by chance"
        return f"{row['a']} and {row['b']} share {count(row['shared'])} ({share(row['share'])}{chance})"

    text = f"of the first {plural(int(rows[0]['k']), 'weight')} by each metric, {sentence(rows[0])}"
    if rows[0]["shared"] == rows[-1]["shared"]:
        text += as_little(rows)
    else:
        text += f"; least alike of {len(rows)} pairs, {sentence(rows[-1])}{as_little(rows)}"
    sure = "Exact counts over all tensors."
    if len(rows) < len(told):
        sure += f" Left out: {plural(len(told) - len(rows), 'pair')} whose lists are too short."
    chances = [row["p"] for row in rows if row["p"] is not None]
    if chances:
        above = sum(p < SIGNIFICANT / len(chances) for p in chances)
        sure += (
            f" In {above} of {plural(len(chances), 'pair')} more is shared than chance explains "
            f"(hypergeometric, p below {SIGNIFICANT} / {len(chances)})."
        )
    return finding("How far the metrics agree", text, sure, "overlap", "analysis/overlap.csv")


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
    return finding("Whether the scores can be right", text, sure, "self-checks", *_stats_files(facts, *passes))


def _stats_files(facts: Mapping[str, Any], *metrics: str) -> list[str]:
    """Return of each metric one file that holds its distribution and its store's checks."""
    first = {run["metric"]: label for label, run in reversed(facts["experiments"].items())}
    return [f"{first[metric]}/sensitivity_stats.json" for metric in dict.fromkeys(metrics)]
