"""The facts of the report over models and phases: what the reports on each of them say, beside the tables over all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, TableError
from ..files import read_json
from ..names import Experiment
from .analysis import at_one_k
from .gather import FACTS
from .gather import SCHEMA_VERSION as OF_ONE
from .study_across import read_across
from .study_findings import study_findings
from .times import KEY, merge_times

SCHEMA_VERSION = "2"
_KEPT = ("phase", "model", "texts", "corpus_loss", "metrics", "experiments", "superweights", "criteria", "checks")

Facts = dict[str, Any]


def gather_study(root: Path, experiments: Iterable[Experiment]) -> Facts:
    """Return all facts over models and phases.

    ``parts`` holds, by ``phase/model``, what the report on it says: the same keys, the long tables cut to what is
    compared. ``across`` is from the tables of ``results/report``, ``findings`` are worked out from both.

    Args:
        root: the results folder, with the reports on each phase and model in it.
        experiments: the configured experiments, in the order of the report.

    Raises:
        ConfigError: no experiment is configured.
        TableError: a report or table is missing, damaged, or not of these experiments.

    """
    labels: dict[str, list[str]] = {}
    for experiment in experiments:
        labels.setdefault(f"{experiment.phase}/{experiment.model}", []).append(experiment.label)
    if not labels:
        raise ConfigError("no experiment is configured, so there is nothing to report on",
                          fix="Add one to experiments, for example p2/bundled/gradsq_perlayer_k100")  # fmt: skip
    read = {name: _read(root, name, own) for name, own in labels.items()}
    facts: Facts = {
        "schema_version": SCHEMA_VERSION,
        "parts": {name: _part(own) for name, own in read.items()},
        "repeats": repeats(read),
        "across": read_across(root / "report"),
    }
    facts["findings"] = study_findings(facts)
    return facts | {KEY: merge_times({name: own[KEY] for name, own in read.items()})}


def _read(root: Path, name: str, labels: list[str]) -> Facts:
    path = root / name / "report" / FACTS
    facts: Facts = read_json(path)
    fix = f"Run snakemake --cores 1 results/{name}/report/report.html"
    known = list(facts.get("experiments", {}))
    if facts.get("schema_version") != OF_ONE or KEY not in facts:
        raise TableError(f"{path} is not of this version of the report", fix=fix)
    if known != labels:
        raise TableError(f"{path} is on other experiments", got=", ".join(known), expected=", ".join(labels), fix=fix)
    return facts


def _part(facts: Facts) -> Facts:
    part = {key: facts[key] for key in _KEPT}
    part["overlap"] = {"global": at_one_k(facts["overlap"]["global"])}
    stability, validation = facts["stability"], facts["validation"]
    part["stability"] = stability and {
        "verdicts": [row for row in stability["verdicts"] if row["mode"] == "global"],
        "overlaps": [row for row in stability["overlaps"] if row["mode"] == "global"],
        "not_measured": stability["not_measured"],
    }
    part["validation"] = validation and {key: validation[key] for key in ("verdict", "unchanged", "conditions")}
    return part


def repeats(parts: Mapping[str, Facts]) -> dict[str, str]:
    """Return which (phase, model) has the same model, dtype, calibration token ids and seed as an earlier one.

    Two such are one piece of evidence: what the scores of both say is no stronger than what those of one say. What
    changing weights does was measured on evaluation texts, which may be others:
    :func:`~critical_weights.report.study_facts.measured_again`.
    """
    first: dict[tuple[Any, ...], str] = {}
    found: dict[str, str] = {}
    for name, facts in parts.items():
        dtypes = frozenset(metric["store"].get("model_dtype") for metric in facts["metrics"].values())
        key = facts["model"]["sha256"], dtypes, facts["texts"]["sha256"], facts["texts"]["seed"]
        if key in first:
            found[name] = first[key]
        first.setdefault(key, name)
    return found
