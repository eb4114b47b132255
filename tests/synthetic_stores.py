"""Small random score stores, with the facts and tokens that belong to them, for tests that need no model.

The usual use, in three lines::

    specs = default_specs()
    scores = random_scores(specs, seed=1)
    store = write_store(tmp_path / "gradsq.h5", specs, scores, candidates=20, dense=False)

``facts_of(specs)`` and ``tokens_of(specs)`` are the dicts of model.json and tokens.json for the same tensors, and
:func:`write_study` writes a whole ``results/{phase}/{model}`` folder with several stores. Everything follows from
the seed; scores have ties and zeros on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from critical_weights.files import sha256_json
from critical_weights.metrics import METRICS
from critical_weights.store.histogram import histogram_edges
from critical_weights.store.schema import TensorScores
from critical_weights.store.write import create_store

VOCABULARY = ["<s>", "the", "NA", 'a"quote', "com,ma", "new\nline", "carriage\rreturn", "null", " space ", "Ġbyte",
              "'", "é", "nan"]  # fmt: skip
"""Tokens that a careless CSV would break; as many as the default specs' embedding has rows."""
CALIBRATION = [[0, 1, 2], [0, 3]]
MODEL_SHA256, CALIBRATION_SHA256 = "5e" * 32, sha256_json(CALIBRATION)

Scores = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TensorSpec:
    """One parameter tensor as the facts have it; ``position`` is its place in a list of specs."""

    name: str
    shape: tuple[int, ...]
    layer: int | None
    component: str
    kind: str
    axes: tuple[str, ...]
    analysed: bool = True

    @property
    def numel(self) -> int:
        """Number of weights."""
        return int(np.prod(self.shape))


def default_specs() -> list[TensorSpec]:
    """Return seven tensors of a model that does not exist: each kind of shape, two blocks, two tensors outside."""
    matrix = ("row", "col")
    return [
        TensorSpec("model.embed_tokens.weight", (13, 6), None, "embed_tokens", "embedding", matrix),
        TensorSpec("model.layers.0.input_layernorm.weight", (6,), 0, "input_layernorm", "norm", ("row",), False),
        TensorSpec("model.layers.0.self_attn.q_proj.weight", (6, 6), 0, "q_proj", "linear", matrix),
        TensorSpec("model.layers.0.mlp.c_fc.weight", (6, 8), 0, "c_fc", "conv1d", ("col", "row")),
        TensorSpec("model.layers.1.self_attn.q_proj.weight", (6, 6), 1, "q_proj", "linear", matrix),
        TensorSpec("model.layers.1.mlp.experts.down_proj", (3, 6, 4), 1, "down_proj", "experts",
                   ("expert", "row", "col")),
        TensorSpec("lm_head.weight", (13, 6), None, "lm_head", "linear", matrix),
    ]  # fmt: skip


