"""Run under torchrun: the engines of the gradient family with the texts shared among the processes."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from critical_weights.scoring.blockwise import BlockGradients, BlockPlan
from critical_weights.scoring.processes import Processes, together
from critical_weights.scoring.resident import ResidentGradients
from critical_weights.scoring.seam import Run
from critical_weights.scoring.weights import StreamedWeights, empty_model
from tiny_models import exact_norms, tiny_model, tiny_texts

MODELS = ("llama", "qwen2", "gpt2", "mixtral")
ENGINES = ("resident", "blocks", "streamed")
STATISTICS = ("grad", "grad_sq", "grad_abs", "grad_sq_token")
TEXTS = tiny_texts(7, 0)

Gathered = dict[str, dict[str, Tensor]]


def start(engine: str, name: str, folder: Path, processes: Processes) -> tuple[Run, torch.nn.Module]:
    """Return a run of an engine, and its model."""
    cpu = torch.device("cpu")
    model = empty_model(folder / name, torch.float64) if engine == "streamed" else tiny_model(name)
    every = {name for name, _ in model.named_parameters()}
    if engine == "resident":
        return ResidentGradients(model, TEXTS, STATISTICS, every, 30, processes), model
    plan = BlockPlan(30, chunk_rows=10, keep_logits=engine == "blocks")
    weights = StreamedWeights(model, folder / name, cpu) if engine == "streamed" else None
    return BlockGradients(model, TEXTS, STATISTICS, every, plan, weights, cpu, processes), model


def gather(folder: Path, processes: Processes) -> dict[tuple[str, str], tuple[Gathered, float, int]]:
    """Return, by model and engine, the statistics of each tensor, slabs put together, the loss and the texts."""
    found = {}
    for name in MODELS:
        for engine in ENGINES:
            run, model = start(engine, name, folder, processes)
            slabs: dict[str, dict[str, list[Tensor]]] = {}
            with exact_norms(model):
                for item in run:
                    for statistic, values in item.statistics.items():
                        slabs.setdefault(item.name, {}).setdefault(statistic, []).append(values)
            whole = {n: {s: torch.cat(v) for s, v in own.items()} for n, own in slabs.items()}
            found[name, engine] = (whole, run.summary.corpus_loss, run.summary.n_texts)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with together(torch.device("cpu")) as (together_with, _):
        result = gather(Path(sys.argv[1]), together_with)
        if together_with.leads:
            torch.save(result, Path(sys.argv[1]) / f"{together_with.count}.pt")
