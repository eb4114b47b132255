"""Runs the jobs of a small study in forked processes and does each some harm; prints a line of JSON for each case.

A process of its own, so that what is forked is small and single-threaded; forks, because the libraries are then
imported once. What is told of each case: the rule, the harm, the exit status (negative: killed by that signal), what
was said, whether nothing half-written stayed, and whether the job, run once more, gives the undisturbed bytes.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from critical_weights import cli
from script_call import SCRIPTS, call_script
from stage_jobs import Job

LIBRARIES = (
    "torch", "transformers", "pandas", "h5py", "matplotlib.pyplot", "matplotlib.backends.backend_agg", "seaborn",
    "scipy.stats", "jinja2", "safetensors.numpy", "transformers.models.llama.modeling_llama",
    "critical_weights.scoring.family",
)  # fmt: skip
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree")
DAMAGED = (".h5", ".csv", ".json", ".safetensors", ".txt")
SAID = Path(os.environ.get("SAID", "said.txt"))
Files = dict[str, bytes]
TIMES = ("experiment_manifest.json",)
"""Files that hold times: those two runs may differ in."""


def fork(job: Job, before: Callable[[], None] = lambda: None, kill_after: float | None = None) -> tuple[int, float]:
    """Run a job in a fork, its output in :data:`SAID`.

    Args:
        job: the job.
        before: called in the fork first.
        kill_after: seconds after which it is killed.

    Returns:
        How it ended, as ``os.waitstatus_to_exitcode`` has it, and the seconds it took.

    """
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        handle = os.open(SAID, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
        status = 99
        try:
            before()
            status = call_script(job.script, *job.words)
        except SystemExit as end:
            status = 2 if end.code else 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - started


def outputs(job: Job) -> Files:
    return {name: Path(name).read_bytes() for name in job.outputs if Path(name).exists()}


def put_back(files: Files) -> None:
    for name, content in files.items():
        Path(name).write_bytes(content)


def remove_outputs(job: Job) -> None:
    for name in job.outputs:
        Path(name).unlink(missing_ok=True)


def same(one: Files, other: Files) -> bool:
    kept = {name for name in {*one, *other} if not name.endswith(TIMES)}
    return all(one.get(name) == other.get(name) for name in kept) and one.keys() == other.keys()


def left_over(job: Job) -> list[str]:
    """Return what lies half-written beside the job's outputs."""
    folders = {Path(name).parent for name in job.outputs}
    return sorted(str(file) for folder in folders if folder.exists() for file in folder.glob(".*.part"))


def told(harm: str, status: int) -> dict[str, Any]:
    return {"harm": harm, "status": status, "said": SAID.read_text(encoding="utf-8", errors="replace")[-2000:]}


def again(job: Job, good: Files) -> dict[str, Any]:
    """Run a job undisturbed and tell whether it gives the bytes it should, and leaves nothing else."""
    status, _ = fork(job)
    said = {"again_said": told("", status)["said"]} if status else {}
    return {"again": status, "same": same(outputs(job), good), "left": left_over(job)} | said


def at_moment(moment: int) -> Callable[[], None]:
    """Return a function that lets its process kill itself when it touches a file for so many times."""
    here = str(Path.cwd())

    def arm() -> None:
        seen = 0

        def hook(event: str, values: tuple[object, ...]) -> None:
            nonlocal seen
            if event in EVENTS and values and (here in str(values[0]) or not str(values[0]).startswith("/")):
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1

        sys.addaudithook(hook)

    return arm


