"""The model and its training: a small Llama, AdamW, a cosine with warm-up, one seed.

Two Python threads each take half of a step's rows, one CPU thread apiece: they wait for
each other once a step instead of at every operation, so a busy machine costs little.
The halves and their random numbers are fixed, so the result does not depend on timing.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

IGNORED = -100
SHARES = 2


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the texts."""

    seed: int = 42
    steps: int = 4000
    warmup_steps: int = 200
    rows: int = 8  # sequences a step
    row_tokens: int = 256
    peak_rate: float = 2e-3
    final_rate: float = 1e-4
    weight_decay: float = 0.1
    dropout: float = 0.05
    clip: float = 1.0
    checkpoints: tuple[int, ...] = (80, 400, 1600)


def config(vocabulary: int, max_length: int) -> LlamaConfig:
    """About two million weights in eight blocks: RMSNorm, SwiGLU, two query heads a key head, untied head."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        num_hidden_layers=8,
        intermediate_size=352,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        hidden_act="silu",
        max_position_embeddings=max_length,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
    )


def drop_while_training(model: LlamaForCausalLM, share: float, own: threading.local) -> None:
    """Dropout on the embedding and on what each block adds to its stream, from the thread's own generator."""

    def drop(module: torch.nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        kept = torch.empty_like(output).bernoulli_(1 - share, generator=own.generator)
        return output * kept / (1 - share)

    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(drop)


def rows_of(sequences: list[list[int]], recipe: Recipe, eos: int) -> Iterator[torch.Tensor]:
    """Batches without end: texts in a new order each epoch, joined with EOS, cut into equal rows.

    Every row begins with a text's BOS; what is left of a text at the end of a row is dropped.
    """
    order = random.Random(recipe.seed)
    batch: list[list[int]] = []
    row: list[int] = []
    while True:
        for ids in order.sample(sequences, len(sequences)):
            row += [*ids, eos]
            if len(row) >= recipe.row_tokens:
                batch.append(row[: recipe.row_tokens])
                row = []
            if len(batch) == recipe.rows:
                yield torch.tensor(batch)
                batch = []


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate at a step (the first is 1)."""
    if step <= recipe.warmup_steps:
        return recipe.peak_rate * step / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    return recipe.final_rate + (recipe.peak_rate - recipe.final_rate) * (1 + math.cos(math.pi * done)) / 2


def train(
    model: LlamaForCausalLM,
    sequences: list[list[int]],
    recipe: Recipe,
    eos: int,
    keep: Callable[[int], None],
    log: Callable[[str], None],
) -> None:
    """Train in place (CPU; float32 weights, bfloat16 products); `keep(step)` at each checkpoint and at the end."""
    own = threading.local()
    drop_while_training(model, recipe.dropout, own)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    bos = sequences[0][0]

    def half_step(step: int, share: int, ids: torch.Tensor) -> tuple[float, tuple[torch.Tensor, ...]]:
        """Loss and gradients of one thread's rows."""
        own.generator = torch.Generator().manual_seed((recipe.seed * recipe.steps + step) * SHARES + share)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            logits = model(ids, use_cache=False).logits[:, :-1]
        targets = ids[:, 1:].masked_fill(ids[:, 1:] == bos, IGNORED)  # BOS is given, never predicted
        value = cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        return value.item(), torch.autograd.grad(value, parameters)

    recent, since = [], time.monotonic()
    batches = rows_of(sequences, recipe, eos)
    with ThreadPoolExecutor(SHARES) as pool:
        for step in range(1, recipe.steps + 1):
            model.train()
            for group in optimizer.param_groups:
                group["lr"] = rate(step, recipe)
            halves = next(batches).chunk(SHARES)
            results = list(pool.map(half_step, [step] * SHARES, range(SHARES), halves))
            for parameter, *gradients in zip(parameters, *(gradients for _, gradients in results), strict=True):
                parameter.grad = sum(gradients) / SHARES
            torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimizer.step()
            recent += [value for value, _ in results]
            if step % 50 == 0:
                speed = 50 * recipe.rows * recipe.row_tokens / (time.monotonic() - since)
                log(f"step {step}  train loss {sum(recent) / len(recent):.3f}  {speed:.0f} tokens/s")
                recent, since = [], time.monotonic()
            if step in recipe.checkpoints or step == recipe.steps:
                model.eval()
                keep(step)


@torch.no_grad()
def loss(model: LlamaForCausalLM, sequences: list[list[int]]) -> float:
    """Mean negative log probability of every token after BOS, in nats per token, text by text in float32."""
    model = model.eval().float()
    total, n = 0.0, 0
    for ids in sequences:
        row = torch.tensor([ids])
        logits = model(row, use_cache=False).logits[0, :-1]
        total += cross_entropy(logits, row[0, 1:], reduction="sum").item()
        n += len(ids) - 1
    return total / n
