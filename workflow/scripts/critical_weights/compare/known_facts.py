"""Facts of a few published models from their sizes alone, for lists of a model whose files are not at hand."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ..errors import RankingError, unknown


@dataclass(frozen=True)
class LlamaSizes:
    """Sizes of a model of the Llama family, of a hub repository: no biases, the head not tied to the embedding."""

    repo: str
    model_type: str
    vocabulary: int
    hidden: int
    mlp: int
    blocks: int
    heads: int
    kv_heads: int
    head_dim: int


KNOWN_SIZES = {
    "llama31_8b": LlamaSizes("meta-llama/Llama-3.1-8B", "llama", 128_256, 4096, 14_336, 32, 32, 8, 128),
    "mistral_7b": LlamaSizes("mistralai/Mistral-7B-v0.1", "mistral", 32_000, 4096, 14_336, 32, 32, 8, 128),
    "tinyllama_1_1b": LlamaSizes("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama", 32_000, 2048, 5632, 22, 32, 4, 64),
}
"""By the name that the default config has for the repository. Source: the published configs."""


def known_facts(model: str) -> dict[str, Any]:
    """Return a model's facts as ``model.json`` has them, but for what only its files tell (revision, hashes).

    The tensors are in the order of ``named_parameters()``; those of one dimension are not analysed.

    Raises:
        RankingError: its sizes are not known.

    """
    if model not in KNOWN_SIZES:
        raise unknown("shape of the model", model, KNOWN_SIZES, RankingError)
    s = KNOWN_SIZES[model]
    queries, keys = s.heads * s.head_dim, s.kv_heads * s.head_dim
    parts = {
        "self_attn.q_proj": (queries, s.hidden), "self_attn.k_proj": (keys, s.hidden),
        "self_attn.v_proj": (keys, s.hidden), "self_attn.o_proj": (s.hidden, queries),
        "mlp.gate_proj": (s.mlp, s.hidden), "mlp.up_proj": (s.mlp, s.hidden), "mlp.down_proj": (s.hidden, s.mlp),
        "input_layernorm": (s.hidden,), "post_attention_layernorm": (s.hidden,),
    }  # fmt: skip
    places: list[tuple[str, int | None, tuple[int, ...]]] = [("model.embed_tokens", None, (s.vocabulary, s.hidden))]
    places += [(f"model.layers.{i}.{part}", i, shape) for i in range(s.blocks) for part, shape in parts.items()]
    places += [("model.norm", None, (s.hidden,)), ("lm_head", None, (s.vocabulary, s.hidden))]
    tensors = [
        {
            "name": f"{path}.weight", "position": position, "shape": list(shape), "numel": prod(shape),
            "layer": layer, "component": path.rsplit(".", 1)[-1],
            "kind": "norm" if len(shape) == 1 else "embedding" if path.endswith("embed_tokens") else "linear",
            "axes": ["row", "col"][: len(shape)], "tied_to": [], "analysed": len(shape) > 1,
        }
        for position, (path, layer, shape) in enumerate(places)
    ]  # fmt: skip
    analysed = [tensor for tensor in tensors if tensor["analysed"]]
    return {
        "model": model, "model_type": s.model_type, "vocab_size": s.vocabulary, "hidden_size": s.hidden,
        "n_layers": s.blocks, "n_heads": s.heads, "n_kv_heads": s.kv_heads, "head_dim": s.head_dim,
        "intermediate_size": s.mlp, "n_tensors": len(tensors), "n_weights": sum(t["numel"] for t in tensors),
        "analysed": {"n_tensors": len(analysed), "n_weights": sum(t["numel"] for t in analysed), "include_1d": False},
        "tensors": tensors,
    }  # fmt: skip
