"""The findings at the head of the report: each sentence is built from figures, its wording chosen by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .show import bounded, count, listed, plural, real, share, times, token


def findings(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the findings that the facts allow, each ``{"name", "text", "sure"}``: what, in figures, and how sure."""
    found = (selection(facts), peak(facts), places(facts), best(facts), overlap(facts), laws(facts))
    return [finding for finding in found if finding]


def selection(facts: Mapping[str, Any]) -> dict[str, str] | None:
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
        return (
            f"the {plural(run['selection']['num_weights'], 'weight')} of {label} ({share(weight_share[label])} of "
            f"{count(total)}) hold {share(run['selection']['share_of_score'])} of the total {run['metric']} score, "
            f"{times(known[label])} their share of the weights"
        )

    most, least = max(known, key=lambda k: known[k]), min(known, key=lambda k: known[k])
    text = sentence(most)
    if most != least:
        text += f"; at the other end, {sentence(least)}"
    return _finding(
        "How much the selections hold",
        text,
        "Sums over all scored weights, not over a sample. Which weights are selected depends on metric, mode and k.",
    )


def peak(facts: Mapping[str, Any]) -> dict[str, str] | None:
    """Say how far the largest score stands above the mean, and how unequal the scores are."""
    ratio = {
        name: metric["overall"]["max_over_mean"]
        for name, metric in facts["metrics"].items()
        if metric["overall"]["max_over_mean"] is not None
    }
    if not ratio:
        return None
    order = sorted(ratio, key=lambda name: -ratio[name])
    parts = []
    for name in dict.fromkeys((order[0], order[-1])):
        metric = facts["metrics"][name]
        part = f"the largest {name} score is {times(ratio[name])} the mean over all {count(metric['overall']['num_weights'])} weights"
        gini = (metric["concentration"] or {}).get("gini")
        if gini:
            part += f" (Gini coefficient {bounded(gini['value'], gini['low'], gini['high'])})"
        parts.append(part)
    if len(ratio) == 1:
        compared = ""
    else:
        compared = f"Of {plural(len(ratio), 'metric')} this is the most and the least peaked: "
    ginis = [(m["concentration"] or {}).get("gini") for m in facts["metrics"].values()]
    width = max((g["high"] - g["low"] for g in ginis if g), default=None)
    sure = "Maximum and mean are over all weights."
    if width is not None:
        sure += " The Gini coefficients are exact." if width == 0 else (
            f" The Gini coefficients are bounded from histograms, by intervals no wider than {real(width, 2)}."
        )  # fmt: skip
    return _finding("How peaked the scores are", compared + "; ".join(parts), sure)


def places(facts: Mapping[str, Any]) -> dict[str, str] | None:
    """Say which component holds the largest share of each metric's total score, next to its share of the weights."""
    sentences = []
    for name, metric in facts["metrics"].items():
        components = (metric["concentration"] or {}).get("by_component") or {}
        held = {c: f for c, f in components.items() if f.get("score_share") is not None}
        if not held:
            continue
        first = max(held, key=lambda c: held[c]["score_share"])
        figures = held[first]
        sentence = f"{first} holds {share(figures['score_share'])} of the total {name} score"
        if figures.get("weight_share") is not None:
            score, weight = figures["score_share"], figures["weight_share"]
            verdict = "more than" if score > weight else "less than" if score < weight else "just"
            sentence += f", {verdict} its {share(weight)} of the weights"
        sentences.append(sentence)
    if not sentences:
        return None
    sure = "Sums over all scored weights of each component; a component's share also depends on how many weights it has."
    return _finding("Where the score lies", "; ".join(sentences), sure)


