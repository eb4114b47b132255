"""The per-text sums of one transformer block, fused and text by text: how long they take, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from gpu_clock import Clock
from torch import Tensor
from transformers import PreTrainedModel

from critical_weights.metrics import family_metrics
from critical_weights.scoring import accumulate, fused
from critical_weights.scoring.accumulate import add_linear
from critical_weights.scoring.batches import pack
from critical_weights.scoring.capture import Capture
from critical_weights.scoring.resident import batch_loss
from critical_weights.scoring.sums import Sums
from critical_weights.scoring.uses import Use, find_uses, run_model

WANTED = sorted({need for metric in family_metrics("gradient") for need in metric.needs})


@contextmanager
def unfused() -> Iterator[None]:
    """Have the per-text sums made text by text."""

    def never(*_: object) -> bool:
        return False

    with patch.object(accumulate, "fused_available", never, create=True), patch.object(fused, "fused_available", never):
        yield


def one_block(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], batch_tokens: int, clock: Clock
) -> dict[str, Any]:
    """Compare and time the per-text sums of a block in the middle, on what a real backward pass leaves there."""
    batch = pack(texts, batch_tokens, model.device)[0]
    uses, _ = find_uses(model, batch)
    place = f".layers.{model.config.num_hidden_layers // 2}."
    caught: list[tuple[Use, Tensor, Tensor]] = []

    def sink(use: Use, x: Tensor, delta: Tensor) -> None:
        if place in use.name and use.kind == "linear":
            caught.append((use, x, delta))

    with Capture(uses, sink):
        batch_loss(run_model(model, batch), batch).backward()

    def zeros() -> list[Sums]:
        return [Sums.zeros((d.shape[-1], x.shape[-1]), WANTED, torch.float32, model.device) for _, x, d in caught]

    def plain(sums: list[Sums]) -> None:
        with unfused(), torch.no_grad():
            for own, (_, x, delta) in zip(sums, caught, strict=True):
                add_linear(own, delta, x, batch.lengths, batch.predicted)

    def kernel(sums: list[Sums]) -> None:
        with torch.no_grad():
            for own, (_, x, delta) in zip(sums, caught, strict=True):
                fused.add_linear_fused(own, delta, x, batch.lengths, batch.predicted)

    want = zeros()
    plain(want)
    weights, tokens = sum(own.tensors["grad"].numel() for own in want), sum(batch.lengths)
    found: dict[str, Any] = {
        "tokens": tokens,
        "weights": weights,
        "plain_seconds": clock.events(lambda: plain(want), 3),
    }
    if not fused.fused_available(model.device, torch.float32):
        return found | {"fused_seconds": None, "errors": None}
    want, got = zeros(), zeros()
    plain(want)
    kernel(got)
    found["errors"] = {
        name: max(
            float(torch.linalg.norm(g.tensors[name] - w.tensors[name]) / torch.linalg.norm(w.tensors[name]))
            for g, w in zip(got, want, strict=True)
        )
        for name in WANTED
    }
    seconds = clock.events(lambda: kernel(got), 5)
    return found | {"fused_seconds": seconds, "fused_tflops": 2 * weights * tokens / seconds / 1e12}
