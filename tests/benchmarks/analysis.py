"""Measure every stage of the analysis on score stores of Llama-3.1-8B's shapes, each stage in a process of its own.

    python tests/benchmarks/analysis.py                  # makes stores (0.6 GB) in a temporary folder first
    python tests/benchmarks/analysis.py --keep FOLDER    # or there, and takes them from there the next time

The stages run one after the other on two cores at most, and then all once more, two at a time, as
``snakemake --cores 2`` has them run. Beside other work all figures but the memory are larger: the load beforehand is
recorded with them. Lists made elsewhere are compared last: two of 100 weights a tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from critical_weights.metrics import METRICS
from critical_weights.names import Experiment

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "workflow" / "scripts"
PHASE, CORES = "p1", 2
RANKINGS = (("grad_x_weight", "perlayer", 100), ("grad_squared", "perlayer", 100), ("taylor_abs", "global", 300),
            ("magnitude", "perblock", 100))  # fmt: skip
GOALS = {"analysis": (30.0, 2e9), "compare": (5.0, 2e9)}
"""Seconds, and bytes of the largest stage."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What Snakemake sets to the threads of a job, of which the rules ask for one."""


def commands(folder: Path, runs: Sequence[Experiment]) -> dict[str, list[str]]:
    """Return the command line of each stage, as the rules call it."""
    stores = ["--stores", *(str(folder / "scores" / f"{METRICS[metric].path}.h5") for metric, _, _ in RANKINGS)]
    facts, tokens = ["--facts", str(folder / "model.json")], ["--tokens", str(folder / "tokens.json")]
    rankings = ["--rankings", *(str(folder / run.label / "top_weights.csv") for run in runs)]
    spikes = ["--spikes", str(folder / "spikes.json")]

    def to(name: str, option: str = "--output") -> list[str]:
        return [option, str(folder / "analysis" / name)]

    return {
        "overlap": [*stores, *to("overlap.csv")],
        "concentration": [*stores, *to("concentration.csv")],
        "agreement": [*stores, *to("agreement.csv")],
        "rank_density": [*stores, *to("rank_density.csv")],
        "structure": [*rankings, *stores, *facts, *tokens, *to("structure.csv"), *to("tokens.csv", "--tokens-output")],
        "first_position": [*stores, *facts, *tokens, *to("first_position.csv")],
        "sensitivity_table": [*stores, *facts, *to("sensitivity_table.csv")],
        "stability": [*stores, *to("stability.csv"), *to("weight_stability.csv", "--weights")],
        "superweights": [*spikes, *facts, *stores, *to("superweights.csv")],
    }


def start(script: str, arguments: Sequence[str]) -> tuple[subprocess.Popen, float]:
    """Start a stage; return its process and when that was."""
    begun = time.monotonic()
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | dict.fromkeys(THREADS, "1"), **pipes), begun


