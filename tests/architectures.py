"""Tiny models of many architectures through the whole workflow, and what came of each.

One config, one Snakemake run: ordinary folders (source: local), a gradient ranking to the archive, and the stores of
all families. Then every score of every store is compared with the slow twin's. tests/benchmarks/architectures.py makes
docs/architectures.md of it.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from brute_force import scores
from comparison import largest_error
from critical_weights.metrics import METRICS_BY_PATH
from critical_weights.model.load import load_model
from critical_weights.scoring.probes import rademacher
from critical_weights.store.read import open_store
from critical_weights.structure.tensor_roles import residual_axis
from tiny_models import SENTENCES, save_tiny_folder

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = {
    "Llama": "llama", "GPT-2": "gpt2", "DialoGPT": "gpt2", "GPT-NeoX (Pythia)": "gpt_neox", "Mistral": "mistral",
    "Qwen2": "qwen2", "Qwen3": "qwen3", "Gemma-2": "gemma2", "Phi-3": "phi3", "OPT": "opt", "OLMo-2": "olmo2",
    "Falcon": "falcon", "BLOOM": "bloom", "Mixtral": "mixtral",
}  # fmt: skip
"""What people call them -> which tiny model; DialoGPT is a GPT-2, here of other weights."""
PHASE, SEED, PROBES = "arch", 7, 3
METRICS = tuple(METRICS_BY_PATH)
STORES = ("mag", "wanda", "gradxw", "hutch")
"""One metric of each family: a job writes the stores of all metrics of its own."""


@dataclass(frozen=True)
class Outcome:
    """What a run made of one architecture.

    Attributes:
        title: what people call it.
        tensors: analysed tensors.
        weights: their weights.
        unmapped: analysed tensors of no known kind, or whose component no table of roles knows.
        ties: names that share the memory of another tensor.
        fused: components that hold several matrices in one tensor, and how they are split.
        error: of all metrics and tensors the largest norm(scores - twin) / norm(twin).
        metric: that has this error.
        jobs: of the model in the run, by their benchmark files.
        seconds: of scoring, all families together: reading the model, statistics of the texts, scores and stores.

    """

    title: str
    tensors: int
    weights: int
    unmapped: int
    ties: int
    fused: str
    error: float
    metric: str
    jobs: int
    seconds: float


def key_of(title: str) -> str:
    """Return the name of an architecture's model in the config."""
    return title.split()[0].lower().replace("-", "_")