def best(facts: Mapping[str, Any]) -> dict[str, str] | None:
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
        text += f" (token {token(first['token'])})"
    text += f" leads with {real(first['sensitivity_score'])} {metric['units']}"
    if metric["overall"]["max_over_median"] is not None:
        text += f", {times(metric['overall']['max_over_median'])} the median of all weights"
    if len(rows) > 1:
        together = "all" if n == len(rows) else f"{n}" if n > 1 else "no two"
        text += f"; {together} of the first {len(rows)} lie in {'one tensor' if n == 1 else tensor}"
    if len(ranked) > 1:
        same = [m for m, other in ranked.items() if m != name and _address(other["top"][0]) == _address(first)]
        text += f"; {listed(same) if same else 'none of the other metrics'} {'put' if len(same) > 1 else 'puts'} it first too"
    sure = "Exact for these texts: no score was estimated by sampling weights."
    if metric["top_exact"] < len(rows):
        sure = f"Exact for the first {metric['top_exact']} of all weights; the others are the first of {metric['top_of']}."
    if metric["family"] == "curvature":
        sure += " A score of this metric is an estimate from random probes."
    return _finding("Which weight leads", text, sure)


def _address(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["parameter"], row["indices"]


def overlap(facts: Mapping[str, Any]) -> dict[str, str] | None:
    """Say which two metrics agree most and least on the first k weights, next to what chance would give."""
    complete = [row for row in facts["overlap"]["global"] if row["complete"] and row["k"] != "all"]
    if not complete:
        return None
    # The largest k of at most 1,000 that every pair can answer: enough weights for a share to mean something.
    pairs = {(row["a"], row["b"]) for row in complete}
    ks = Counter(int(row["k"]) for row in complete)
    usable = [k for k, n in ks.items() if n == len(pairs)]
    if not usable:
        return None
    k = max([k for k in usable if k <= 1000] or [min(usable)])
    rows = sorted((row for row in complete if int(row["k"]) == k), key=lambda row: -row["shared"])

    def sentence(row: Mapping[str, Any]) -> str:
        chance = "" if row["expected"] is None else f"; {real(row['expected'], 2)} expected by chance"
        return f"{row['a']} and {row['b']} share {count(row['shared'])} ({share(row['share'])}{chance})"

    text = f"of the first {plural(k, 'weight')} by each metric, {sentence(rows[0])}"
    if len(rows) > 1:
        text += f"; least alike of {len(rows)} pairs, {sentence(rows[-1])}"
    sure = "Exact counts over all tensors."
    chances = [row["p"] for row in rows if row["p"] is not None]
    if chances:
        # A p of 0.0 is a number too small for a float, not an impossibility.
        sure += f" Largest chance of so much overlap between independent draws, over the pairs: p = {_p(max(chances))}."
    return _finding("How far the metrics agree", text, sure)


def _p(p: float) -> str:
    return real(p, 2) if p > 0 else "below 1e-300"


def laws(facts: Mapping[str, Any]) -> dict[str, str] | None:
    """Say how the conservation laws came out."""
    outcomes = [law for check in facts["checks"] for law in check["laws"]]
    if not outcomes:
        return None
    status = Counter(law["status"] for law in outcomes)
    tested = status["passed"] + status["failed"]
    if tested:
        verdict = "all hold" if not status["failed"] else f"{status['failed']} fail, so the scores are not to be trusted"
        text = f"of {plural(tested, 'conservation law')} that can be checked on this model, {verdict} within tolerance"
    else:
        text = "none of the conservation laws can be checked on this model"
    if status["not applicable"]:
        text += f"; {plural(status['not applicable'], 'outcome')} not applicable"
    errors = [law["error"] / law["tolerance"] for law in outcomes if law.get("error") is not None and law.get("tolerance")]
    sure = "The laws need no ground truth: they catch wrong axes, lost tokens, dropped tensors and doubled gradients."
    if errors:
        sure += f" Largest error: {share(max(errors))} of its tolerance."
    return _finding("Whether the scores can be right", text, sure)


def _finding(name: str, text: str, sure: str) -> dict[str, str]:
    return {"name": name, "text": f"{text[0].upper()}{text[1:]}.", "sure": sure}
