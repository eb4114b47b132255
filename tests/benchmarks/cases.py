"""What is timed: one case a call, in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedModel

from critical_weights.log import start_logging
from critical_weights.metrics import family_metrics
from critical_weights.scoring.batches import pack
from critical_weights.scoring.blockwise import BlockGradients, BlockPlan
from critical_weights.scoring.plain import gather_plain
from critical_weights.scoring.resident import BATCH_TOKENS, ResidentGradients, batch_loss
from critical_weights.scoring.uses import run_model
from critical_weights.scoring.weights import StreamedWeights, empty_model

ALL = sorted({need for metric in family_metrics("gradient") for need in metric.needs})


def gpt2_shaped(layers: int) -> PreTrainedModel:
    """Return a GPT-2-shaped model with random weights: 124M of them at 12 layers."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(GPT2Config(n_layer=layers)).eval()


def random_texts(count: int, vocabulary: int, shortest: int = 15, longest: int = 35) -> list[list[int]]:
    """Return texts of random token ids, some 25 long on average."""
    rng = random.Random(0)
    return [[rng.randrange(vocabulary) for _ in range(rng.randint(shortest, longest))] for _ in range(count)]


def forward_backward(model: PreTrainedModel, texts: list[list[int]]) -> None:
    """The least that any gradient costs: plain autograd over the engine's batches."""
    for batch in pack(texts, BATCH_TOKENS):
        batch_loss(run_model(model, batch), batch).backward()


def names(model: PreTrainedModel) -> set[str]:
    """The tensors of two dimensions or more."""
    return {name for name, p in model.named_parameters() if p.dim() >= 2}


def gradient_only(model: PreTrainedModel, texts: list[list[int]]) -> None:
    """The engine without per-text statistics."""
    list(ResidentGradients(model, texts, ["grad"], names(model)))


def all_statistics(model: PreTrainedModel, texts: list[list[int]]) -> None:
    """The engine with every statistic of the gradient metrics."""
    list(ResidentGradients(model, texts, ALL, names(model)))


def block_by_block(model: PreTrainedModel, texts: list[list[int]]) -> None:
    """The block engine on a model in memory: every block is run twice."""
    for _ in BlockGradients(model, texts, ALL, names(model), BlockPlan()):
        pass


def text_by_text(model: PreTrainedModel, texts: list[list[int]]) -> None:
    """Plain autograd for each text, as the tests' twin has it."""
    list(gather_plain(model, texts, "gradient"))


def streamed(folder: Path, texts: list[list[int]]) -> None:
    """The block engine, each block read from disk."""
    model = empty_model(folder, torch.float32)
    weights = StreamedWeights(model, folder, torch.device("cpu"))
    for _ in BlockGradients(model, texts, ALL, names(model), BlockPlan(), weights, torch.device("cpu")):
        pass


CASES: dict[str, Callable[..., None]] = {
    f.__name__: f for f in (forward_backward, gradient_only, all_statistics, block_by_block, text_by_text, streamed)
}


def main() -> None:
    """Time one case and print its seconds and the process's peak memory as JSON."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("case", choices=CASES)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--texts", type=int, default=100)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--folder", type=Path, help="the same model saved, for the streamed case")
    a = p.parse_args()
    start_logging(a.case)
    texts = random_texts(a.texts, GPT2Config().vocab_size)
    subject = a.folder if a.case == "streamed" else gpt2_shaped(a.layers)
    seconds = []
    for _ in range(a.repeats + 1):  # the first one warms up
        start = time.perf_counter()
        CASES[a.case](subject, texts)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    timed = seconds[1:] or seconds
    print(json.dumps({"seconds": sorted(timed)[len(timed) // 2], "all": timed, "peak_bytes": peak,
                      "tokens": sum(map(len, texts))}))  # fmt: skip


if __name__ == "__main__":
    main()