def write_study(folder: Path, titles: Sequence[str]) -> None:
    """Write models, texts and config (``own.yaml``) of a study."""
    keys = [key_of(title) for title in titles]
    for number, (key, title) in enumerate(zip(keys, titles, strict=True)):
        save_tiny_folder(folder / "models" / key, ARCHITECTURES[title], seed=number)
    for name, texts in {"texts": SENTENCES[:4], "evaluation": SENTENCES[4:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    phase = {"texts": "texts.txt", "evaluation": "evaluation.txt", "max_length": 12, "seed": SEED}
    few = {"ks": [5], "k": 5, "seeds": 1, "strengths": [0], "others": [], "lines": 0, "top": 1, "singles": 4}
    config = {
        "models": {key: {"source": "local", "path": f"models/{key}"} for key in keys},
        "phases": {PHASE: phase},
        "experiments": [f"{PHASE}/{key}/gradxw_global_k5" for key in keys],
        "scoring": {"device": "cpu", "dtype": "float64", "candidates": 20, "dense": True, "probes": PROBES},
        "interventions": few,
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def targets(titles: Sequence[str]) -> list[str]:
    """Return what is to be made of a study: everything that is configured, and the stores of every family."""
    return ["all", *(file for title in titles for file in stores(title))]


def stores(title: str) -> list[str]:
    """Return one store of each family."""
    return [f"results/{PHASE}/{key_of(title)}/scores/{store}.h5" for store in STORES]


def run_study(folder: Path, targets: Sequence[str], *, cores: int) -> None:
    """Run Snakemake on a study.

    Raises:
        RuntimeError: it failed; the message is what it said.

    """
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--configfile", "own.yaml",
               "--snakefile", str(ROOT / "Snakefile"), "--quiet", "rules", "host", "reason"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def outcome(folder: Path, title: str) -> Outcome:
    """Return what a finished run made of an architecture."""
    key = key_of(title)
    results = folder / "results" / PHASE / key
    facts = json.loads((results / "model.json").read_text(encoding="utf-8"))
    errors = dict(metric_errors(folder, key, facts))
    worst = max(errors, key=lambda metric: errors[metric])
    benchmarks = [path.relative_to(folder).with_suffix("") for path in (folder / "benchmarks").rglob("*.tsv")]
    timings = (folder / "benchmarks" / PHASE / key).glob("score_*.json")
    return Outcome(
        **counts(title, facts),
        fused=fused(results),
        error=errors[worst],
        metric=worst,
        jobs=sum(key in path.parts for path in benchmarks),
        seconds=sum(sum(json.loads(path.read_text())["stages"].values()) for path in timings),
    )


def counts(title: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return those parts of an :class:`Outcome` that a model's facts alone tell."""
    analysed = [tensor for tensor in facts["tensors"] if tensor["analysed"]]
    return {
        "title": title,
        "tensors": len(analysed),
        "weights": sum(tensor["numel"] for tensor in analysed),
        "unmapped": len(unmapped(facts)),
        "ties": sum(len(tensor["tied_to"]) for tensor in facts["tensors"]),
    }


def unmapped(facts: dict[str, Any]) -> list[str]:
    """Return the analysed tensors of which it is not known what they are: their module's kind or their component."""
    return [
        tensor["name"]
        for tensor in facts["tensors"]
        if tensor["analysed"]
        and (
            tensor["kind"] == "other"
            or not tensor["component"]
            or not (tensor["kind"] in ("router", "experts") or residual_axis(tensor, facts))
        )
    ]


def fused(results: Path) -> str:
    """Return the fused attention tensors of the first block and their heads, as sensitivity_table.csv splits them."""
    heads: dict[str, dict[str, int]] = {}
    with (results / "analysis" / "sensitivity_table.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["scope"] == "head" and row["layer"] == "0" and row["metric"] == "grad_x_weight":
                parts = heads.setdefault(row["component"], {})
                parts[row["part"]] = parts.get(row["part"], 0) + 1
                assert not row["note"], f"{row['tensor']}: {row['note']}"
    split = {component: parts for component, parts in heads.items() if len(parts) > 1}
    return "; ".join(
        f"`{name}`: {', '.join(f'{n} {part}' for part, n in parts.items())}" for name, parts in split.items()
    )


def metric_errors(folder: Path, key: str, facts: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Compare every score of every store with the slow twin's, in float64; yields each metric's largest error.

    The stores hold float32, whose rounding alone is up to 6e-8.
    """
    results = folder / "results" / PHASE / key
    record = json.loads((folder / "resources" / "models" / f"{key}.json").read_text(encoding="utf-8"))
    texts = json.loads((results / "tokens.json").read_text(encoding="utf-8"))["calibration"]
    model = load_model(record, torch.float64, torch.device("cpu"))
    if hasattr(model.config, "num_local_experts"):
        model.set_experts_implementation("eager")  # the fused kernels know no float64
    analysed = {tensor["name"]: tensor["shape"] for tensor in facts["tensors"] if tensor["analysed"]}
    probes = [
        {name: rademacher(SEED, probe, name, shape, torch.float64) for name, shape in analysed.items()}
        for probe in range(PROBES)
    ]
    for metric in METRICS:
        full = METRICS_BY_PATH[metric].name
        got = _stored(results / "scores" / f"{metric}.h5")
        want = scores(full, model, texts, probes)
        assert set(got) == set(analysed), f"{key} {full}: {sorted(set(got) ^ set(analysed))}"
        yield full, largest_error(got, {name: want[name].detach().double() for name in got})


def _stored(path: Path) -> dict[str, Tensor]:
    with open_store(path) as store:
        return {name: torch.from_numpy(store.dense(name)).double() for name in store.names}


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table of docs/architectures.md."""
    heads = ["Architecture", "Tensors", "Weights", "Unmapped", "Tied", "Fused attention tensors", "Largest error",
             "of", "Jobs", "Seconds"]  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "| --- | ---: | ---: | ---: | ---: | --- | ---: | --- | ---: | ---: |"]
    for one in outcomes:
        cells = [one.title, one.tensors, f"{one.weights:,}", one.unmapped, one.ties, one.fused or "none",
                 f"{one.error:.1e}", f"`{one.metric}`", one.jobs, f"{one.seconds:.1f}"]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
