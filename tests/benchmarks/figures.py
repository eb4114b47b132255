"""Time all figures and reports from cached tables: of a finished study, and of a model of Llama-3.1-8B's shape.

The first is what a user waits for: Snakemake in a copy of the study, whose figures and reports are deleted; score
stores are not copied, since nothing reads them. The second draws every kind of figure, one process for each group as
the rules do, as many at a time as there are cores, from synthetic statistics of 226 tensors and eight billion weights
and tables over nine metrics; then the study's report is written with these pictures in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from critical_weights.plots import ANALYSIS_FIGURES, FIGURES, RUN_FIGURES, SCORE_FIGURES
from critical_weights.tables.schema import write_table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import synthetic_analysis as made  # noqa: E402
from synthetic_stats import llama8b_tensors  # noqa: E402

BLOCKS, HIDDEN = 32, 4096
EXPERIMENTS = 12
"""As many as the default study has."""


def timed(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command and return its wall-clock and CPU seconds, those of its children included.

    Raises:
        SystemExit: it failed.

    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}


def finished_study(study: Path, cores: int) -> dict[str, Any]:
    """Draw all figures and write all reports of a finished study again, in a copy of it.

    Args:
        study: the folder that has its ``results/``.
        cores: for Snakemake.

    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("results", "resources", "benchmarks"):
            if (study / part).is_dir():
                ignored = shutil.ignore_patterns("scores", "plots", "archive")
                shutil.copytree(study / part, folder / part, ignore=ignored)
        folders = sorted(path.parent for path in folder.glob("results/*/*/model.json"))
        targets = [f"{path.relative_to(folder)}/report/report.html" for path in folders]
        for path in folders:
            shutil.rmtree(path / "report", ignore_errors=True)
        # Times of files only: a copy has no metadata, and code that changed since is no reason to score again.
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores),
                   "--rerun-triggers", "mtime", "--quiet", "all", "--", *targets]  # fmt: skip
        measured = timed(command, folder)
        drawn = len(list(folder.glob("results/**/*.png")))
    return {"cores": cores, "figures": drawn, "reports": len(targets), **measured}


def write_sources(folder: Path) -> list[str]:
    """Write statistics and tables of an 8B-shaped study; return the files of statistics, one an experiment."""
    tensors = llama8b_tensors()
    stats = []
    for label, run in made.runs(tensors).items():
        path = folder / label / "sensitivity_stats.json"
        path.parent.mkdir()
        path.write_text(json.dumps(run), encoding="utf-8")
        stats.append(str(path))
    components = list(dict.fromkeys(component for *_, component in tensors))
    tables = {
        "overlap.csv": made.overlap(), "rank_density.csv": made.rank_density(),
        "concentration.csv": made.concentration(), "structure.csv": made.structure(blocks=BLOCKS, hidden=HIDDEN),
        "tokens.csv": made.tokens(), "first_position.csv": made.first_position(components),
        "stability.csv": made.stability(), "spike_profile.csv": made.spike_profile(BLOCKS),
    }  # fmt: skip
    for table in set(ANALYSIS_FIGURES.values()):
        write_table(tables[table.name], folder / table.name, table)
    return stats


def large_model(cores: int, study: Path | None) -> dict[str, Any]:
    """Draw every kind of figure of an 8B-shaped study, those of single runs for as many as the default study has.

    Args:
        cores: groups drawn at a time, each by a process of its own.
        study: a finished study, whose report is then written once more with the 8B-shaped pictures in it.

    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stats = write_sources(folder)
        runs = [stats[n % len(stats)] for n in range(EXPERIMENTS)]
        asked = [("scores", SCORE_FIGURES, stats)]
        asked += [(group, figures, [f"{folder / FIGURES[f]}" for f in figures]) for group, figures in groups().items()]
        asked += [(f"run{n}", RUN_FIGURES, [run]) for n, run in enumerate(runs)]
        started = time.monotonic()
        with ThreadPoolExecutor(cores) as pool:
            seconds = dict(pool.map(lambda one: (one[0], drawn(folder, *one)), asked))
        wall = time.monotonic() - started
        pictures = sorted(folder.glob("*/*.png"))
        report = report_with(pictures, study, folder) if study else None
    return {
        "cores": cores,
        "figures": len(pictures),
        "seconds": round(wall, 1),
        "cpu_seconds": round(sum(seconds.values()), 1),
        "report": report,
        "cpu_seconds_by_job": seconds,
    }


def groups() -> dict[str, tuple[str, ...]]:
    """Figures of tables, drawn together as in the workflow: dear ones and cheap ones in turn, in two groups."""
    names = tuple(ANALYSIS_FIGURES)
    return {"tables_0": names[::2], "tables_1": names[1::2]}


def drawn(folder: Path, group: str, figures: Sequence[str], files: Sequence[str]) -> float:
    """Draw the figures of a group by a process of its own; return its CPU seconds.

    Raises:
        SystemExit: it failed.

    """
    outputs = [str(folder / group / f"{figure}.png") for figure in figures]
    command = [sys.executable, str(ROOT / "workflow" / "scripts" / "plot.py"), "--figure", *figures,
               "--source", *files, "--output", *outputs]  # fmt: skip
    with (folder / f"{group}.log").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)  # its own seconds: others run beside it
    if status:
        raise SystemExit((folder / f"{group}.log").read_text())
    return round(used.ru_utime + used.ru_stime, 1)


def report_with(pictures: Sequence[Path], study: Path, folder: Path) -> dict[str, float]:
    """Write the largest report of a finished study, with these pictures in the place of its own of the same names."""
    own = max(study.glob("results/*/*/report/report.html"), key=lambda page: page.stat().st_size).parents[1]
    copy = folder / own.relative_to(study)
    shutil.copytree(own, copy, ignore=shutil.ignore_patterns("scores", "report"))
    by_name = {picture.name: picture for picture in pictures}
    for place in copy.glob("**/plots/*.png"):
        if place.name in by_name:
            shutil.copy(by_name[place.name], place)
    experiments = sorted(path.parent.name for path in copy.glob("*/experiment_manifest.json"))
    command = [sys.executable, str(ROOT / "workflow" / "scripts" / "report.py"), "--root", str(folder / "results"),
               "--phase", copy.parent.name, "--model", copy.name, "--experiments", ",".join(experiments)]  # fmt: skip
    return timed(command, folder) | {"bytes": (copy / "report" / "report.html").stat().st_size}


def main() -> None:
    """Measure, print and write as JSON."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("study", type=Path, nargs="?", help="folder of a finished study, with results/ in it")
    p.add_argument("--cores", type=int, default=2)
    p.add_argument("--output", type=Path, default=HERE / "results" / "figures.json")
    a = p.parse_args()
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
               "versions": {name: metadata.version(name) for name in ("matplotlib", "pandas", "seaborn")}}  # fmt: skip
    found: dict[str, Any] = {"machine": machine}
    if a.study:
        found["study"] = finished_study(a.study, a.cores)
        print(json.dumps(found["study"]), flush=True)
    found["llama-3.1-8b shape"] = large_model(a.cores, a.study)
    print(json.dumps(found["llama-3.1-8b shape"]))
    a.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
