"""The model that the GPU benchmark measures: Llama-3.1-8B's shape, or a smaller one's, with random weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from critical_weights.model.facts import describe_tensors
from critical_weights.scoring.batches import pack
from critical_weights.scoring.resident import batch_loss
from critical_weights.scoring.uses import run_model

MODEL, SEED = "random", 42


def build(a: argparse.Namespace, device: torch.device) -> PreTrainedModel:
    """Return the model in eval mode, its weights drawn on the device; norms are off 1, so that they are seen."""
    config = LlamaConfig(
        vocab_size=a.vocabulary, hidden_size=a.hidden, intermediate_size=a.intermediate, num_hidden_layers=a.layers,
        num_attention_heads=a.heads, num_key_value_heads=a.kv_heads, max_position_embeddings=max(a.tokens),
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0}, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(SEED)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, a.dtype)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.8, 1.2)
    return model


def describe(model: PreTrainedModel) -> dict[str, Any]:
    """Return the facts that ``describe_model`` gives of a checkpoint, of a model that has no files."""
    config, tensors = model.config, describe_tensors(model)
    analysed = [t for t in tensors if t["analysed"]]
    return {
        "model": MODEL, "source": "random", "repo": None, "revision": None, "checkpoint": None,
        "architecture": type(model).__name__, "model_type": config.model_type,
        "checkpoint_dtype": str(model.dtype).removeprefix("torch."), "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size, "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads, "n_kv_heads": config.num_key_value_heads, "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size, "max_positions": config.max_position_embeddings,
        "n_tensors": len(tensors), "n_weights": sum(t["numel"] for t in tensors),
        "analysed": {"n_tensors": len(analysed), "n_weights": sum(t["numel"] for t in analysed), "include_1d": False},
        "tensors": tensors, "files": [], "sha256": f"random weights, seed {SEED}",
    }  # fmt: skip


def forward_backward(model: PreTrainedModel, texts: Sequence[Sequence[int]], batch_tokens: int) -> None:
    """The least that any gradient costs: plain autograd over the engine's batches, gradients added up."""
    model.zero_grad(set_to_none=True)
    for batch in pack(texts, batch_tokens, model.device):
        batch_loss(run_model(model, batch), batch).backward()
