"""All tables of the report by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import tables_analysis, tables_judged, tables_scores, tables_setup, tables_stability, tables_structure
from .tables_times import time_tables
from .times import KEY


def tables(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return all tables of the report by name; some are lists or dictionaries of tables."""
    metrics, runs = facts["metrics"], facts["experiments"]
    return {
        "experiments": tables_setup.experiments(runs),
        "settings": tables_setup.settings(runs),
        "model": tables_setup.model(facts["model"]),
        "components": tables_setup.components(facts["model"]),
        "texts": tables_setup.texts(facts["texts"], facts),
        "loss": tables_setup.loss(facts["corpus_loss"]),
        "metrics": tables_setup.definitions(metrics),
        "top": {name: tables_scores.top(name, metric) for name, metric in metrics.items()},
        "distribution": tables_scores.distribution(metrics),
        "selections": tables_scores.selections(runs, metrics),
        "by_component": {label: tables_scores.by_component(label, run) for label, run in runs.items()},
        "by_block": {label: tables_scores.by_block(label, run) for label, run in runs.items()},
        "overlap": tables_analysis.overlap(facts["overlap"]["global"]),
        "overlap_in_tensors": tables_analysis.overlap_in_tensors(facts["overlap"]["tensor"]),
        "overlap_pooled": tables_analysis.overlap_pooled(facts["overlap"]["pooled"]),
        "overlap_of_lines": tables_analysis.overlap_of_lines(facts["overlap"]["lines"]),
        "agreement": tables_analysis.agreement(facts["agreement"]),
        "concentration": tables_analysis.concentration(metrics),
        "tails": tables_analysis.tails(metrics),
        "score_by_component": tables_analysis.score_by_component(facts["model"], metrics),
        "structure": [make(facts["structure"]) for make in (
            tables_structure.lines, tables_structure.named_lines, tables_structure.components, tables_structure.layers,
            tables_structure.channels, tables_structure.neurons)],
        "tokens": [make(facts["tokens"]) for make in (tables_structure.tokens, tables_structure.first_tokens)],
        "stability": [make(facts["stability"]) for make in (
            tables_stability.verdicts, tables_stability.noise, tables_stability.weights,
            tables_stability.not_measured)],
        "resampled": tables_stability.overlaps(facts["stability"]),
        "first_position": [make(facts["first_position"]) for make in (
            tables_stability.first_position, tables_stability.fallen)],
        "superweights": [make(facts["superweights"], facts.get("not_searched")) for make in (
            tables_structure.superweights, tables_structure.spikes)],
        "criteria": tables_judged.criteria(facts["criteria"]),
        "verdict": tables_judged.verdict(facts["validation"]),
        "ladder": tables_judged.ladder(facts["validation"]),
        "rehearsals": tables_judged.rehearsals(facts["checks"]),
        "checks": [tables_analysis.laws(check) for check in facts["checks"] if check["laws"]],
        "skipped": tables_scores.skipped(metrics),
        "provenance": tables_setup.provenance(facts),
        "times": time_tables(facts[KEY]),
    }  # fmt: skip