def kills(job: Job, good: Files, rng: random.Random, times: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Kill a job three times, at two file operations and at a time, and run it once more."""
    remove_outputs(job)
    found = []
    for kill in range(3):
        if kill == 1:
            status, _ = fork(job, kill_after=rng.random() * times[job.rule])
        else:
            status, _ = fork(job, at_moment(rng.randrange(12)))
        made = outputs(job)
        whole = all(name.endswith(TIMES) or good[name] == content for name, content in made.items())
        found.append(told("kill", status) | {"whole": whole})
    result = again(job, good)
    yield from (case | result for case in found)


def damaged(content: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    # Not at the end of a row: nothing in a table tells that rows are missing.
    yield "truncated", content[: len(content) * 2 // 3].rstrip(b"\n")
    at = rng.randrange(len(content))
    yield "flipped", content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def model_files(job: Job) -> tuple[str, ...]:
    return ("model/model.safetensors", "model/config.json") if "model.json" in " ".join(job.inputs) else ()


def damages(job: Job, good: Files, rng: random.Random, _: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Damage the first input of each kind in three ways."""
    reads_model = job.script in ("score", "spikes", "describe_model")
    first: dict[str, str] = {}
    for name in (*(model_files(job) if reads_model else ()), *job.inputs):
        first.setdefault(Path(name).suffix + name.startswith("model/") * " ", name)
    found = []
    for name in (name for name in first.values() if name.endswith(DAMAGED)):
        content = Path(name).read_bytes()
        for harm, bad in damaged(content, rng):
            remove_outputs(job)
            Path(name).write_bytes(bad)
            status, _ = fork(job)
            found.append(told(harm, status) | {"file": name, "left_by": left_over(job), "made": bool(outputs(job))})
        Path(name).write_bytes(content)
    result = again(job, good) if found else {}
    yield from (case | result for case in found)


def memory(job: Job, good: Files, rng: random.Random, _: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Leave a job hardly any memory (address space) from its first line on, then enough."""

    def little() -> None:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 16) + rng.randrange(1 << 20),) * 2)

    def later() -> None:
        def start_logging(*given: Any) -> None:
            begin(*given)
            little()

        begin, cli.start_logging = cli.start_logging, start_logging

    remove_outputs(job)
    status, _ = fork(job, later)
    yield told("memory", status) | again(job, good)


@contextmanager
def full_disk() -> Iterator[None]:
    """Fill the file system of the working directory to the last byte."""
    with open("filler", "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass
    try:
        yield
    finally:
        Path("filler").unlink()


def disk(job: Job, good: Files, _: random.Random, __: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Run a job on a full disk, then with room."""
    remove_outputs(job)
    with full_disk():
        status, _ = fork(job)
    half = [name for name, content in outputs(job).items() if content != good[name] and not name.endswith(TIMES)]
    yield told("disk", status) | {"made": bool(half)} | again(job, good)


def readonly(job: Job, good: Files, _: random.Random, __: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Run a job on a file system that is mounted for reading only (which stops root too), then on one for writing."""
    remove_outputs(job)
    here = str(Path.cwd())
    subprocess.run(["mount", "-o", "remount,ro", here], check=True)
    status, _ = fork(job)
    subprocess.run(["mount", "-o", "remount,rw", here], check=True)
    yield told("readonly", status) | again(job, good)


def interrupts(job: Job, good: Files, rng: random.Random, times: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Interrupt a job as Ctrl-C does, in its middle."""
    remove_outputs(job)

    def arm() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a stage's own script, until it has begun
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.05 + rng.random() * times[job.rule] / 2)

    status, _ = fork(job, arm)
    yield told("interrupt", status) | again(job, good)


HARMS = {
    "kills": kills,
    "damages": damages,
    "memory": memory,
    "disk": disk,
    "readonly": readonly,
    "interrupts": interrupts,
}


def needed(jobs: list[Job], rules: list[str]) -> list[Job]:
    """Return the jobs of these rules and those before them."""
    kept: list[Job] = []
    wanted: set[str] = set()
    for job in reversed(jobs):
        if job.rule in rules or not wanted.isdisjoint(job.outputs):
            kept.append(job)
            wanted.update(job.inputs)
    return kept[::-1]


def main(folder: Path, seed: int, harms: list[str], rules: list[str]) -> None:
    """Make the study undisturbed, then harm one job of each rule (all, where none is named), and put back its files."""
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.path.insert(0, str(SCRIPTS))
    os.chdir(folder)
    jobs = pickle.loads(Path("jobs.pickle").read_bytes())
    if rules:
        jobs = needed(jobs, rules)
    rng = random.Random(seed)
    made, times = {}, {}
    for job in jobs:
        status, times[job.rule] = fork(job)
        if status:
            raise SystemExit(f"{job.rule}: {status}: {SAID.read_text()}")
        made[job] = outputs(job)
    for job in {job.rule: job for job in reversed(jobs) if not rules or job.rule in rules}.values():
        for harm in harms:
            for case in HARMS[harm](job, made[job], rng, times):
                print(json.dumps({"rule": job.rule} | case), flush=True)
            put_back(made[job])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4:])
