"""The finding on the weight that leads: where it lies, by how much it leads, and what changing it alone does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .finding import Finding, finding, is_estimate
from .findings_tokens import space_mark
from .show import listed, plural, quoted, real, times


def best(facts: Mapping[str, Any]) -> Finding | None:
    """Say which weight leads, what changing it alone does, and whether the best weights lie together."""
    ranked = {name: metric for name, metric in facts["metrics"].items() if metric["top"]}
    if not ranked:
        return None
    name = next((n for n, metric in ranked.items() if metric["has_gradient"]), next(iter(ranked)))
    metric = ranked[name]
    first, rows = metric["top"][0], metric["top"]
    tensor, n = Counter(row["parameter"] for row in rows).most_common(1)[0]
    text = f"by {name}, {first['parameter']} at {first['indices']}"
    if first["token"] is not None:
        text += f" (token {quoted(first['token'])}{space_mark(first['token'])})"
    text += f" leads with {real(first['sensitivity_score'])} {metric['units']}"
    if metric["overall"]["max_over_median"] is not None:
        text += f", {times(metric['overall']['max_over_median'])} the median of all weights"
    alike = sum(row["sensitivity_score"] == first["sensitivity_score"] for row in rows)
    if alike > 1:
        text += f", as do {alike - 1} more of the first {len(rows)}" if alike > 2 else ", as does the second"
    text += f"; {_alone(first['alone'])}"
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
    if is_estimate(metric):
        sure += " A score of this metric is an estimate from random probes."
    files = [f"{metric['top_of']}/top_weights.csv"] + (["interventions/single_weights.csv"] if first["alone"] else [])
    return finding("Which weight leads", text, sure, "best-weights", *files)


def _alone(own: Mapping[str, Any] | None) -> str:
    """Say what changing the weight alone did to the loss: a score has no sign, and a large one may be of a gain."""
    if own is None:
        return "what changing it alone does was not measured"
    if own["change"] == 0:
        return "what was tried on it alone leaves this weight as it is"
    begin, texts = f"set to {real(own['to'])} alone, this weight", plural(own["n_texts"], "evaluation text")
    if own["dnll"] is None:
        return f"{begin} leaves no evaluation text with a finite loss"
    if own["low"] == own["high"] == 0:
        return f"{begin} leaves the loss of {texts} as it is"
    low, high = real(own["low"], 3), real(own["high"], 3)
    text = f"{begin} changes the loss by {real(own['dnll'], 3)} nats per token ({low} to {high}; {texts}): "
    if own["low"] <= 0 <= own["high"]:
        return text + "whether it rises or falls, these texts cannot tell"
    return text + f"the loss {'rises' if own['low'] > 0 else 'falls'}"


def _address(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["parameter"], row["indices"]
