"""The engines of all families that read texts, shared among processes: forks of one, so that it alone imports torch.

They find each other by what torchrun tells those that it starts.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from critical_weights.scoring.blockwise import BlockGradients, BlockPlan
from critical_weights.scoring.engine import Placed, start_run
from critical_weights.scoring.processes import Processes, together
from critical_weights.scoring.resident import ResidentGradients
from critical_weights.scoring.seam import Run
from critical_weights.scoring.weights import StreamedWeights, empty_model
from tiny_models import VOCABULARY, exact_norms, tiny_model, tiny_texts

MODELS = ("llama", "qwen2", "gpt2", "mixtral")
ENGINES = ("resident", "blocks", "streamed")
FAMILIES = ("forward", "curvature")
STATISTICS = ("grad", "grad_sq", "grad_abs", "grad_sq_token")
TEXT_KINDS = ("text_gradient", "text_first")
TEXTS = tiny_texts(7, 0)
FEW = torch.arange(0, 45, 4)

Gathered = dict[str, dict[str, Tensor]]


def in_memory(name: str) -> PreTrainedModel:
    """Return a tiny model; Llama's head gets a bias, which none of them has."""
    model = tiny_model(name)
    if name == "llama":
        torch.manual_seed(1)
        head = torch.nn.Linear(16, VOCABULARY, dtype=torch.float64)
        head.weight = model.lm_head.weight
        model.lm_head = head
    return model


def start(engine: str, name: str, folder: Path, processes: Processes) -> tuple[Run, torch.nn.Module]:
    """Return a run of an engine, and its model."""
    cpu = torch.device("cpu")
    model = empty_model(folder / name, torch.float64) if engine == "streamed" else in_memory(name)
    every = {name for name, _ in model.named_parameters()}
    if engine == "resident":
        return ResidentGradients(model, TEXTS, STATISTICS, every, 30, processes, by_text=True), model
    plan = BlockPlan(30, chunk_rows=10, keep_logits=engine == "blocks", by_text=True)
    weights = StreamedWeights(model, folder / name, cpu) if engine == "streamed" else None
    return BlockGradients(model, TEXTS, STATISTICS, every, plan, weights, cpu, processes), model


def gather(folder: Path, processes: Processes) -> dict[tuple[str, str], tuple[Gathered, float, int]]:
    """Return, by model and engine, the statistics of each tensor, slabs put together, the loss and the texts.

    Beside the statistics stand, as far as they can be had, ``text_gradient`` and ``text_first`` of a few weights of
    each slab, and of none: each text's gradient, and what position 0 has of it.
    """
    found = {}
    for family in FAMILIES:
        for name in MODELS:
            for placement in ENGINES:
                found[name, placement, family] = gather_family(family, name, placement, folder, processes)
    for name in MODELS:
        for engine in ENGINES:
            run, model = start(engine, name, folder, processes)
            slabs: dict[str, dict[str, list[Tensor]]] = {}
            with exact_norms(model):
                for item in run:
                    for statistic, values in item.statistics.items():
                        slabs.setdefault(item.name, {}).setdefault(statistic, []).append(values)
                    if item.texts and processes.leads:
                        starts = sum(len(v) for v in slabs[item.name]["grad"][:-1]) * item.weight.shape[1]
                        for few in (FEW, FEW[:0], FEW + 3):  # as often as metrics ask
                            for kind, values in zip(TEXT_KINDS, item.texts.at(starts + few), strict=True):
                                slabs[item.name].setdefault(kind, []).append(values)
            whole = {n: {s: torch.cat(v) for s, v in own.items()} for n, own in slabs.items()}
            found[name, engine] = (whole, run.summary.corpus_loss, run.summary.n_texts)
    return found


def gather_family(
    family: str, name: str, placement: str, folder: Path, processes: Processes
) -> tuple[Gathered, float, int]:
    """Return the same of another family."""
    cpu = torch.device("cpu")
    model = empty_model(folder / name, torch.float64) if placement == "streamed" else in_memory(name)
    weights = StreamedWeights(model, folder / name, cpu) if placement == "streamed" else None
    # Mixtral's router computes in float32: its last bits follow from a batch.
    plan = BlockPlan(1 if name == "mixtral" else 30, chunk_rows=10, keep_logits=placement == "blocks")
    placed = Placed(placement, plan, weights, cpu, processes)
    every = {name for name, _ in model.named_parameters()}
    run = start_run(family, model, TEXTS, every, placed, seed=3, probes=3)
    slabs: dict[str, dict[str, list[Tensor]]] = {}
    with exact_norms(model):
        for item in run:
            for statistic, values in item.statistics.items():
                slabs.setdefault(item.name, {}).setdefault(statistic, []).append(values.clone())
    whole = {n: {s: torch.cat(v) for s, v in own.items()} for n, own in slabs.items()}
    return whole, run.summary.corpus_loss, run.summary.n_texts


def share(folder: Path, rank: int, count: int, port: int) -> None:
    """Be one of several processes, and write ``{count}.pt`` if it leads."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tests"}  # fmt: skip
    os.environ |= {name: str(value) for name, value in told.items()}
    with together(torch.device("cpu")) as (processes, _):
        assert processes.count == count
        result = gather(folder, processes)
        if processes.leads:
            torch.save(result, folder / f"{count}.pt")


def main(folder: Path, counts: list[int]) -> None:
    """Fork so many processes after each other, from one in which torch has no threads; where one fails, all end."""
    torch.set_num_threads(1)
    for count in counts:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        forks = []
        for rank in range(count):
            forks.append(os.fork())
            if not forks[-1]:
                return share(folder, rank, count, port)
        while forks:
            pid, status = os.wait()
            forks.remove(pid)
            if status:
                for other in forks:
                    os.kill(other, signal.SIGKILL)
                sys.exit(f"one of {count} processes ended with status {os.waitstatus_to_exitcode(status)}")
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
