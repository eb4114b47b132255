"""Small result folders as the stages before the report leave them, made without a model, for report and archive.

    root = make_results(tmp_path / "results", ["gradsq_perlayer_k3", "mag_global_k5"])

writes ``root/p2/tiny`` with facts, texts, run folders, analysis tables and one-pixel figures; everything follows
from the seed. Manifests and reports are left to the code under test.
"""

from __future__ import annotations

import base64
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from critical_weights.metrics import METRICS_BY_PATH
from critical_weights.names import Experiment, parse_experiment
from critical_weights.plots import ANALYSIS_FIGURES, SCORE_FIGURES
from critical_weights.tables.schema import CONCENTRATION, OVERLAP, TOP_WEIGHTS, write_table
from synthetic_report import write_analysis

PHASE, MODEL = "p2", "tiny"
MODEL_SHA256, CALIBRATION_SHA256 = "5e" * 32, "ca" * 32
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""The smallest figure."""
TOKENS = ["<s>", "Ġthe", "\n", "<!-- times -->", "a|b`c", "\u202eevil", "</td><script>", " ", "\u0301", "\\n"]
"""Tokens that a careless page would hide, break on, or run."""
TENSORS = (
    ("model.embed_tokens.weight", (len(TOKENS), 4), None, "embed_tokens"),
    ("model.layers.0.self_attn.q_proj.weight", (4, 4), 0, "q_proj"),
    ("model.layers.0.mlp.down_proj.weight", (4, 6), 0, "down_proj"),
    ("model.layers.1.self_attn.q_proj.weight", (4, 4), 1, "q_proj"),
    ("model.layers.1.mlp.down_proj.weight", (4, 6), 1, "down_proj"),
)
LAWS = ("rows of up_proj = columns of down_proj", "final norm = columns of lm_head")


def experiments(labels: list[str], phase: str = PHASE) -> list[Experiment]:
    """The experiments of run-folder names."""
    return [parse_experiment(f"{phase}/{MODEL}/{label}", [phase], [MODEL]) for label in labels]


def make_results(root: Path, labels: list[str], *, phase: str = PHASE, seed: int = 0, everything: bool = False) -> Path:
    """Write ``root/{phase}/tiny`` but for manifests and report; return ``root``.

    Of the analysis only what a report cannot do without, unless ``everything`` is asked for.
    """
    folder = root / phase / MODEL
    runs = experiments(labels, phase)
    _json(folder / "model.json", model_facts())
    _json(folder / "calibration.json", calibration(phase))
    scores = {metric: make_scores(metric, seed) for metric in dict.fromkeys(run.metric for run in runs)}
    for run in runs:
        _write_run(root / run.path, run, scores[run.metric])
    full = {METRICS_BY_PATH[metric].name: values for metric, values in scores.items()}
    write_table(_overlap(full), folder / "analysis" / "overlap.csv", OVERLAP)
    write_table(_concentration(full), folder / "analysis" / "concentration.csv", CONCENTRATION)
    figures = ["overlap_matrix", "lorenz_curves"]
    if everything:
        rankings = {run.label: rank(run, scores[run.metric]) for run in runs}
        for first in experiments([f"{metric}_global_k20" for metric in scores], phase):
            rankings[first.label] = rank(first, scores[first.metric])
        write_analysis(folder, runs, rankings, scores, model_facts(), TOKENS)
        figures = [*SCORE_FIGURES, *ANALYSIS_FIGURES]
    for figure in figures:
        _bytes(folder / "analysis" / "plots" / f"{figure}.png", PNG)
    return root


def model_facts() -> dict[str, Any]:
    """A model of five matrices and one norm vector, which is left out."""
    tensors = [
        {"name": name, "position": i, "shape": list(shape), "numel": int(np.prod(shape)), "layer": layer,
         "component": component, "kind": "linear", "axes": ["row", "col"], "tied_to": [], "analysed": True}
        for i, (name, shape, layer, component) in enumerate(TENSORS)
    ]  # fmt: skip
    tensors.append({"name": "model.norm.weight", "position": 5, "shape": [4], "numel": 4, "layer": None,
                    "component": "norm", "kind": "norm", "axes": ["row"], "tied_to": [],
                    "analysed": False})  # fmt: skip
    analysed = [t for t in tensors if t["analysed"]]
    return {
        "model": MODEL, "source": "bundled", "repo": None, "revision": None, "checkpoint": "final",
        "architecture": "LlamaForCausalLM", "model_type": "llama", "checkpoint_dtype": "float32",
        "vocab_size": len(TOKENS), "hidden_size": 4, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1,
        "intermediate_size": 6, "n_tensors": len(tensors), "n_weights": sum(t["numel"] for t in tensors),
        "analysed": {"n_tensors": len(analysed), "n_weights": sum(t["numel"] for t in analysed), "include_1d": False},
        "tensors": tensors, "files": [{"name": "model.safetensors", "bytes": 500, "sha256": "f0" * 32}],
        "sha256": MODEL_SHA256,
    }  # fmt: skip


def calibration(phase: str) -> dict[str, Any]:
    """Seven calibration texts of which two are duplicates, and three evaluation texts."""

    def part(n: int, duplicates: int) -> dict[str, Any]:
        return {"source": "default", "sha256": f"{n:02x}" * 32, "n_texts": n, "n_tokens": 10 * n, "n_predicted": 9 * n,
                "n_read": n + 2, "n_blank": 1, "n_too_short": 1, "n_cut": 0, "n_duplicates": duplicates,
                "n_not_drawn": 0, "lengths": {"min": 8, "median": 10.0, "max": 12}}  # fmt: skip

    return {"phase": phase, "model": MODEL, "calibration": part(7, 2), "evaluation": part(3, 0), "max_samples": 100,
            "max_length": 512, "seed": 42, "tokenizer_sha256": "70" * 32, "sha256": CALIBRATION_SHA256,
            "evaluation_sha256": "ea" * 32}  # fmt: skip


def make_scores(metric: str, seed: int) -> dict[str, np.ndarray]:
    """Log-normal float32 scores; the embedding's second row leads, its last row was never seen."""
    rng = np.random.default_rng([seed, *metric.encode()])
    scores = {name: rng.lognormal(-8, 2, shape).astype(np.float32) for name, shape, _, _ in TENSORS}
    scores["model.embed_tokens.weight"][1] *= 1000
    scores["model.embed_tokens.weight"][-1] = 0
    return scores


