"""Statistics of experiments that never ran, in the sizes that figures must stay readable at.

Scores are log-normal in each tensor; their histogram follows from the normal distribution, so that a tensor of
half a billion weights costs no more than one of a hundred.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from critical_weights.store.histogram import histogram_edges

Tensor = tuple[str, tuple[int, ...], int | None, str]
"""Name, shape, block (None outside the blocks), component."""


def llama_tensors(blocks: int, hidden: int, mlp: int, kv: int, vocabulary: int, tied: bool = False) -> list[Tensor]:
    """The two-dimensional tensors of a Llama: seven a block, embedding and (unless tied) head."""
    tensors: list[Tensor] = [("model.embed_tokens.weight", (vocabulary, hidden), None, "embed_tokens")]
    for block in range(blocks):
        shapes = {
            "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (mlp, hidden), "mlp.up_proj": (mlp, hidden),
            "mlp.down_proj": (hidden, mlp),
        }  # fmt: skip
        for name, shape in shapes.items():
            tensors.append((f"model.layers.{block}.{name}.weight", shape, block, name.rsplit(".", 1)[1]))
    if not tied:
        tensors.append(("lm_head.weight", (vocabulary, hidden), None, "lm_head"))
    return tensors


def llama8b_tensors() -> list[Tensor]:
    """The 226 tensors of Llama-3.1-8B with two dimensions or more: 8,029,995,008 weights."""
    return llama_tensors(blocks=32, hidden=4096, mlp=14336, kv=1024, vocabulary=128256)


def gpt2_tensors(blocks: int = 3, hidden: int = 48, one_dimensional: bool = False) -> list[Tensor]:
    """A small GPT-2: Conv1D shapes, two embeddings; with its norms and biases, fifteen components."""
    tensors: list[Tensor] = [("wte", (500, hidden), None, "wte"), ("wpe", (64, hidden), None, "wpe")]
    shapes = {"c_attn": 3 * hidden, "attn.c_proj": hidden, "c_fc": 4 * hidden, "mlp.c_proj": hidden}
    for block in range(blocks):
        for name, columns in shapes.items():
            rows = 4 * hidden if name == "mlp.c_proj" else hidden
            tensors.append((f"h.{block}.{name}.weight", (rows, columns), block, name))
            if one_dimensional:
                tensors.append((f"h.{block}.{name}.bias", (columns,), block, f"{name}.bias"))
        if one_dimensional:
            for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
                tensors.append((f"h.{block}.{name}", (hidden,), block, name))
    if one_dimensional:
        tensors.append(("ln_f.weight", (hidden,), None, "ln_f.weight"))
    return tensors


def make_stats(
    tensors: list[Tensor],
    mode: str = "perlayer",
    k: int = 100,
    metric: str = "grad_squared",
    units: str = "(nats per token / weight)^2",
    centre: float = -33.0,
    spread: float = 3.2,
    unseen: float = 0.0,
    zero_tensors: tuple[str, ...] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Return ``sensitivity_stats.json`` of an experiment on ``tensors``.

    Args:
        tensors: names, shapes, blocks and components.
        mode: ranking mode.
        k: number selected of each tensor, block or of all.
        metric: full name.
        units: its units.
        centre: mean of log2 of the scores.
        spread: standard deviation of log2 of the scores.
        unseen: fraction of exact zeros in tensors outside the blocks.
        zero_tensors: tensors whose scores are all 0.
        seed: shifts the tensors against each other.

    """
    rng = np.random.default_rng(seed)
    edges = histogram_edges()
    middles = np.sqrt(edges[:-1] * edges[1:])
    histograms: dict[str, np.ndarray] = {}
    walk: dict[str, float] = {}
    for name, shape, block, component in tensors:
        numel = int(np.prod(shape))
        # A component drifts from block to block, as those of real models do.
        walk[component] = walk.get(component, rng.normal(0, 2.5)) + rng.normal(0, 0.5)
        shift = centre + walk[component]
        zeros = numel if name in zero_tensors else int(unseen * numel) if block is None else 0
        histograms[name] = _log_normal(edges, shift, spread, numel - zeros)
    selected = _select(tensors, histograms, mode, k)
    entries = {}
    for name, shape, block, component in tensors:
        counts, numel = histograms[name], int(np.prod(shape))
        mean = float((counts * middles).sum() / numel)
        filled = np.flatnonzero(counts)
        entries[name] = {
            "mean": mean, "std": float(np.sqrt(max((counts * middles**2).sum() / numel - mean**2, 0))),
            "min": float(middles[filled[0]]) if len(filled) else 0.0,
            "max": float(middles[filled[-1]]) if len(filled) else 0.0,
            "median": 0.0, "p95": 0.0, "p99": 0.0, "num_weights": numel,
            "zero_fraction": 1 - float(counts.sum()) / numel, "shape": list(shape), "layer": block,
            "component": component, "selected": int(selected[name].sum()),
        }  # fmt: skip
    return _assemble(tensors, histograms, selected, entries, edges, middles) | {
        "metric": metric, "units": units, "quantiles": {"method": "histogram", "relative_error": 0.0453},
    } | {"selection": _selection(tensors, histograms, selected, middles, mode, k)}  # fmt: skip