def finish(process: subprocess.Popen, begun: float) -> dict[str, float]:
    """Wait for a stage; return its seconds, seconds of CPU, and peak of resident memory.

    Raises:
        SystemExit: it failed.

    """
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(said)
    return {"seconds": round(time.monotonic() - begun, 2), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_bytes": usage.ru_maxrss * 1024}  # fmt: skip


def measure(stages: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Run stages one after the other; print and return the figures of each, and of all together."""
    found: dict[str, dict[str, float]] = {}
    for name, arguments in stages.items():
        found[name] = finish(*start(name, arguments))
        show(name, found[name])
    total = {key: round(sum(own[key] for own in found.values()), 2) for key in ("seconds", "cpu_seconds")}
    return found | {"all": total | {"peak_bytes": max(own["peak_bytes"] for own in found.values())}}


def two_at_a_time(stages: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Run stages two at a time, the longest first; return the seconds, and an upper bound of the joint peak memory."""
    begun, waiting, peaks = time.monotonic(), list(stages.items()), []
    running: dict[str, tuple[subprocess.Popen, float]] = {}
    while waiting or running:
        while waiting and len(running) < CORES:
            name, arguments = waiting.pop(0)
            running[name] = start(name, arguments)
        done = next((name for name, (process, _) in running.items() if _ended(process)), None)
        if done is None:
            time.sleep(0.01)
        else:
            peaks.append(finish(*running.pop(done))["peak_bytes"])
    joint = sum(sorted(peaks)[-CORES:])
    return {"seconds": round(time.monotonic() - begun, 2), "peak_bytes": joint}


def _ended(process: subprocess.Popen) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def show(name: str, figures: Mapping[str, float]) -> None:
    """Print one line of figures."""
    cpu = f"{figures['cpu_seconds']:8.2f} s of CPU" if "cpu_seconds" in figures else " " * 17
    print(f"{name:24} {figures['seconds']:8.2f} s {cpu} {figures['peak_bytes'] / 1e6:8.0f} MB", flush=True)


def goal(name: str, figures: Mapping[str, float]) -> str:
    """Return a line with what was asked for and what was measured."""
    seconds, size = GOALS[name]
    met = figures["seconds"] <= seconds and figures["peak_bytes"] <= size
    return (f"{name}: {figures['seconds']:.1f} s and {figures['peak_bytes'] / 1e9:.2f} GB (goal: at most "
            f"{seconds:.0f} s and {size / 1e9:.0f} GB on {CORES} cores): {'met' if met else 'missed'}")  # fmt: skip


def prepare(folder: Path, a: argparse.Namespace) -> None:
    """Make the stores and rankings, in a process of their own, unless they are there."""
    if (folder / "ready").exists():
        return
    code = (f"from pathlib import Path; from large_stores import write_study; write_study(Path({str(folder)!r}), "
            f"{a.model!r}, {[metric for metric, _, _ in RANKINGS]!r}, {a.candidates}, {a.texts})")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE)
    (folder / "ready").touch()


def main(arguments: Sequence[str] | None = None) -> None:
    """Make, measure, print, write."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="llama31_8b", help="whose shapes to take")
    p.add_argument("--candidates", type=int, default=10_000)
    p.add_argument("--texts", type=int, default=100)
    p.add_argument("--keep", type=Path, help="folder for stores and tables; kept")
    p.add_argument("--output", type=Path, default=HERE / "results" / "analysis_cpu.json")
    a = p.parse_args(arguments)
    load, cores = os.getloadavg()[0], sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    with nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as root:
        folder = Path(root).resolve() / PHASE / a.model
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, a)
        runs = [Experiment(PHASE, a.model, METRICS[metric].path, mode, k) for metric, mode, k in RANKINGS]
        for run in runs:
            finish(*start("rank", [
                "--store", str(folder / "scores" / f"{run.metric}.h5"), "--facts", str(folder / "model.json"),
                "--tokens", str(folder / "tokens.json"), "--mode", run.mode, "--k", str(run.k),
                "--output", str(folder / run.label / "top_weights.csv"),
            ]))  # fmt: skip
        stages = commands(folder, runs)
        found = measure(stages)
        show("all, one after the other", found["all"])
        longest = sorted(stages, key=lambda name: -found[name]["seconds"])
        together = two_at_a_time({name: stages[name] for name in longest})
        show("all, two at a time", together)
        lists = [str(folder / run.label / "top_weights.csv") for run in runs[:2]]
        compared = measure({"compare": ["--lists", *lists, "--shape", a.model,
                                        "--overlap", str(folder / "compared" / "overlap.csv"),
                                        "--structure", str(folder / "compared" / "structure.csv")]})  # fmt: skip
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    for name, figures in (("analysis", together), ("compare", compared["compare"])):
        print(goal(name, figures))
    machine = {"processor": _processor(), "cores": len(cores), "python": platform.python_version(),
               "load before": round(load, 1)}  # fmt: skip
    study = {"tensors": facts["analysed"]["n_tensors"], "weights": facts["analysed"]["n_weights"],
             "metrics": len(RANKINGS), "candidates": a.candidates, "texts": a.texts}  # fmt: skip
    result = {"machine": machine, "study": study, "stages": found, "two at a time": together, "compare": compared}
    a.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