def _write_run(folder: Path, run: Experiment, scores: dict[str, np.ndarray]) -> None:
    ranking = rank(run, scores)
    write_table(ranking, folder / "top_weights.csv", TOP_WEIGHTS)
    _json(folder / "sensitivity_stats.json", stats(run, scores, ranking))
    _json(folder / "config.json", {"experiment": run.path, "mode": run.mode, "k": run.k, "phase": {"seed": 42}})
    for figure in ("layer_comparison", "sensitivity_distribution", "sensitivity_heatmap"):
        _bytes(folder / "plots" / f"{run.metric_full}_k{run.k}_{figure}.png", PNG)


def rank(run: Experiment, scores: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rank by a plain sort of all weights, group by group."""
    rows = []
    for position, (name, _, layer, component) in enumerate(TENSORS):
        for flat, score in enumerate(scores[name].reshape(-1)):
            row, col = divmod(flat, scores[name].shape[1])
            group = {"perlayer": name, "perblock": layer, "global": 0}[run.mode]
            rows.append({"group": str(group), "key": (-float(score), position, flat), "parameter": name, "row": row,
                         "col": col, "indices": f"({row}, {col})", "sensitivity_score": score, "weight": 0.5,
                         "layer": layer, "gradient": -float(score) if run.definition.has_gradient else None,
                         "component": component, "expert": None,
                         "token": TOKENS[row] if component == "embed_tokens" else ""})  # fmt: skip
    rows.sort(key=lambda r: r["key"])
    taken: dict[str, int] = {}
    kept = []
    for row in rows:
        taken[row["group"]] = taken.get(row["group"], 0) + 1
        if taken[row["group"]] <= run.k:
            kept.append(row)
    frame = pd.DataFrame(kept)
    frame["rank"] = range(1, len(frame) + 1)
    frame["rank_in_tensor"] = frame.groupby("parameter").cumcount() + 1
    frame["layer"] = frame["layer"].astype("Int64")
    frame["gradient"] = frame["gradient"].astype("float32")
    return frame[[c.name for c in TOP_WEIGHTS.columns]]


def stats(run: Experiment, scores: dict[str, np.ndarray], ranking: pd.DataFrame) -> dict[str, Any]:
    """``sensitivity_stats.json``, with the store's attributes under ``store``."""
    gradient = run.definition.family == "gradient"
    everything = np.concatenate([s.reshape(-1) for s in scores.values()]).astype(np.float64)
    selected = ranking["sensitivity_score"].to_numpy(np.float64)
    layers = ranking["layer"].astype("string").fillna("outside")

    def shares(values: pd.Series, names: list[str]) -> dict[str, Any]:
        return {
            n: {"num_weights": int((values == n).sum()), "share_of_selection": float((values == n).mean())}
            for n in names
        }

    return {
        "metric": run.metric_full,
        "units": run.definition.units,
        "overall": _moments(everything) | {"num_tensors": len(TENSORS)},
        "selection": {
            "mode": run.mode, "k": run.k, "num_weights": len(selected),
            "num_tensors": int(ranking["parameter"].nunique()), "threshold": float(selected[-1]),
            "share_of_score": float(selected.sum() / everything.sum()), "max": float(selected[0]),
            "min": float(selected[-1]), "mean": float(selected.mean()), "median": float(np.median(selected)),
            "by_component": shares(ranking["component"], ["embed_tokens", "q_proj", "down_proj"]),
            "by_layer": shares(layers, ["0", "1", "outside"]),
        },
        "tensors": {
            name: _moments(scores[name].reshape(-1).astype(np.float64))
            | {"shape": list(shape), "layer": layer, "component": component,
               "selected": int((ranking["parameter"] == name).sum())}
            for name, shape, layer, component in TENSORS
        },
        "histogram": {"edges": [], "counts": {}, "zeros": {}},
        "quantiles": {"method": "exact", "relative_error": 0.0},
        "store": {
            "schema_version": "1", "metric": run.metric_full, "units": run.definition.units,
            "normalisation": run.definition.normalisation, "model": MODEL, "model_revision": "",
            "model_sha256": MODEL_SHA256, "calibration_sha256": CALIBRATION_SHA256 if gradient else None,
            "n_texts": 7 if gradient else 0, "n_tokens": 63 if gradient else 0,
            "corpus_loss": 3.25 if gradient else None, "seed": 42,
            "model_dtype": "float32", "accumulator_dtype": "float32", "versions": {"torch": "2.13.0"},
            "checks": {"laws": _laws() if gradient else [], "rehearsal": _rehearsal(gradient)},
            "skipped": {} if gradient else {"model.embed_tokens.weight": "no such input"}, "complete": True,
        },
    }  # fmt: skip


def _laws() -> list[dict[str, Any]]:
    return [
        {"law": LAWS[0], "status": "passed", "error": 2.5e-7, "tolerance": 1e-5, "n": 2, "reason": None},
        {"law": LAWS[1], "status": "not applicable", "error": None, "tolerance": None, "n": 0, "reason": "tied"},
    ]


def _rehearsal(gradient: bool) -> dict[str, Any]:
    if not gradient:
        return {"status": "not applicable", "reason": "it is for gradients"}
    return {"status": "passed", "reason": None, "texts": 3, "tensors": 5, "differing": 0, "packing_error": 1.5e-6,
            "tolerance": 1e-3}  # fmt: skip


def _moments(values: np.ndarray) -> dict[str, float]:
    p = {name: float(np.quantile(values, q)) for name, q in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {"mean": float(values.mean()), "std": float(values.std()), "min": float(values.min()),
            "max": float(values.max()), **p, "num_weights": len(values),
            "zero_fraction": float((values == 0).mean())}  # fmt: skip


def _overlap(scores: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    rows = []
    flat = {m: np.concatenate([s.reshape(-1) for s in values.values()]) for m, values in scores.items()}
    for a, b in combinations(scores, 2):
        for k in (10, 30):
            n = len(flat[a])
            first = [set(np.argsort(-flat[m], kind="stable")[:k].tolist()) for m in (a, b)]
            shared = len(first[0] & first[1])
            rows.append({"scope": "global", "tensor": "", "a": a, "b": b, "k": str(k), "shared": shared,
                         "share": shared / k, "jaccard": shared / (2 * k - shared), "expected": k * k / n, "p": 0.25,
                         "complete": True})  # fmt: skip
            for scope in ("pooled", "row", "col", "neuron"):
                rows.append({"scope": scope, "tensor": "", "a": a, "b": b, "k": str(k), "shared": 7, "share": 7 / k,
                             "jaccard": 7 / (2 * k - 7), "expected": 1.75, "p": 0.125, "complete": True})  # fmt: skip
        for name, *_ in TENSORS:
            rows.append({"scope": "row", "tensor": name, "a": a, "b": b, "k": "2", "shared": 1, "share": 0.5,
                         "jaccard": 1 / 3, "expected": 1.0, "p": 0.5, "complete": True})  # fmt: skip
            rows.append({"scope": "tensor", "tensor": name, "a": a, "b": b, "k": "10", "shared": 4, "share": 0.4,
                         "jaccard": 0.25, "expected": None, "p": None, "complete": False})  # fmt: skip
    return pd.DataFrame(rows, columns=[c.name for c in OVERLAP.columns])


def _concentration(scores: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    rows = []

    def add(metric: str, scope: str, name: str, quantity: str, at: float | None, value: float, weights: int) -> None:
        rows.append({"metric": metric, "scope": scope, "name": name, "quantity": quantity, "at": at, "value": value,
                     "low": value - 0.001, "high": value + 0.001, "weights": weights, "unit": "fraction",
                     "magnitude": 0.5})  # fmt: skip

    for metric, values in scores.items():
        flat = np.sort(np.concatenate([s.reshape(-1) for s in values.values()]).astype(np.float64))[::-1]
        n, total = len(flat), float(flat.sum())
        add(metric, "all", "all", "gini", None, float(1 - 2 * np.cumsum(flat[::-1]).sum() / (n * total) + 1 / n), n)
        add(metric, "all", "all", "effective_number", None, total**2 / float((flat**2).sum()), n)
        for k, alpha in ((10.0, 1.25), (20.0, 1.5), (30.0, 1.75)):
            add(metric, "all", "all", "tail_index", k, alpha, n)
        add(metric, "all", "all", "tail_index_range", None, 1.5, n)
        add(metric, "all", "all", "top_mean_over_median", 0.01, float(flat[:2].mean() / np.median(flat)), n)
        for at in (0.01, 0.1):
            add(metric, "all", "all", "top_share", at, float(flat[: max(1, round(at * n))].sum()) / total, n)
            add(metric, "all", "all", "lorenz", at, float(flat[: max(1, round(at * n))].sum()) / total, n)
        for scope, index in (("component", 3), ("layer", 2)):
            for place in dict.fromkeys(t[index] for t in TENSORS):
                inside = [values[t[0]] for t in TENSORS if t[index] == place]
                weights = sum(s.size for s in inside)
                name = "outside" if place is None else str(place)
                add(
                    metric,
                    scope,
                    name,
                    "score_share",
                    None,
                    float(sum(s.sum(dtype=float) for s in inside)) / total,
                    weights,
                )
                add(metric, scope, name, "weight_share", None, weights / n, weights)
    return pd.DataFrame(rows, columns=[c.name for c in CONCENTRATION.columns])


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _bytes(path: Path, value: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)


def finish(root: Path, labels: list[str], *, phase: str = PHASE, benchmarks: dict[str, Path] | None = None) -> Path:
    """Write the manifests and the report with the code under test; return the report's folder."""
    from critical_weights.report import write_report
    from critical_weights.run_manifest import write_run_manifest

    folder = root / phase / MODEL
    runs = experiments(labels, phase)
    for run in runs:
        write_run_manifest(
            root / run.path,
            run,
            facts=folder / "model.json",
            calibration=folder / "calibration.json",
            benchmarks=benchmarks or {},
            timing=None,
            output=root / run.path / "experiment_manifest.json",
        )
    write_report(root, phase, MODEL, runs, folder / "report")
    return folder / "report"
