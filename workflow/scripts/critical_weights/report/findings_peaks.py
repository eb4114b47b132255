"""The finding on how peaked the scores are: the largest beside the mean, estimates apart from what is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .finding import Finding, finding, is_estimate
from .findings_ends import level
from .show import bounded, count, plural, real, share, times


def peak(facts: Mapping[str, Any]) -> Finding | None:
    """Say how far the largest score stands above the mean, and how unequal the scores are.

    Estimates from random probes are told apart. Their noise moves largest score, mean and Gini coefficient, up or down
    (of the bundled model, from 3 to 30 probes max / mean of hutchinson_diag goes from 172 to 308), so that they have no
    place in an order of scores that are none.
    """
    ratio = {
        name: metric["overall"]["max_over_mean"]
        for name, metric in facts["metrics"].items()
        if metric["overall"]["max_over_mean"] is not None
    }
    if not ratio:
        return None
    order = sorted(ratio, key=lambda name: -ratio[name])
    estimates = [name for name in order if is_estimate(facts["metrics"][name])]
    ranked = [name for name in order if name not in estimates] or order
    apart = [] if ranked == order else estimates
    kind = f", all estimated from {_probes(facts, estimates)}," if estimates and not apart else ""
    text = _ends(facts, ranked, " that are no estimates" if apart else kind)
    if apart:
        told = "; ".join(_peak(facts, name, f"the largest {name} score") for name in apart)
        text += f". Estimated from {_probes(facts, apart)}: {told}"
    ginis = [(m["concentration"] or {}).get("gini") for m in facts["metrics"].values()]
    width = max((g["high"] - g["low"] for g in ginis if g), default=None)
    sure = "Maximum and mean are over all scored weights."
    if width is not None:
        sure += (
            f" The Gini coefficients are known to within {real(width, 2)}."
            if width
            else " The Gini coefficients are exact too."
        )
    if estimates:
        sure += " The noise of random probes moves them up or down: figures of estimates are exact for the "
        sure += "estimates, not for what is estimated."
    files = ("analysis/concentration.csv", *stats_files(facts, ranked[0], ranked[-1], *apart))
    return finding("How peaked the scores are", text, sure, "distribution", *files)


def _ends(facts: Mapping[str, Any], order: list[str], kind: str) -> str:
    """Tell the most and the least peaked of some metrics, or one of them where no two can be told apart."""
    told, first, last = {name: _times_mean(facts, name) for name in order}, order[0], order[-1]
    if told[first] == told[last]:
        text = _peak(facts, first, f"the largest {first} score")
        return text + (
            f"; by {plural(len(order) - 1, 'more metric')} it is as many times the mean" if len(order) > 1 else ""
        )
    most = f"the most peaked of {len(order)} metrics{kind} is {first}{level(told, first)}: its largest score"
    least = f"the least peaked is {last}{level(told, last)}: its largest score"
    return f"{_peak(facts, first, most)}; {_peak(facts, last, least)}"


def _times_mean(facts: Mapping[str, Any], name: str) -> str:
    return times(facts["metrics"][name]["overall"]["max_over_mean"])


def _peak(facts: Mapping[str, Any], name: str, subject: str) -> str:
    """Say how a metric's largest score stands to the mean, how unequal its scores are, and how many are cut to 0."""
    metric = facts["metrics"][name]
    weights = count(metric["overall"]["num_weights"])
    text = f"{subject} is {_times_mean(facts, name)} the mean over all {weights} weights"
    gini = (metric["concentration"] or {}).get("gini")
    text += f", Gini coefficient {bounded(gini['value'], gini['low'], gini['high'])}" if gini else ""
    if metric["clipped"] and metric["overall"]["zero_fraction"]:
        text += f", and {share(metric['overall']['zero_fraction'])} of its scores are 0, as {metric['clipped']} count"
    return text


def stats_files(facts: Mapping[str, Any], *metrics: str) -> list[str]:
    """Return of each metric one file that holds its distribution and its store's checks."""
    first = {run["metric"]: label for label, run in reversed(facts["experiments"].items())}
    return [f"{first[metric]}/sensitivity_stats.json" for metric in dict.fromkeys(metrics)]


def _probes(facts: Mapping[str, Any], metrics: list[str]) -> str:
    """Say from how many random probes these metrics come, where the settings of their experiments say so."""
    runs = [run["config"].get("scoring") or {} for run in facts["experiments"].values() if run["metric"] in metrics]
    known = sorted({scoring["probes"] for scoring in runs if "probes" in scoring})
    return f"{' or '.join(count(n) for n in known)} random probes".strip()
