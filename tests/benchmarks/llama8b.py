"""Score a model of Llama-3.1-8B's shape in bounded memory: random weights, made here, read back block by block.

    python tests/benchmarks/llama8b.py FOLDER [--layers 32]

makes FOLDER/model (16 GB of bf16 safetensors at 32 blocks; kept for the next call), scores it with all gradient
metrics on 16 texts of 32 tokens, ranks it, and prints planned and measured memory and the seconds of each stage.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig

from critical_weights.log import start_logging
from critical_weights.model.facts import describe_model
from critical_weights.model.load import choose_dtype
from critical_weights.ranking.ranking import rank
from critical_weights.scoring.family import ScoringSettings, score_family
from critical_weights.scoring.memory_plan import plan_memory
from critical_weights.scoring.place import place_model
from critical_weights.scoring.weights import empty_model
from critical_weights.store.read import open_store

TEXTS, TOKENS = 16, 32


def config(layers: int) -> LlamaConfig:
    """Return Llama-3.1-8B's shape, with as many blocks as asked for."""
    return LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        dtype="bfloat16",
    )


def make_checkpoint(folder: Path, layers: int) -> None:
    """Write random bf16 weights, a file for each block and one for the rest."""
    folder.mkdir(parents=True)
    config(layers).save_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    parts: dict[str, dict[str, torch.Size]] = {}
    for name, parameter in empty_model(folder, torch.bfloat16).named_parameters():
        part = name.split(".")[2] if ".layers." in name else "outside"
        parts.setdefault(part, {})[name] = parameter.shape
    index = {}
    for number, shapes in enumerate(parts.values(), 1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        values = {
            name: torch.ones(shape, dtype=torch.bfloat16)
            if len(shape) == 1
            else torch.empty(shape, dtype=torch.bfloat16).normal_(std=0.02, generator=generator)
            for name, shape in shapes.items()
        }
        save_file(values, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(values, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def main() -> None:
    """Make, plan, score, rank; print the figures as JSON."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    p.add_argument("--layers", type=int, default=32)
    a = p.parse_args()
    start_logging("llama8b")
    folder = a.folder / f"model_{a.layers}"
    seconds: dict[str, float] = {}

    def timed(stage: str, start: float) -> None:
        seconds[stage] = round(time.monotonic() - start, 1)

    start = time.monotonic()
    if not folder.exists():
        make_checkpoint(folder, a.layers)
    timed("make", start)
    record = {
        "model": "llama8b",
        "source": "local",
        "repo": None,
        "commit": None,
        "checkpoint": None,
        "path": str(folder),
    }
    start = time.monotonic()
    facts = describe_model(record)
    timed("describe and hash", start)
    rng = random.Random(0)
    texts = [[rng.randrange(128_256) for _ in range(TOKENS)] for _ in range(TEXTS)]
    cpu = torch.device("cpu")
    dtype = choose_dtype("auto", facts, cpu)
    plan = plan_memory("gradient", facts, [TOKENS] * TEXTS, dtype, cpu, placement="streamed")
    start = time.monotonic()
    model, placed = place_model(record, plan, dtype, cpu)
    figures = score_family("gradient", model, facts, texts, ScoringSettings(), a.folder / "scores", placed)
    timed("score", start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for mode, k in (("global", 1000), ("perlayer", 100)):
        start = time.monotonic()
        with open_store(a.folder / "scores" / "gradxw.h5") as store:
            rows = len(rank(store, facts, [""] * facts["vocab_size"], mode, k))
        timed(f"rank {mode} k={k} ({rows} rows)", start)
    with open_store(a.folder / "scores" / "gradxw.h5") as store:
        laws = {law["law"]: (law["status"], law["error"]) for law in store.attributes["checks"]["laws"]}
    print(json.dumps({
        "dtype": str(dtype), "tensors": figures["tensors"], "weights": figures["weights"],
        "seconds": seconds, "stages": figures["stages"],
        "planned_gb": round(plan.total / 1e9, 2), "peak_gb": round(peak / 1e9, 2), "laws": laws,
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
