"""Every fact of the report in one dictionary (quantitative_results.json), read from small result files only."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import read_json
from ..metrics import METRICS, STATISTICS
from ..names import Experiment
from . import analysis
from .experiments import read_experiment
from .facts_judged import read_alone, read_criteria, read_validation
from .facts_positions import read_first_position
from .facts_stability import read_stability
from .facts_structure import read_structure, read_tokens
from .facts_superweights import read_not_searched, read_superweights
from .findings import findings
from .times import KEY, gather_times

SCHEMA_VERSION = "2"
FACTS = "quantitative_results.json"
"""Name of the file that holds the facts, unrounded."""
_OF_METRIC = ("overall", "store", "quantiles")


def gather(
    root: Path, phase: str, model: str, experiments: Iterable[Experiment], *, interventions: bool = True
) -> dict[str, Any]:
    """Return all facts on one (phase, model).

    Args:
        root: the results folder.
        phase: the phase.
        model: the model's name.
        experiments: its configured experiments, in the order of the report.
        interventions: whether they belong to the study; without them ``validation`` and what is known of weights
            changed ``alone`` are None, whatever files are there.

    Raises:
        ConfigError: no experiment is configured.
        TableError: a result file is missing or damaged, or was made with another model or other texts.

    """
    experiments = list(experiments)
    if not experiments:
        raise ConfigError(f"no experiment is configured for phase '{phase}' and model '{model}'",
                          fix=f"Add one to experiments, for example {phase}/{model}/gradsq_perlayer_k100")  # fmt: skip
    folder = root / phase / model
    facts, texts = read_json(folder / "model.json"), read_json(folder / "calibration.json")
    read = {e.label: read_experiment(root / e.path, e, facts, texts) for e in experiments}
    runs = {label: run for label, (run, _) in read.items()}
    alone = read_alone(folder / "interventions") if interventions else {}
    concentration = analysis.read_concentration(folder / "analysis" / "concentration.csv")
    metrics = {
        run["metric"]: define(run["metric"]) | {key: run[key] for key in _OF_METRIC}
        | {"concentration": concentration.get(run["metric"])} | best_weights(run["metric"], runs.values(), alone)
        for run in runs.values()
    }  # fmt: skip
    gathered = {
        "schema_version": SCHEMA_VERSION,
        "phase": phase,
        "model": describe_model(facts),
        "texts": texts,
        "corpus_loss": corpus_loss(metrics),
        "metrics": metrics,
        "experiments": {
            label: {k: v for k, v in run.items() if k not in (*_OF_METRIC, "top")} for label, run in runs.items()
        },
        **over_metrics(folder, interventions=interventions),
        "checks": self_checks(metrics),
    }
    gathered["findings"] = findings(gathered)
    return gathered | {KEY: gather_times({label: manifest for label, (_, manifest) in read.items()})}


def over_metrics(folder: Path, *, interventions: bool) -> dict[str, Any]:
    """Return what the analysis tables and the interventions in a model's folder say; None for a table not there."""
    tables = folder / "analysis"
    structure = read_structure(tables)
    return {
        "overlap": analysis.read_overlap(tables / "overlap.csv"),
        "agreement": analysis.read_agreement(tables / "agreement.csv"),
        "structure": structure,
        "tokens": read_tokens(tables, structure["close"] if structure else []),
        "first_position": read_first_position(tables),
        "superweights": read_superweights(tables),
        "not_searched": read_not_searched(folder / "spikes.json"),
        "stability": read_stability(tables),
        "criteria": read_criteria(tables),
        "validation": read_validation(folder / "interventions") if interventions else None,
    }


def define(metric: str) -> dict[str, Any]:
    """Return a metric's definition: formula in words, statistics, unit, normalisation, source, what counts as 0."""
    entry = METRICS[metric]
    formula = (inspect.getdoc(entry.score) or "").removeprefix("Return ").rstrip(".")
    return {
        "path_name": entry.path,
        "family": entry.family,
        "definition": formula,
        "statistics": {need: STATISTICS[need].definition for need in entry.needs},
        "units": entry.units,
        "normalisation": entry.normalisation,
        "source": entry.source,
        "has_gradient": entry.has_gradient,
        "clipped": entry.clipped,
    }


def describe_model(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's facts with its tensors counted by component instead of listed one by one."""
    components: dict[str, dict[str, Any]] = {}
    for tensor in facts["tensors"]:
        entry = components.setdefault(
            tensor["component"],
            {"n_tensors": 0, "n_weights": 0, "analysed_tensors": 0, "analysed_weights": 0, "shapes": [], "tied_to": []},
        )
        entry["n_tensors"] += 1
        entry["n_weights"] += tensor["numel"]
        entry["analysed_tensors"] += tensor["analysed"]
        entry["analysed_weights"] += tensor["numel"] if tensor["analysed"] else 0
        entry["shapes"] += [tensor["shape"]] if tensor["shape"] not in entry["shapes"] else []
        entry["tied_to"] += [name for name in tensor.get("tied_to") or [] if name not in entry["tied_to"]]
    kept = {key: value for key, value in facts.items() if key not in ("tensors", "files")}
    return kept | {"components": components}


def best_weights(
    metric: str, runs: Iterable[Mapping[str, Any]], alone: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the best weights of a metric, from the run that tells the most of them exactly.

    ``top_exact`` says how many of the rows are surely the best of **all** scored weights, not of the selection only;
    ``alone`` of each row what changing that weight alone did, None where it was not tried.
    """
    of_metric = [run for run in runs if run["metric"] == metric]
    best = max(of_metric, key=lambda run: min(run["exact_prefix"], len(run["top"])))
    exact = min(best["exact_prefix"], len(best["top"]))
    top = [row | {"alone": alone.get((row["parameter"], row["indices"]))} for row in best["top"]]
    return {"top": top, "top_of": best["label"], "top_exact": exact}


def corpus_loss(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean loss per token that each scoring pass saw; metrics that read no text have none."""
    losses: list[dict[str, Any]] = []
    for name, metric in metrics.items():
        store = metric["store"]
        if store.get("corpus_loss") is None:
            continue
        loss = {"value": store["corpus_loss"], "unit": "nats per token",
                "n_texts": store.get("n_texts"), "n_tokens": store.get("n_tokens")}  # fmt: skip
        known = next((entry for entry in losses if all(entry[key] == loss[key] for key in loss)), None)
        if known is None:
            losses.append(known := loss | {"metrics": []})
        known["metrics"].append(name)
    return losses


def self_checks(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the outcomes of laws and rehearsal, one entry for metrics with the same ones (one scoring pass)."""
    outcomes: list[dict[str, Any]] = []
    for name, metric in metrics.items():
        found = metric["store"].get("checks") or {}
        own = {"laws": found.get("laws") or [], "rehearsal": found.get("rehearsal") or None}
        known = next((outcome for outcome in outcomes if all(outcome[key] == own[key] for key in own)), None)
        if known is None:
            outcomes.append(known := {"metrics": [], **own})
        known["metrics"].append(name)
    return outcomes
