"""Two synthetic models of other architectures in three phases, with the tables over all of them.

    root = make_study(tmp_path / "results")
    finish_study(root)

Phases ``p1`` and ``p2`` have the same texts, ``p3`` others. The tables over all hold rows of fixed figures.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from critical_weights.names import Experiment, parse_experiment
from critical_weights.report import write_report
from critical_weights.report.study import write_study_report
from critical_weights.run_manifest import write_run_manifest
from critical_weights.tables.across import CHECKPOINTS, CLUSTERS, MODELS, PHASES, TASK_WEIGHTS, TASKS
from critical_weights.tables.criteria import CRITERIA
from synthetic_report import write_interventions, write_rows
from synthetic_results import CALIBRATION_SHA256, MODEL, MODEL_SHA256, make_results

LABELS = ["gradsq_perlayer_k3", "gradxw_perblock_k6", "mag_global_k20"]
PHASE_NAMES, MODEL_NAMES = ("p1", "p2", "p3"), (MODEL, "other")
PARTS = [f"{phase}/{model}" for phase in PHASE_NAMES for model in MODEL_NAMES]
_OTHER = {
    MODEL_SHA256: "0d" * 32, "LlamaForCausalLM": "GPT2LMHeadModel", '"tiny"': '"other"', "/tiny/": "/other/",
    "q_proj": "c_attn",
}  # fmt: skip
_SUFFIXES = (".json", ".csv")


def runs(parts: list[str] = PARTS, labels: list[str] = LABELS) -> list[Experiment]:
    """The experiments, by phase and model."""
    return [parse_experiment(f"{part}/{label}", PHASE_NAMES, MODEL_NAMES) for part in parts for label in labels]


def make_study(root: Path) -> Path:
    """Write all but manifests and reports; return ``root``."""
    for phase in PHASE_NAMES:
        make_results(root, LABELS, phase=phase, everything=True)
        folder = root / phase / MODEL
        write_interventions(folder)
        if phase == "p3":
            _replace(folder, {CALIBRATION_SHA256: "cb" * 32})
        shutil.copytree(folder, root / phase / "other")
        _replace(root / phase / "other", _OTHER)
    write_across(root / "report")
    return root


def _replace(folder: Path, words: dict[str, str]) -> None:
    for path in folder.rglob("*"):
        if path.suffix in _SUFFIXES:
            text = path.read_text(encoding="utf-8")
            for old, new in words.items():
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")


def finish_study(root: Path, parts: list[str] = PARTS, labels: list[str] = LABELS) -> Path:
    """Write manifests and all reports with the code under test; return the folder of the one over all."""
    for run in runs(parts, labels):
        folder = root / run.phase / run.model
        write_run_manifest(
            root / run.path, run, facts=folder / "model.json", calibration=folder / "calibration.json", benchmarks={},
            timing=None, output=root / run.path / "experiment_manifest.json",
        )  # fmt: skip
    return report_again(root, parts, labels)


def report_again(
    root: Path, parts: list[str] = PARTS, labels: list[str] = LABELS, changed: list[str] | None = None
) -> Path:
    """Write the reports again, each phase and model first: all of them, or those whose files were changed."""
    for part in parts if changed is None else changed:
        write_report(root, *part.split("/"), runs([part], labels), root / part / "report")
    write_study_report(root, runs(parts, labels), root / "report")
    return root / "report"


def write_across(folder: Path) -> None:
    """Write the seven tables over all."""
    write_rows([*_phases("p1", "p2", True), *_phases("p1", "p3", None)], folder / "phases.csv", PHASES)
    write_rows(_models(), folder / "models.csv", MODELS)
    write_rows([
        {"model": MODEL, "metric": "grad_squared", "a": "p1", "b": "p3", "k": k, "shared": shared, "only": k - shared,
         "jaccard": shared / (2 * k - shared), "expected": 0.75, "p": 0.015625, "weights": 120}
        for k, shared in ((30, 12), (90, 75))
    ], folder / "tasks.csv", TASKS)  # fmt: skip
    write_rows([{"note": "not applicable: no k"}], folder / "task_weights.csv", TASK_WEIGHTS)
    write_rows([
        {"phase": "p1", "run": "training", "metric": "magnitude", "model": model, "step": step, "last": MODEL, "k": 30,
         "shared": shared, "share": shared / 30, "settled": shared - 2, "expected": 7.5, "p": 0.25,
         "expected_by_tensor": 8.25, "p_by_tensor": 0.125, "loss": 4.375, "weights": 120}
        for model, step, shared in (("early", 80, 11), (MODEL, None, 30))
    ], folder / "checkpoints.csv", CHECKPOINTS)  # fmt: skip
    write_rows([
        {"phase": "p1", "model": MODEL, "metric": "magnitude", "layer": layer, "depth": layer / 5,
         "cluster": 1 + layer // 3, "silhouette": 0.5, "clusters": 2, "mean_silhouette": 0.625, "p": 0.0035, "n": 6,
         "features": 4} for layer in range(6)
    ], folder / "clusters.csv", CLUSTERS)  # fmt: skip
    write_rows([
        {"name": "equal_phases", "statement": "as written before", "table": "phases", "column": "value",
         "test": ">=", "threshold": "1", "value": 1.0, "n": 3, "verdict": "pass"},
    ], folder / "criteria.csv", CRITERIA)  # fmt: skip


def _phases(a: str, b: str, equal: bool | None) -> list[dict[str, Any]]:
    verdict = "deterministic" if equal else "no check: settings differ in calibration_sha256"
    own = {"model": MODEL, "metric": "grad_squared", "a": a, "b": b, "scope": "all", "name": "all"}
    value = None if equal is None else float(equal)
    return [
        own | {"quantity": "determinism", "value": value, "verdict": verdict},
        own | {"quantity": "differing_tensors", "value": 0 if equal else 4, "n": 5, "unit": "tensors"},
        own | {"quantity": "max_difference", "value": 0 if equal else 0.34375},
        own | {"quantity": "same_order", "value": 120 if equal else 3, "n": 120},
        own | {"quantity": "jaccard", "k": 100, "value": 1 if equal else 0.4375, "n": 100},
    ]


def _models() -> list[dict[str, Any]]:
    own = {"phase": "p1", "metric": "magnitude", "a": MODEL, "b": "other", "k": 100}
    rows = [own | {"scope": "component", "name": "all", "unit": "weights", "test": "g", "p": 0.5, "q": 0.5}]
    for name, share_a, share_b, qs in (
        ("down_proj", 0.8125, 0.1875, (1e-9, 2e-5, 0.0039)), ("embed_tokens", 0.25, 0.375, (1e-7, 0.046875, 0.28125)),
    ):  # fmt: skip
        rows += [
            own | {"scope": "component", "name": name, "unit": unit, "count_a": 80, "count_b": 20, "n_a": 100,
                   "n_b": 100, "share_a": share_a, "share_b": share_b, "expected_a": 0.40625, "expected_b": 0.421875,
                   "difference": share_a - share_b, "test": "fisher", "p": q, "q": q}
            for unit, q in zip(("weights", "lines", "tensors"), qs, strict=True)
        ]  # fmt: skip
    return rows
