"""Tiny seeded causal language models, texts and model folders for the tests: offline, milliseconds each.

They are built from a Config, and every weight is drawn here: what transformers initialises to a constant (norms to
1, biases to 0) would hide mistakes that only show where the value matters.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

VOCABULARY = 53
POSITIONS = 32
SENTENCES = (
    "The cat sat on the mat and looked at the rain.",
    "A small boat crossed the lake before the storm came.",
    "She counts the stones: one, two, three, and four.",
    "Why does the old clock stop when the snow falls?",
    "The rain came, the boat stopped, and the cat slept.",
    "Two birds sang in the morning; nobody heard them.",
)
BOS, EOS = "<s>", "</s>"

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
}  # fmt: skip
_GROUPED: dict[str, Any] = {**_COMMON, "num_key_value_heads": 2, "intermediate_size": 24, "tie_word_embeddings": False}
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _GROUPED),
    "llama_tied": ("llama", {**_GROUPED, "tie_word_embeddings": True}),
    "gpt2": ("gpt2", {**_COMMON, "n_inner": 24}),
    "gpt_neox": ("gpt_neox", {**_COMMON, "intermediate_size": 24, "rotary_pct": 0.5}),
    "qwen2": ("qwen2", {**_GROUPED, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**_GROUPED, "head_dim": 6}),
    "mixtral": ("mixtral", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "gemma2": (
        "gemma2",
        {**_GROUPED, "head_dim": 4, "query_pre_attn_scalar": 4, "sliding_window": 8, "tie_word_embeddings": True},
    ),
    "opt": ("opt", {**_COMMON, "ffn_dim": 24, "word_embed_proj_dim": 16}),
    "phi3": ("phi3", _GROUPED),
    "mistral": ("mistral", {**_GROUPED, "sliding_window": None}),
    "olmo2": ("olmo2", _GROUPED),
    "falcon": ("falcon", {**_COMMON, "new_decoder_architecture": False, "alibi": False, "bias": True}),
    "bloom": ("bloom", _COMMON),
}
NAMES = tuple(_CONFIGS)
"""Every tiny model."""
EAGER = ("gemma2", "bloom")
"""Those that refuse SDPA. Their eager softmax is in float32 whatever the model's dtype: compare to 1e-6, not 1e-9."""

MICRO: dict[str, Any] = {
    "vocab_size": 7, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 8,
}  # fmt: skip
"""Overrides that leave some 200 weights of a Llama: few enough for a dense Hessian."""
MICRO_GPT2: dict[str, Any] = {
    "vocab_size": 7, "hidden_size": 4, "n_inner": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 8,
}  # fmt: skip
"""The same for GPT-2."""


def tiny_model(name: str, dtype: torch.dtype = torch.float64, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """Return a tiny model in eval mode, the same one for the same arguments.

    Args:
        name: one of :data:`NAMES`.
        dtype: dtype of the weights; they are drawn in float64 and rounded.
        seed: seed of the weights.
        overrides: config entries that differ from the tiny ones, e.g. ``vocab_size=97`` or :data:`MICRO`.

    """
    model_type, settings = _CONFIGS[name]
    config = AutoConfig.for_model(model_type, **{**settings, **overrides})
    attention = "eager" if name in EAGER else "sdpa"
    extra = {"experts_implementation": "eager"} if name == "mixtral" else {}  # the fused kernels know no float64
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention, **extra)
    _draw_weights(model, seed, unit_norms=name != "gemma2")
    return model.eval()


def _draw_weights(model: PreTrainedModel, seed: int, *, unit_norms: bool) -> None:
    """Draw every parameter: norms around 1 (0 where the model itself adds the 1), biases around 0, none constant."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim == 1:
                is_norm_weight = name.endswith(".weight")
                value = 0.3 * value + (1.0 if is_norm_weight and unit_norms else 0.0)
            elif id(parameter) in embeddings:
                value = 0.5 * value
            else:
                value = value * 1.2 / parameter.shape[-1] ** 0.5
            parameter.copy_(value)


@contextmanager
def exact_norms(model: PreTrainedModel) -> Generator[None]:
    """Compute RMS norms in the model's dtype inside the block (no effect on a model without them).

    transformers computes them in float32 whatever the model's dtype. Two float64 gradients that only differ in when
    they divide by the number of tokens then differ by 2e-7.
    """
    norms = [m for m in model.modules() if type(m).__name__.endswith("RMSNorm") and hasattr(m, "variance_epsilon")]

    def forward(norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        return norm.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon))

    for norm in norms:
        norm.forward = partial(forward, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def tiny_texts(n: int, seed: int = 0, vocab: int = VOCABULARY, longest: int = 12) -> list[list[int]]:
    """Return ``n`` texts of token ids, of different lengths from 2 to ``longest``; the first has just 2 tokens."""
    rng = random.Random(seed)
    lengths = [2] + [rng.randint(2, longest) for _ in range(n - 1)]
    if n > 1:
        lengths[1] = longest
    return [[rng.randrange(vocab) for _ in range(length)] for length in lengths[:n]]


def random_signs(tensors: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Return a +1 or -1 for every entry of every tensor."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randint(0, 2, t.shape, generator=generator).to(t.dtype) * 2 - 1 for name, t in tensors.items()}


def tiny_tokenizer(*, bos: bool = False) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on :data:`SENTENCES`; ``bos``: its default call adds one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[BOS, EOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer=trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS)


def save_tiny_folder(
    path: str | Path,
    name: str = "llama",
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    bos: bool = False,
    max_shard_size: int | str = "1GB",
    **overrides: Any,
) -> Path:
    """Write an ordinary transformers folder: config, safetensors and a tokenizer whose vocabulary fits the model.

    Args:
        path: the folder; made where missing.
        name: one of :data:`NAMES`.
        dtype: dtype of the checkpoint.
        seed: seed of the weights.
        bos: whether the tokenizer's default call puts a BOS in front.
        max_shard_size: of one safetensors file; ``"20KB"`` gives several.
        overrides: config entries, as for :func:`tiny_model`.

    Returns:
        The folder.

    """
    folder = Path(path)
    tokenizer = tiny_tokenizer(bos=bos)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 128, **ids, **overrides}
    tiny_model(name, dtype, seed, **settings).save_pretrained(folder, max_shard_size=max_shard_size)
    tokenizer.save_pretrained(folder)
    return folder
