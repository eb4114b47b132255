"""Print what scoring models of 8, 70 and 405 billion weights takes, from the memory plan and from counts alone.

Nothing is loaded or computed, so nothing of it was measured: memory is what the plan asks for (its factors were
measured on smaller models), work is the number of multiplications and additions of the matrix products. Host memory is
taken to be enough.
"""

from __future__ import annotations

import logging

import torch

from critical_weights.compare.known_facts import KNOWN_SIZES, LlamaSizes, known_facts
from critical_weights.errors import ModelError
from critical_weights.scoring import memory_plan
from critical_weights.scoring.memory_plan import PLACEMENTS, plan_memory

# Source: the published configs of meta-llama/Llama-3.1-70B and -405B.
KNOWN_SIZES["llama31_70b"] = LlamaSizes("llama", 128_256, 8192, 28_672, 80, 64, 8, 128)
KNOWN_SIZES["llama31_405b"] = LlamaSizes("llama", 128_256, 16_384, 53_248, 126, 128, 8, 128)
MODELS = ("llama31_8b", "llama31_70b", "llama31_405b")
TEXTS = [512] * 100
"""Tokens of each text: those of the default study at most."""
GPUS = {"24 GB": 24, "80 GB": 80, "141 GB": 141}
PASSES = {"resident": 6, "blocks": 8, "streamed": 8}
"""Operations a weight and token of the gradient family: 2 forward, 4 backward, 2 for a block's forward pass again."""


def main() -> None:
    """Print two tables in Markdown."""
    logging.disable()
    memory_plan.free_host_memory = lambda: 1 << 50
    print("| model | weights | checkpoint, bfloat16 | family | " + " | ".join(f"{p}, GPU" for p in PLACEMENTS) + " |")
    print("|---|---|---|---|" + "---|" * len(PLACEMENTS))
    for model in MODELS:
        facts = known_facts(model)
        for family in ("gradient", "curvature"):
            cells = [_least(family, facts, placement) for placement in PLACEMENTS]
            size = f"{facts['n_weights'] / 1e9:.1f} billion | {facts['n_weights'] * 2 / 1e9:.0f} GB"
            print(f"| {model} | {size} | {family} | {' | '.join(cells)} |")
    print()
    print("| model | " + " | ".join(f"GPU of {gpu}" for gpu in GPUS) + " | gradient family, operations |")
    print("|---|" + "---|" * (len(GPUS) + 1))
    for model in MODELS:
        facts = known_facts(model)
        cells = [_auto(facts, size) for size in GPUS.values()]
        products = facts["n_weights"] - facts["vocab_size"] * facts["hidden_size"]  # the embedding is looked up
        work = [f"{PASSES[p] * products * sum(TEXTS) / 1e15:,.0f}" for p in ("resident", "streamed")]
        print(f"| {model} | {' | '.join(cells)} | {work[0]} to {work[1]} x 10^15 |")


def _least(family: str, facts: dict, placement: str) -> str:
    """Return the free GPU memory from which on a placement fits, in GB, found by halving."""
    low, high = 0.0, 1e14
    while high - low > 1e8:
        middle = (low + high) / 2
        try:
            plan_memory(family, facts, TEXTS, torch.bfloat16, torch.device("cuda"), placement=placement,
                        available=int(middle))  # fmt: skip
            high = middle
        except ModelError:
            low = middle
    return f"{high / 1e9:,.0f} GB"


def _auto(facts: dict, gigabytes: int) -> str:
    """Return the placement of the gradient family that is chosen on a GPU of a size, all of it free."""
    try:
        plan = plan_memory(
            "gradient", facts, TEXTS, torch.bfloat16, torch.device("cuda"), available=int(gigabytes * 1e9)
        )
    except ModelError:
        return "does not fit"
    kept = "".join(f", {what} {size / 1e9:.0f} GB" for what, size in plan.elsewhere.items())
    texts = "" if plan.blocks.by_text else ", without single texts' gradients"
    return f"{plan.placement}{kept}{texts}"


if __name__ == "__main__":
    main()
