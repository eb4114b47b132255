"""Measure scoring on a GPU: a model of Llama-3.1-8B's shape with random weights, from its scores to the report.

    python tests/benchmarks/gpu.py                       # on a GPU; --help lists sizes
    python tests/benchmarks/gpu.py --device cpu --tiny   # whether it runs at all

Needs the library and nothing else of the project, no Snakemake: without an installed library, put workflow/scripts on
PYTHONPATH. Everything happens in one process, so that ratios hold. Results go to
tests/benchmarks/results/DEVICE.json (of --tiny only where --output names a file).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_block import one_block, unfused
from gpu_clock import Clock, machine, slug
from gpu_model import SEED, build, describe, forward_backward
from gpu_report import Chain
from transformers import PreTrainedModel

from critical_weights.errors import ModelError
from critical_weights.log import start_logging
from critical_weights.scoring.engine import Placed, start_run
from critical_weights.scoring.family import ScoringSettings, score_family
from critical_weights.scoring.memory_plan import plan_memory

RESULTS = Path(__file__).parent / "results"
GOALS = {
    "score and rank": 5.0,
    "chain to the report": 60.0,
    "over forward + backward": {"resident": 1.5, "blocks": 2.0},
}
"""Seconds after loading, and times as long as plain forward + backward over the same batches."""


class Round:
    """Everything on texts of one length.

    Args:
        model: on the device, in eval mode.
        length: tokens of each text.
        a: the command line.
        clock: times the stages.
        root: a folder for the results.

    """

    def __init__(self, model: PreTrainedModel, length: int, a: argparse.Namespace, clock: Clock, root: Path) -> None:
        rng = random.Random(SEED)
        self.texts = [[rng.randrange(a.vocabulary) for _ in range(length)] for _ in range(a.texts)]
        self.chain = Chain(root, describe(model), self.texts, a.k)
        self.model, self.a, self.clock = model, a, clock
        self.batch_tokens = a.batch_tokens or max(2048, length)

    def plan(self, placement: str) -> tuple[Placed, int] | None:
        """Return a placement and its planned bytes; None, and a word on why, where it does not fit."""
        lengths = [len(ids) for ids in self.texts]
        try:
            plan = plan_memory("gradient", self.chain.facts, lengths, self.model.dtype, self.model.device,
                               placement=placement, available=self.clock.free_bytes())  # fmt: skip
        except ModelError as error:
            print(f"{placement:44} left out: {error}", flush=True)
            return None
        return Placed(placement, replace(plan.blocks, batch_tokens=self.batch_tokens)), plan.total

    def score(self, name: str, placed: Placed, planned: int) -> dict[str, Any]:
        """Score by every gradient metric into stores; return what the library says of it."""
        settings = ScoringSettings(candidates=self.a.candidates)
        chain = self.chain
        with self.clock.stage(name):
            figures = score_family("gradient", self.model, chain.facts, self.texts, settings, chain.scores, placed)
        self.clock.stages[name]["planned_bytes"] = planned
        return figures

    def statistics(self, name: str, placed: Placed) -> float:
        """Gather every statistic of the gradient metrics and let it go; return the seconds."""
        analysed = {t["name"] for t in self.chain.facts["tensors"] if t["analysed"]}
        with self.clock.stage(name):
            run = start_run("gradient", self.model, self.texts, analysed, placed, seed=SEED, probes=2)
            tensors = iter(run)
            while (item := next(tensors, None)) is not None:
                del item  # nothing holds a tensor while the engine makes the next one
        return self.clock.stages[name]["seconds"]

    def run(self) -> dict[str, Any]:
        """Measure; return the figures."""
        clock, model = self.clock, self.model
        clock.stages = {}
        print(f"\n{len(self.texts)} texts of {len(self.texts[0])} tokens, {self.batch_tokens} a batch", flush=True)
        plain = partial(forward_backward, model, self.texts, self.batch_tokens)
        least = clock.median("plain forward + backward", plain, self.a.repeats)
        model.zero_grad(set_to_none=True)
        found: dict[str, Any] = {"one block": one_block(model, self.texts, self.batch_tokens, clock)}
        print("per-text sums of one block:", json.dumps(found["one block"]), flush=True)
        found["over forward + backward"] = {}
        scored: dict[str, dict[str, Any]] = {}
        for placement in ("resident", "blocks"):
            if planned := self.plan(placement):
                self.score(f"score, {placement}, first run", *planned)
                seconds = self.statistics(f"statistics alone, {placement}", planned[0])
                found["over forward + backward"][placement] = round(seconds / least, 3)
                scored[placement] = self.score(f"score, {placement}", *planned)
        if planned := self.plan("blocks"):
            with unfused():
                self.statistics("statistics alone, blocks, text by text", planned[0])
        placement = min(scored, key=lambda p: clock.stages[f"score, {p}"]["seconds"])
        timing = scored[placement] | {"device": machine(model.device)["device"], "placement": placement}
        tail = self.after(timing)
        score = clock.stages[f"score, {placement}"]["seconds"]
        found["score and rank"] = round(score + tail[0], 3)
        found["chain to the report"] = round(score + sum(tail), 3)
        return found | {"stages": clock.stages}

    def after(self, timing: dict[str, Any]) -> list[float]:
        """Go from the stores to the report; return the seconds of each stage, ranking first."""
        clock, chain = self.clock, self.chain
        stages = {"rank by every metric, global": chain.rank, "statistics, overlap, concentration": chain.analyse}
        if not self.a.no_figures:
            stages["figures"] = chain.draw
        stages["manifests and report"] = lambda: chain.report(timing)
        for name, work in stages.items():
            with clock.stage(name):
                work()
        return [clock.stages[name]["seconds"] for name in stages]


def judge(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each goal: the goal, and what was measured."""
    for name in ("score and rank", "chain to the report"):
        yield f"{name}: {found[name]:.2f} s after loading (goal: at most {GOALS[name]:.0f} s)"
    for placement, goal in GOALS["over forward + backward"].items():
        ratio = found["over forward + backward"].get(placement)
        measured = "not measured" if ratio is None else f"{ratio:.2f} x"
        yield f"gradient statistics, {placement}: {measured} plain forward + backward (goal: at most {goal} x)"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda")
    p.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    p.add_argument("--layers", type=int, default=32)
    p.add_argument("--hidden", type=int, default=4096)
    p.add_argument("--intermediate", type=int, default=14_336)
    p.add_argument("--heads", type=int, default=32)
    p.add_argument("--kv-heads", type=int, default=8)
    p.add_argument("--vocabulary", type=int, default=128_256)
    p.add_argument("--texts", type=int, default=100)
    p.add_argument("--tokens", type=int, nargs="+", default=[100, 512], help="lengths of texts, one round each")
    p.add_argument("--batch-tokens", type=int, help="padded tokens a batch (default: the plan's)")
    p.add_argument("--candidates", type=int, default=10_000)
    p.add_argument("--k", type=int, default=1000, help="weights of each global ranking")
    p.add_argument("--repeats", type=int, default=3, help="of plain forward + backward")
    p.add_argument("--no-figures", action="store_true", help="leave the figures out")
    p.add_argument("--tiny", action="store_true", help="sizes that a CPU does in seconds")
    p.add_argument("--output", type=Path)
    return p


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, measure, print, write."""
    a = parser().parse_args(arguments)
    if a.tiny:
        a.layers, a.hidden, a.intermediate, a.heads, a.kv_heads, a.vocabulary = 2, 32, 48, 4, 2, 97
        a.texts, a.tokens, a.k, a.repeats = 5, [9], 20, 1
    device = torch.device(a.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: no GPU is found; --device cpu --tiny shows whether the benchmark runs")
    if device.type == "cuda":  # by its number, and current: events are recorded on the current one
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    start_logging("gpu")
    clock = Clock(device)
    found: dict[str, Any] = {"machine": machine(device)}
    print(json.dumps(found["machine"]), flush=True)
    with clock.stage("build"):
        model = build(a, device)
    sizes = {name: getattr(a, name) for name in ("layers", "hidden", "intermediate", "vocabulary", "dtype")}
    found |= {"model": sizes | {"weights": sum(p.numel() for p in model.parameters())}, "build": clock.stages["build"]}
    for length in a.tokens:
        with tempfile.TemporaryDirectory() as folder:
            found[f"{a.texts} x {length}"] = Round(model, length, a, clock, Path(folder)).run()
    for name, figures in found.items():
        if " x " in name:
            print(f"\n{name} tokens")
            print("\n".join(judge(figures)), flush=True)
    output = a.output or (None if a.tiny else RESULTS / f"{slug(found['machine']['device'])}.json")
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(found | {"goals": GOALS}, indent=2) + "\n", encoding="utf-8")
        print(f"written: {output.name}")


if __name__ == "__main__":
    main()
