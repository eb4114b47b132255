"""Score stores with gradients of single texts, or with probes' standard errors, made without a model.

The usual use::

    specs = matrix_specs(4, (20, 10))
    gradients = {spec.name: rng.standard_normal((spec.numel, 9)) for spec in specs}
    path = write_text_store(tmp_path / "gradsq.h5", specs, gradients, predicted, metric="grad_squared")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from synthetic_stores import TensorSpec, weights_of, write_store

Arrays = Mapping[str, NDArray[np.floating]]


def score_by_definition(
    metric: str, weight: NDArray[np.float64], gradient: NDArray[np.float64], predicted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a gradient metric's scores as METRICS has them, text by text.

    Args:
        metric: full name.
        weight: (weights,).
        gradient: (weights, N), g_s of each text; a text that counts twice is there twice.
        predicted: (N,) T_s.

    """
    texts = range(len(predicted))
    tokens = sum(int(predicted[s]) for s in texts)
    match metric:
        case "grad_x_weight":
            return np.abs(weight * sum(gradient[:, s] for s in texts) / tokens)
        case "grad_squared":
            return sum((gradient[:, s] / predicted[s]) ** 2 for s in texts) / len(texts)
        case "taylor_abs":
            return sum(np.abs(weight * gradient[:, s] / predicted[s]) for s in texts) / len(texts)
        case "obd":
            return 0.5 * weight**2 * sum(gradient[:, s] ** 2 for s in texts) / tokens
    raise ValueError(metric)


def write_text_store(
    path: Path,
    specs: Sequence[TensorSpec],
    gradients: Arrays,
    predicted: Sequence[int],
    *,
    metric: str = "grad_squared",
    candidates: int = 10_000,
    kept: int = 1000,
    seed: int = 0,
    root: Mapping[str, Any] | None = None,
) -> Path:
    """Write a store of a gradient metric whose scores follow from gradients of single texts, and return its path.

    Args:
        path: where to.
        specs: the tensors; the weights are those of ``weights_of(specs, seed)``.
        gradients: (numel, N) by tensor, g_s of every weight.
        predicted: T_s.
        metric: full name.
        candidates: kept of each tensor.
        kept: of how many of them the gradients are kept.
        seed: of the weights, and what the store says its texts were drawn with.
        root: root attributes to set otherwise.

    """
    predicted, weights = np.asarray(predicted, np.int64), weights_of(specs, seed)
    single = {name: np.asarray(values, np.float32).astype(np.float64) for name, values in gradients.items()}
    scores = {
        spec.name: score_by_definition(metric, weights[spec.name].ravel().astype(np.float64), single[spec.name],
                                       predicted).astype(np.float32).reshape(spec.shape)
        for spec in specs
    }  # fmt: skip
    write_store(path, specs, scores, metric=metric, candidates=candidates, dense=False, seed=seed)
    with h5py.File(path, "r+") as file:
        file["text_predicted"] = predicted
        file.attrs.update({"n_texts": len(predicted), "n_tokens": int(predicted.sum()), **(root or {})})
        for name, values in single.items():
            group = file["tensors"][name]
            group["text_gradient"] = values[group["top_index"][:kept]].astype(np.float32)
    return path


def write_probe_store(
    path: Path,
    specs: Sequence[TensorSpec],
    signed: Arrays,
    stderr: Arrays,
    *,
    metric: str = "hutchinson_diag",
    candidates: int = 1000,
    seed: int = 0,
    root: Mapping[str, Any] | None = None,
) -> Path:
    """Write a store of a curvature metric from the signed estimate of every weight and its standard error."""
    weights = weights_of(specs, seed)
    flat = {spec.name: np.asarray(signed[spec.name], np.float32) for spec in specs}
    scores = {
        spec.name: np.abs(flat[spec.name]).reshape(spec.shape) if metric == "hutchinson_diag"
        else np.maximum(0, 0.5 * flat[spec.name].reshape(spec.shape) * weights[spec.name] ** 2)
        for spec in specs
    }  # fmt: skip
    write_store(path, specs, scores, metric=metric, candidates=candidates, dense=False, seed=seed)
    with h5py.File(path, "r+") as file:
        file.attrs.update(root or {})
        for name, values in flat.items():
            group = file["tensors"][name]
            group["top_signed"] = values[group["top_index"][:]]
            group["top_stderr"] = np.asarray(stderr[name], np.float32)[group["top_index"][:]]
    return path
