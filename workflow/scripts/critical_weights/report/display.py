"""All tables of the report by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import tables_analysis, tables_scores, tables_setup
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
        "texts": tables_setup.texts(facts["texts"]),
        "loss": tables_setup.loss(facts["corpus_loss"]),
        "metrics": tables_setup.definitions(metrics),
        "top": {name: tables_scores.top(name, metric) for name, metric in metrics.items()},
        "distribution": tables_scores.distribution(metrics),
        "selections": tables_scores.selections(runs, metrics),
        "by_component": {label: tables_scores.by_component(label, run) for label, run in runs.items()},
        "by_block": {label: tables_scores.by_block(label, run) for label, run in runs.items()},
        "overlap": tables_analysis.overlap(facts["overlap"]["global"]),
        "overlap_in_tensors": tables_analysis.overlap_in_tensors(facts["overlap"]["tensor"]),
        "concentration": tables_analysis.concentration(metrics),
        "score_by_component": tables_analysis.score_by_component(facts["model"], metrics),
        "checks": [tables_analysis.laws(check) for check in facts["checks"] if check["laws"]],
        "skipped": tables_scores.skipped(metrics),
        "provenance": tables_setup.provenance(facts),
        "times": time_tables(facts[KEY]),
    }