def matrix_specs(n: int, shape: tuple[int, int]) -> list[TensorSpec]:
    """Return ``n`` equal Linear-like tensors, four a block; for tests of size and speed."""
    return [
        TensorSpec(f"layers.{i // 4}.p{i % 4}.weight", shape, i // 4, f"p{i % 4}", "linear", ("row", "col"))
        for i in range(n)
    ]


def random_scores(specs: Iterable[TensorSpec], seed: int = 0, zeros: float = 0.2, ties: float = 0.3) -> Scores:
    """Return long-tailed scores for the analysed tensors.

    Args:
        specs: the tensors.
        seed: decides everything.
        zeros: fraction of the scores that is set to exactly 0.
        ties: fraction that is rounded to one significant digit, so that many are equal, also across tensors.

    """
    rng = np.random.default_rng(seed)
    result: Scores = {}
    for spec in (s for s in specs if s.analysed):
        values = rng.lognormal(-4, 2.5, spec.numel)
        size = 10.0 ** np.floor(np.log10(values))
        values = np.where(rng.random(spec.numel) < ties, np.round(values / size) * size, values)
        values[rng.random(spec.numel) < zeros] = 0
        result[spec.name] = values.astype(np.float32).reshape(spec.shape)
    return result


def weights_of(specs: Iterable[TensorSpec], seed: int = 0) -> Scores:
    """Return the made-up weights whose values :func:`write_store` puts beside the candidates."""
    rng = np.random.default_rng(1000 + seed)
    return {s.name: rng.standard_normal(s.shape).astype(np.float32) for s in specs}


def facts_of(specs: Sequence[TensorSpec], model: str = "tiny") -> dict[str, Any]:
    """Return the content of model.json for these tensors."""
    analysed = [s for s in specs if s.analysed]
    rows = [s.shape[0] for s in specs if s.kind == "embedding"]
    return {
        "model": model, "source": "local", "repo": None, "revision": None, "checkpoint": None,
        "architecture": "TinyForCausalLM", "model_type": "tiny", "checkpoint_dtype": "float32",
        "vocab_size": rows[0] if rows else None, "hidden_size": 6, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2,
        "intermediate_size": 8, "n_tensors": len(specs), "n_weights": sum(s.numel for s in specs),
        "analysed": {"n_tensors": len(analysed), "n_weights": sum(s.numel for s in analysed), "include_1d": False},
        "tensors": [
            {"name": s.name, "position": i, "shape": list(s.shape), "numel": s.numel, "layer": s.layer,
             "component": s.component, "kind": s.kind, "axes": list(s.axes), "tied_to": [], "analysed": s.analysed}
            for i, s in enumerate(specs)
        ],
        "files": [{"name": "model.safetensors", "bytes": 1, "sha256": "ab" * 32}], "sha256": MODEL_SHA256,
    }  # fmt: skip


def tokens_of(specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """Return the content of tokens.json: two short calibration texts, one evaluation text, :data:`VOCABULARY`."""
    return {"calibration": CALIBRATION, "evaluation": [[0, 4, 5]], "vocabulary": VOCABULARY,
            "special": {"bos": 0, "eos": None}}  # fmt: skip


def write_store(
    path: Path,
    specs: Sequence[TensorSpec],
    scores: Mapping[str, NDArray[np.float32]],
    *,
    metric: str = "grad_squared",
    candidates: int = 20,
    dense: bool | Iterable[str] = True,
    seed: int = 0,
    model: str = MODEL_SHA256,
) -> Path:
    """Write the score store of these scores and return its path.

    Args:
        path: where to.
        specs: the tensors in the model's order; those without scores are left out.
        scores: float32 in the tensor's shape, by tensor name.
        metric: full name; gradient metrics get signed gradients beside their candidates.
        candidates: kept of each tensor.
        dense: whether to keep every score: of all tensors, of none, or of the named ones.
        seed: for the made-up weights and gradients.
        model: hash of the model that the store says it is of.

    """
    weights, gradients = weights_of(specs, seed), weights_of(specs, seed + 1)
    kept = set(scores) if dense is True else set(dense or ())
    with create_store(path) as writer:
        for position, spec in enumerate(specs):
            if spec.name in scores:
                gradient = gradients[spec.name] if METRICS[metric].has_gradient else None
                tensor = _tensor(spec, position, scores[spec.name], weights[spec.name], gradient, candidates)
                tensor.scores = scores[spec.name] if spec.name in kept else None
                writer.add(tensor)
        writer.finish(_root_attributes(metric, seed) | {"model_sha256": model})
    return path


def write_study(
    root: Path,
    phase: str = "p2",
    model: str = "tiny",
    metrics: Iterable[str] = ("magnitude", "grad_x_weight", "grad_squared"),
    **store: Any,
) -> Path:
    """Write ``root/phase/model`` with model.json, tokens.json and one store a metric; return that folder.

    Further arguments go to :func:`write_store`.
    """
    folder, specs = root / phase / model, default_specs()
    for seed, metric in enumerate(metrics):
        path = folder / "scores" / f"{METRICS[metric].path}.h5"
        write_store(path, specs, random_scores(specs, seed), metric=metric, **store)
    (folder / "model.json").write_text(json.dumps(facts_of(specs, model)), encoding="utf-8")
    (folder / "tokens.json").write_text(json.dumps(tokens_of(specs)), encoding="utf-8")
    return folder


def _tensor(
    spec: TensorSpec,
    position: int,
    scores: NDArray[np.float32],
    weights: NDArray[np.float32],
    gradients: NDArray[np.float32] | None,
    candidates: int,
) -> TensorScores:
    flat = scores.ravel()
    exact = flat.astype(np.float64)
    order = np.argsort(-flat, kind="stable")[:candidates]
    attributes = {
        "shape": spec.shape, "layer": spec.layer, "component": spec.component, "axes": spec.axes, "tied_to": (),
        "numel": spec.numel, "zeros": int((flat == 0).sum()), "nonfinite": 0, "sum": exact.sum(),
        "sum_sq": np.square(exact).sum(), "min": exact.min(), "max": exact.max(),
    }  # fmt: skip
    top = {"top_score": flat[order], "top_index": order.astype(np.int64), "top_weight": weights.ravel()[order]}
    if gradients is not None:
        top["top_gradient"] = gradients.ravel()[order]
    counts = np.histogram(exact[exact > 0], histogram_edges())[0].astype(np.int64)
    return TensorScores(spec.name, position, attributes, counts, top, _lines(spec, scores, weights, gradients))


def _lines(
    spec: TensorSpec, scores: NDArray[np.float32], weights: NDArray[np.float32], gradients: NDArray[np.float32] | None
) -> Scores:
    if len(spec.shape) < 2:
        return {}
    rows, cols = spec.axes.index("row"), spec.axes.index("col")
    lines = {"row_sum": scores.sum(cols), "row_max": scores.max(cols), "col_sum": scores.sum(rows),
             "col_max": scores.max(rows)}  # fmt: skip
    if gradients is not None:
        lines |= {"row_gw": (weights * gradients).sum(cols), "col_gw": (weights * gradients).sum(rows)}
    return lines


def _root_attributes(metric: str, seed: int) -> dict[str, Any]:
    definition = METRICS[metric]
    texts = definition.family != "static"
    return {
        "metric": metric, "units": definition.units, "normalisation": definition.normalisation, "model": "tiny",
        "model_revision": None, "calibration_sha256": CALIBRATION_SHA256 if texts else None,
        "n_texts": 2 if texts else None, "n_tokens": 5 if texts else None, "corpus_loss": 2.5 if texts else None,
        "seed": seed, "model_dtype": "float32", "accumulator_dtype": "float32", "versions": {"torch": "0"},
        "checks": {"laws": []}, "skipped": {},
    }  # fmt: skip
