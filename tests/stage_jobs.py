"""The jobs of a small study as Snakemake would run them, for tests that call the stages' scripts themselves.

A dry run tells the commands, inputs and outputs, so a stage that is added to the workflow is tested with the others.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from forked_snakemake import run_snakemake
from tiny_models import SENTENCES, save_tiny_folder

ROOT = Path(__file__).resolve().parents[1]
CONFIG = {
    "models": {"tiny": {"source": "local", "path": "model"}},
    "phases": {"a": {"texts": "texts.txt", "evaluation": "evaluation.txt", "max_samples": 3, "max_length": 12}},
    "experiments": ["a/tiny/gradxw_perlayer_k5", "a/tiny/mag_global_k9"],
    "scoring": {"device": "cpu", "candidates": 20},
    "interventions": {"ks": [10], "k": 10, "strengths": [0], "others": [], "seeds": 1, "texts": 2, "top": 1,
                      "singles": 10, "single_texts": 2, "draws": 100},
    "compare": {"two": [f"results/a/tiny/{run}/top_weights.csv" for run in ("gradxw_perlayer_k5", "mag_global_k9")]},
}  # fmt: skip
_JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)Shell command: (.*(?:\n(?!\n|\[).*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One job: the rule's name, files relative to the working directory, and the words of its command."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    script: str
    words: tuple[str, ...]


def write_study(folder: Path) -> None:
    """Write a tiny model, texts and a config that names two experiments and a comparison."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tiny_folder(folder / "model")
    for name, texts in {"texts": SENTENCES[:3], "evaluation": SENTENCES[4:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (folder / "own.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")


def planned_jobs(folder: Path) -> list[Job]:
    """Return the jobs of :func:`write_study`'s study, each behind those whose outputs it reads."""
    done = run_snakemake(folder, "all", "-n", "-p", "--snakefile", ROOT / "Snakefile", "--configfile", "own.yaml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return _in_order(_job(*found) for found in _JOB.findall(done.stdout) if ".py " in found[2])


def _job(rule: str, facts: str, command: str) -> Job:
    files = {key: tuple(value.split(", ")) for key, value in re.findall(r"^    (input|output): (.*)$", facts, re.M)}
    command = re.sub(r"\$\(dirname (\S+)\)", lambda found: str(Path(found[1]).parent), command)
    words = shlex.split(command)
    script = next(i for i, word in enumerate(words) if word.endswith(".py"))
    name = Path(words[script]).stem
    return Job(rule, files.get("input", ()), files["output"], name, tuple(words[script + 1 :]))


def _in_order(jobs: Iterable[Job]) -> list[Job]:
    waiting = list(jobs)
    ordered: list[Job] = []
    while waiting:
        missing = {file for job in waiting for file in job.outputs}
        ready = [job for job in waiting if missing.isdisjoint(job.inputs)]
        assert ready
        ordered += ready
        waiting = [job for job in waiting if job not in ready]
    return ordered
