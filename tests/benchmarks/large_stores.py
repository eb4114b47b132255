"""Score stores of a published model's shapes, made without the model: what the analysis reads, and nothing dense.

The weights' places are random, some in heavy rows and columns that the metrics have in common; the scores of the
candidates follow from gradients of single texts by each metric's definition, and those of the other weights lie in the
histogram below them. So sums, lines, histograms and gradients fit each other, as the stages check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from critical_weights.compare.known_facts import known_facts
from critical_weights.files import sha256_json, write_json
from critical_weights.metrics import METRICS
from critical_weights.stability.text_scores import TEXT_TERMS, scores_of_multisets
from critical_weights.store.histogram import histogram_edges
from critical_weights.store.schema import TensorScores
from critical_weights.store.write import create_store

KEPT = 1000
"""Candidates of a tensor whose gradients of single texts are kept, as the engine does."""
SEED = 42
_HEAVY, _SEEN = 24, 1500
_SPREAD = 2.0
Floats = NDArray[np.float64]


def write_study(folder: Path, model: str, metrics: Sequence[str], candidates: int, texts: int) -> dict[str, Any]:
    """Write ``model.json``, ``tokens.json``, ``spikes.json`` and ``scores/{metric}.h5`` into a folder.

    Args:
        folder: of one phase and model.
        model: whose shapes are known, see :mod:`critical_weights.compare.known_facts`.
        metrics: full names; ``magnitude`` or metrics of gradients of single texts.
        candidates: kept of each tensor.
        texts: calibration texts.

    Returns:
        The model's facts.

    """
    rng = np.random.default_rng(SEED)
    facts = known_facts(model) | {"sha256": "5e" * 32}
    seen = rng.choice(facts["vocab_size"], _SEEN, replace=False)
    calibration = [rng.choice(seen, length).tolist() for length in rng.integers(20, 41, texts)]
    write_json(folder / "model.json", facts)
    write_json(folder / "tokens.json", {"calibration": calibration, "evaluation": [], "special": {"bos": 0},
                                        "vocabulary": [f"<{i}>" for i in range(facts["vocab_size"])]})  # fmt: skip
    place = {"layer": 1, "parameter": "model.layers.1.mlp.down_proj.weight", "row": 7, "col": 11}
    write_json(folder / "spikes.json", {"model_sha256": facts["sha256"], "n_texts": texts, "n_tokens": 1, "rounds": 1,
                                        "complete": True, "not_applicable": {}, "spikes": [],
                                        "published": [place | {"weight": 1.0, "stored": 1.0}]})  # fmt: skip
    predicted = np.array([len(ids) - 1 for ids in calibration], np.int64)
    for metric in metrics:
        with create_store(folder / "scores" / f"{METRICS[metric].path}.h5") as writer:
            for tensor in facts["tensors"]:
                if tensor["analysed"]:
                    rows = seen if tensor["kind"] == "embedding" else None
                    writer.add(_tensor(tensor, metric, candidates, predicted, rows))
            writer.finish(*_root(metric, facts, calibration, predicted))
    return facts


def _tensor(
    tensor: Mapping[str, Any],
    metric: str,
    candidates: int,
    predicted: NDArray[np.int64],
    rows: NDArray[np.int64] | None,
) -> TensorScores:
    """Make one tensor; what metrics have in common follows from the tensor alone."""
    rng = np.random.default_rng([SEED, tensor["position"]])
    places, scale = _places(rng, tensor["shape"], candidates, rows)
    weight = (0.02 * rng.standard_normal(len(places))).astype(np.float32)
    common = scale * rng.standard_normal(len(places), dtype=np.float32)
    if metric in TEXT_TERMS:
        noise = rng.standard_normal((len(places), len(predicted)), dtype=np.float32)
        gradients = (common[:, None] + 2 * scale[:, None] * noise) * predicted.astype(np.float32)
        terms = TEXT_TERMS[metric](gradients.astype(np.float64), weight.astype(np.float64), predicted.astype(float))
        score = scores_of_multisets(terms, np.ones((1, len(predicted))))[0]
    else:
        gradients, score = None, np.abs(weight)
    order = np.lexsort((places, -score))[:candidates]
    top = {"top_score": score[order], "top_index": places[order], "top_weight": weight[order]}
    texts = {}
    if gradients is not None:
        top["top_gradient"] = (gradients[order].sum(1) / predicted.sum()).astype(np.float32)
        kept = score[order[:KEPT]]
        lost = rng.choice([0.9, 1.0, 1.05, 0.2], len(kept), p=[0.5, 0.3, 0.1, 0.1])
        texts = {"text_gradient": gradients[order[:KEPT]], "top_without_first": (lost * kept).astype(np.float32)}
    used = tensor["numel"] if rows is None else len(rows) * tensor["shape"][1]
    counts, sums = _rest(top["top_score"], used)
    sums["zeros"] = tensor["numel"] - used
    sums["min"] = 0.0 if sums["zeros"] else sums["min"]
    attributes = {key: tensor[key] for key in ("shape", "layer", "component", "axes", "tied_to", "numel")}
    lines = _lines(rng, tensor["shape"], top, sums["sum"], signed=gradients is not None)
    position = tensor["position"]
    return TensorScores(tensor["name"], position, attributes | sums | {"nonfinite": 0}, counts, top, lines, None, texts)


def _places(
    rng: np.random.Generator, shape: Sequence[int], candidates: int, rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return flat indices of twice as many weights as candidates are kept, ascending, and the size of each gradient."""
    height, width = shape
    rows = np.arange(height) if rows is None else rows
    n = 2 * candidates
    row, col = rng.choice(rows, n), rng.integers(width, size=n)
    shared = np.random.default_rng(SEED)  # heavy channels are the same ones in every block
    heavy_row, heavy_col = rows[shared.integers(len(rows), size=_HEAVY)], shared.integers(width, size=_HEAVY)
    row[: n // 4] = heavy_row[rng.zipf(1.5, n // 4) % _HEAVY]
    col[n // 4 : n // 2] = heavy_col[rng.zipf(1.5, n // 4) % _HEAVY]
    size = rng.lognormal(-9, 1.5, n) * np.where(np.arange(n) < n // 2, 4.0, 1.0)
    flat, first = np.unique(row * width + col, return_index=True)
    return flat, size[first].astype(np.float32)


def _rest(top: NDArray[np.float32], used: int) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return the histogram of all scores above 0, and their moments: a lognormal that ends below the candidates."""
    edges = histogram_edges()
    last = int(np.searchsorted(edges, float(top[-1]), side="right")) - 1
    scaled = (np.log(edges[: last + 1]) - (np.log(float(top[-1])) - 3.2 * _SPREAD)) / _SPREAD
    below = np.round(ndtr(scaled) / ndtr(scaled[-1]) * (used - len(top))).astype(np.int64)
    below[0] = 0
    counts = np.zeros(len(edges) - 1, np.int64)
    counts[:last] = np.diff(below)
    middle = np.sqrt(edges[:-1] * edges[1:])
    exact, filled = top.astype(np.float64), np.flatnonzero(counts)
    sums = {
        "sum": float(exact.sum() + (counts * middle).sum()), "sum_sq": float((exact**2).sum() + counts @ middle**2),
        "min": float(edges[filled[0]] if len(filled) else exact[-1]), "max": float(exact[0]),
    }  # fmt: skip
    return counts + np.bincount(np.searchsorted(edges, exact, "right") - 1, minlength=len(counts)), sums


def _lines(
    rng: np.random.Generator, shape: Sequence[int], top: Mapping[str, NDArray], total: float, *, signed: bool
) -> dict[str, NDArray[np.float32]]:
    """Return line sums that add up to ``total`` and line maxima: those of the candidates, or smaller ones."""
    places = np.unravel_index(top["top_index"], tuple(shape))
    score = top["top_score"].astype(np.float64)
    lines = {}
    for line, place, length in zip(("row", "col"), places, shape, strict=True):
        rest = rng.lognormal(0, 1, length)
        sums = rest / rest.sum() * (total - score.sum()) + np.bincount(place, score, minlength=length)
        largest = score[-1] * rng.random(length) ** 2
        np.maximum.at(largest, place, score)
        lines |= {f"{line}_sum": sums.astype(np.float32), f"{line}_max": largest.astype(np.float32)}
        if signed:
            lines[f"{line}_gw"] = (sums * rng.standard_normal(length)).astype(np.float32)
    return lines


def _root(
    metric: str, facts: Mapping[str, Any], calibration: Sequence[Sequence[int]], predicted: NDArray[np.int64]
) -> Iterator[Any]:
    """Yield the root attributes of a store, and the predicted positions of its texts."""
    of, texts = METRICS[metric], metric in TEXT_TERMS
    yield {
        "metric": metric, "units": of.units, "normalisation": of.normalisation, "model": facts["model"],
        "model_revision": None, "model_sha256": facts["sha256"], "seed": SEED, "model_dtype": "float32",
        "calibration_sha256": sha256_json(calibration) if texts else None, "n_texts": len(predicted) if texts else None,
        "n_tokens": int(predicted.sum()) if texts else None, "corpus_loss": 2.5 if texts else None,
        "accumulator_dtype": "float32", "versions": {}, "checks": {"laws": []}, "skipped": {},
    }  # fmt: skip
    yield predicted if texts else ()
