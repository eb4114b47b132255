"""Tiny models of architectures that cannot be run block by block, or that look ahead, or count positions their way."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

_SIZES: dict[str, Any] = {"vocab_size": 53, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4,
                          "num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40,
                          "head_dim": 4, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 5}  # fmt: skip
_OWN: dict[str, dict[str, Any]] = {
    "zamba2": {"mamba_ngroups": 1, "n_mamba_heads": 4, "mamba_headdim": 8, "mamba_d_state": 4, "mamba_expand": 2,
               "chunk_size": 4, "hybrid_layer_ids": [1, 3], "num_mem_blocks": 1, "attention_hidden_size": 32,
               "attention_head_dim": 8, "adapter_rank": 4,
               "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "gemma3n_text": {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 53, "num_kv_shared_layers": 2,
                     "laurel_rank": 4},
    "rwkv": {"attention_hidden_size": 16, "context_length": 40},
    "ctrl": {"n_embd": 16, "dff": 24, "n_layer": 3, "n_head": 4, "n_positions": 40},
    "bert": {"is_decoder": False},
    "roberta": {"is_decoder": True},
    "phi3": {"sliding_window": None, "original_max_position_embeddings": 8,
             "rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.0], "factor": 5.0,
                                 "long_factor": [4.0, 9.0], "original_max_position_embeddings": 8}},
}  # fmt: skip


def odd_model(kind: str, dtype: torch.dtype = torch.float64, **overrides: Any) -> PreTrainedModel:
    """Return a tiny model in eval mode whose weights are drawn, the same ones for the same arguments.

    Args:
        kind: transformers' name of the architecture.
        dtype: of the weights.
        overrides: config entries.

    """
    known = AutoConfig.for_model(kind)
    keys = set(known.to_dict()) | set(known.attribute_map)
    sizes = {key: value for key, value in _SIZES.items() if key in keys and known.attribute_map.get(key) not in _SIZES}
    config = AutoConfig.for_model(kind, **{**sizes, **_OWN.get(kind, {}), **overrides})
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            value = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                parameter.copy_(value * 0.6 / parameter.shape[-1] ** 0.5)
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * value + parameter.double())
    return model.eval()
