"""The words around the findings: what was done, what it does not show, what was checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .finding import is_estimate
from .show import count, listed, plural, share


def lede(facts: Mapping[str, Any]) -> str:
    """Say what was done, for a reader who sees the report for the first time."""
    model, runs = facts["model"], facts["experiments"]
    analysed, metrics = model["analysed"], list(facts["metrics"])
    reads = [loss for loss in facts["corpus_loss"] if loss["n_texts"]]
    text = (
        f"Each of {count(analysed['n_weights'])} weights in {plural(analysed['n_tensors'], 'parameter tensor')} of "
        f"{model['model']} ({share(analysed['n_weights'] / model['n_weights'])} of all its weights) was scored by "
        f"{plural(len(metrics), 'metric')}: {listed(metrics)}. A score says how much a weight matters by that metric: "
        f"larger is more critical. It has no sign: changing such a weight moves the loss, up or down. "
    )
    if reads:
        text += f"The metrics that read text saw {plural(reads[0]['n_texts'], 'text')}. "
    if any(metric["store"].get("skipped") for metric in facts["metrics"].values()):
        text += "What a metric has no score for is listed under Metrics. "
    return (
        text
        + f"A selection takes the k weights that a metric scores highest, of each tensor, of each block or of all; "
        f"there {'is' if len(runs) == 1 else 'are'} {len(runs)} here."
    )


def limits(facts: Mapping[str, Any]) -> str:
    """Say what the figures do not show."""
    used = facts["texts"]["calibration"]
    different = used["n_texts"] - used["n_duplicates"]
    repeated = f", {count(different)} of them different" if used["n_duplicates"] else ""
    noisy = [name for name, metric in facts["metrics"].items() if is_estimate(metric)]
    noise = f" Scores by {listed(noisy)} are estimates from random probes." if noisy else ""
    if not any(metric["store"].get("n_texts") for metric in facts["metrics"].values()):
        return "no metric here reads texts: how the model is used does not enter the scores. " + _changed(facts)
    if facts["stability"] and any(row["method"] == "halves" for row in facts["stability"]["verdicts"]):
        texts = "what drawing from these texts again changes is under Stability, other texts may differ more"
    else:
        texts = "how far other texts would change them is not measured here"
    text = f"the scores come from one set of {plural(used['n_texts'], 'text')}{repeated}; {texts}. "
    return text + _changed(facts) + noise


def _changed(facts: Mapping[str, Any]) -> str:
    text = "A score is an estimate made without changing the weight: what really happens to the loss when a weight is "
    if facts["validation"]:
        text += "changed is under Validation, for some of them."
    else:
        text += "changed is not measured here."
    return text


def checks(facts: Mapping[str, Any]) -> str:
    """Say which conservation laws were checked, and how they came out."""
    lines = []
    for check in facts["checks"]:
        names = listed(check["metrics"])
        if not check["laws"]:
            lines.append(f"{names}: not checked in this pass.")
            continue
        status = Counter(law["status"] for law in check["laws"])
        lines.append(
            f"{names}: {', '.join(f'{status[s]} {s}' for s in ('passed', 'failed', 'not applicable') if status[s])}."
        )
    return (
        "Symmetries of the network tie sums of weight times gradient in one tensor to sums in another, whatever the "
        f"texts. Outcomes of these laws, by scoring pass. {' '.join(lines)}"
    )
