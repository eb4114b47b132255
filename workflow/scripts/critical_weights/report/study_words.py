"""The words around the findings over models and phases: what was done, what it does not show, what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .show import count, listed, plural
from .study_facts import ESTIMATES, estimates, judged, measured_again, some, texts_not_drawn_again


def lede(facts: Mapping[str, Any]) -> str:
    """Say what was done, in counts."""
    parts = facts["parts"].values()
    models = list(dict.fromkeys(part["model"]["model"] for part in parts))
    phases = list(dict.fromkeys(part["phase"] for part in parts))
    metrics = list(dict.fromkeys(metric for part in parts for metric in part["metrics"]))
    runs = sum(len(part["experiments"]) for part in parts)
    scored = {part["model"]["sha256"]: part["model"]["analysed"]["n_weights"] for part in parts}
    text = f"This report covers {plural(runs, 'experiment')} on {plural(len(models), 'model')} ({listed(models)}) in "
    text += (
        f"{plural(len(phases), 'phase')} ({listed(phases)}) by {plural(len(metrics), 'metric')} ({listed(metrics)})."
    )
    text += f" {count(sum(scored.values()))} weights were scored"
    text += f", those of {plural(len(scored), 'checkpoint')} together" if len(scored) > 1 else ""
    text += ". A score says how much a weight matters by that metric: larger is more critical. It has no sign: "
    return f"{text}changing such a weight moves the loss, up or down."


def limits(facts: Mapping[str, Any]) -> list[str]:
    """Say what the figures do not show; what stands here follows from what was and was not measured."""
    parts = facts["parts"]
    models = {part["model"]["sha256"] for part in parts.values()}
    found = []
    if len(models) == 1:
        found.append("One checkpoint only: nothing here says whether another model would come out alike.")
    if measured := measured_again(facts):
        told = [f"{name} has the model, texts and seed of {first}" for name, first in measured.items()]
        found.append(f"{some(told, '; ')}. What both say is one piece of evidence.")
    if scored := {name: first for name, first in facts["repeats"].items() if name not in measured}:
        told = [f"{name} has the model, calibration texts and seed of {first}, but other evaluation texts"
                for name, first in scored.items()]  # fmt: skip
        found.append(f"{some(told, '; ')}. What both say of scores is one piece of evidence.")
    read = {(part["model"]["sha256"], part["texts"]["sha256"]) for part in parts.values() if part["corpus_loss"]}
    if len(read) == len({model for model, _ in read}) > 0:
        drawn = [row for part in parts.values() for row in (part["stability"] or {}).get("verdicts", ())]
        again = any(row["method"] == "halves" for row in drawn)
        told = "what drawing from it again changes is under Stability, " if again else ""
        found.append(f"Each model was scored on one set of texts: {told}other kinds of texts may change more.")
    if unmeasured := [name for name, part in parts.items() if not part["stability"]]:
        found.append(f"How far other texts would change the scores was not measured in {some(unmeasured)}.")
    probes, nothing = texts_not_drawn_again(facts)
    if probes or nothing:
        found.append(f"How far other texts would change the rankings by {listed(sorted({*probes, *nothing}))} was not "
                     "measured.")  # fmt: skip
    if unchanged := [name for name, part in parts.items() if not part["validation"]]:
        found.append(f"What changing a weight really does was not measured in {some(unchanged)}: a score there is an "
                     "estimate.")  # fmt: skip
    shared = {name: part["texts"] for name, part in parts.items()
              if part["validation"] and (part["texts"].get("overlap") or {"texts": 0})["texts"]}  # fmt: skip
    if shared:
        told = [f"{count(own['overlap']['texts'])} of {count(own['evaluation']['n_texts'])} in {name}"
                for name, own in shared.items()]  # fmt: skip
        tokens = listed(list(dict.fromkeys(count(own["overlap"]["run"]) for own in shared.values())))
        found.append(f"Of the evaluation texts, {some(told)} share {tokens} tokens in a row with a calibration text.")
    if noisy := estimates(facts):
        found.append(f"Scores by {listed(noisy)} are {ESTIMATES}.")
    found.append("Which weights are selected depends on metric, mode and k. A selection by tensor (perlayer) or by "
                 "block takes as many of each: how many lie where says nothing there.")  # fmt: skip
    return found


def next_steps(facts: Mapping[str, Any]) -> list[str]:
    """Return what the result files imply is to be done; each step names the file. None where they imply nothing."""
    found = []
    for where, part in facts["parts"].items():
        for check in part["checks"]:
            failed = [law["law"] for law in check["laws"] if law["status"] == "failed"]
            if failed:
                found.append(f"Do not use the scores of {listed(check['metrics'])} in {where}: {listed(failed)} "
                             "failed.")  # fmt: skip
            if (check["rehearsal"] or {}).get("status") == "failed":
                found.append(f"Find out why the rehearsal of {listed(check['metrics'])} in {where} failed, before its "
                             "scores are used.")  # fmt: skip
    for row in (facts["across"]["phases"] or {"rows": []})["rows"]:
        if row["equal"] is not None and not row["equal"]:
            found.append(f"Find out why {row['metric']} of {row['model']} is not the same in {row['a']} and {row['b']} "
                         "(report/phases.csv).")  # fmt: skip
    for where, row in judged(facts):
        if row["verdict"] == "not run":
            found.append(f"Judge {row['name']} on {where}: it was not run, because {row['reason']}.")
    for where, part in facts["parts"].items():
        known = part["stability"]
        weak = {"halves": [], "probes": []}
        for row in known["verdicts"] if known else []:
            if row["largest_k"] == 0 and row["method"] in weak:
                weak[row["method"]].append(row["metric"])
        for method, more in (("halves", "texts"), ("probes", "probes")):
            if weak[method]:
                found.append(f"Score {where} with more {more} before the rankings by {listed(weak[method])} are read "
                             "as lists: over all tensors they hold at no k that the kept candidates answer "
                             f"({where}/analysis/stability.csv).")  # fmt: skip
        if not part["validation"]:
            found.append(f"Measure what changing the selected weights does in {where}: no interventions were made.")
    return found