def _log_normal(edges: np.ndarray, centre: float, spread: float, n: int) -> np.ndarray:
    cumulative = np.rint(n * ndtr((np.log2(edges) - centre) / spread)).astype(np.int64)
    cumulative[0], cumulative[-1] = 0, n
    return np.diff(cumulative)


def _select(tensors: list[Tensor], histograms: dict[str, np.ndarray], mode: str, k: int) -> dict[str, np.ndarray]:
    """Take the k highest of each group, by bin; return how many of each tensor's bins are taken."""
    groups: dict[object, list[str]] = {}
    for name, _, block, _ in tensors:
        groups.setdefault({"perlayer": name, "perblock": block, "global": 0}[mode], []).append(name)
    taken = {name: np.zeros_like(counts) for name, counts in histograms.items()}
    for names in groups.values():
        left = k
        for bin_ in np.flatnonzero(sum(histograms[name] for name in names))[::-1]:
            for name in names:
                taken[name][bin_] = min(left, histograms[name][bin_])
                left -= taken[name][bin_]
    return taken


def _assemble(tensors, histograms, selected, entries, edges, middles) -> dict[str, Any]:
    components: dict[str, np.ndarray] = {}
    zeros: dict[str, int] = {}
    for name, shape, _, component in tensors:
        components[component] = components.get(component, 0) + histograms[name]
        zeros[component] = zeros.get(component, 0) + int(np.prod(shape)) - int(histograms[name].sum())
    total = sum(components.values())
    n = int(total.sum()) + sum(zeros.values())
    filled = np.flatnonzero(total)
    first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 0)
    trimmed = edges[first : last + 1] if len(filled) else edges[:0]
    return {
        "overall": {"mean": float((total * middles).sum() / n), "std": 0.0, "min": 0.0,
                    "max": max(entry["max"] for entry in entries.values()), "median": 0.0, "p95": 0.0, "p99": 0.0,
                    "num_weights": n, "num_tensors": len(tensors), "zero_fraction": sum(zeros.values()) / n},
        "tensors": entries,
        "histogram": {"edges": trimmed.tolist(),
                      "counts": {name: counts[first:last].tolist() for name, counts in components.items()},
                      "zeros": zeros},
    }  # fmt: skip


def _selection(tensors, histograms, selected, middles, mode, k) -> dict[str, Any]:
    total = sum(selected.values())
    n = max(int(total.sum()), 1)
    filled = np.flatnonzero(total)
    groups: dict[str, dict[str, int]] = {"by_component": {}, "by_layer": {}}
    for name, _, block, component in tensors:
        layer = "outside" if block is None else str(block)
        for group, key in (("by_component", component), ("by_layer", layer)):
            groups[group][key] = groups[group].get(key, 0) + int(selected[name].sum())
    return {
        "mode": mode, "k": k, "num_weights": int(total.sum()),
        "num_tensors": sum(bool(taken.any()) for taken in selected.values()),
        "threshold": float(middles[filled[0]]) if len(filled) else 0.0,
        "max": float(middles[filled[-1]]) if len(filled) else 0.0,
        "min": float(middles[filled[0]]) if len(filled) else 0.0,
        "mean": float((total * middles).sum() / n), "median": 0.0,
        "share_of_score": float((total * middles).sum() / max((sum(histograms.values()) * middles).sum(), 1e-300)),
    } | {
        group: {key: {"num_weights": m, "share_of_selection": m / n} for key, m in values.items()}
        for group, values in groups.items()
    }  # fmt: skip
