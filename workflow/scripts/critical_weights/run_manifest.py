"""The manifest of one experiment: everything needed to make it again. Written last, it means "complete"."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import result_paths
from .errors import TableError
from .files import read_json, sha256_file, write_json
from .names import Experiment, parse_experiment
from .provenance import git_state, hardware, package_versions
from .run_times import PASSES, interval, rates, read_benchmark, read_timing, scoring_rates

NAME = "experiment_manifest.json"
MODEL_KEYS = ("model", "source", "repo", "revision", "checkpoint", "architecture", "sha256")
REQUIRED = ("config.json", "sensitivity_stats.json", "top_weights.csv")


def experiment_of(path: str) -> Experiment:
    """Read an experiment from its path where no config is at hand to check phase and model against.

    Raises:
        ConfigError: metric, mode or k is wrong, or it is no path of an experiment.

    """
    parts = path.strip("/").removeprefix("results/").split("/")
    return parse_experiment(path, parts[:1], parts[1:2])


def run_files(run: Path, experiment: Experiment) -> list[Path]:
    """Return what the workflow made of an experiment in its run folder, sorted, without manifest and exports.

    A user's own files beside them are no part of it.
    """
    folder = Path("results") / experiment.path
    own = sorted(Path(name).relative_to(folder) for name in result_paths.run_files(experiment))
    return [run / name for name in own if (run / name).is_file()]


def write_run_manifest(
    run: str | Path,
    experiment: Experiment,
    *,
    facts: str | Path,
    calibration: str | Path,
    benchmarks: Mapping[str, Path],
    timing: str | Path | None,
    output: str | Path,
) -> None:
    """Write the manifest of one experiment.

    Args:
        run: the run folder.
        experiment: what the folder holds.
        facts: ``model.json``.
        calibration: ``calibration.json``.
        benchmarks: Snakemake's benchmark file of each stage; a file that is not there gives null times.
        timing: the scoring job's own record; may be absent, then the rates are null.
        output: where to write.

    Raises:
        TableError: a file of the run is missing, empty or cut short, or was made with another model or other texts than
            the facts say.

    """
    run = Path(run)
    for name in REQUIRED:
        if not (run / name).is_file():
            raise TableError(f"experiment {experiment.path} has no {name}", fix="Run the stage that makes it")
    model, texts = read_json(facts), read_json(calibration)
    config, stats = read_json(run / "config.json"), read_stats(run / "sensitivity_stats.json")
    files = run_files(run, experiment)
    check_whole(files, run / "top_weights.csv", stats["selection"]["num_weights"])
    store = stats["store"]
    check_same_origin(experiment.path, store, model, texts)
    record = read_timing(Path(timing) if timing else None)
    stages = {name: _stage(name, path, model, record) for name, path in benchmarks.items()}
    measured = [(path, stages[name]["seconds"]) for name, path in benchmarks.items()]
    if record:
        measured.append((Path(timing), sum(record["stages"].values())))
    started, completed = interval(measured, files)
    device = (record or {}).get("device")
    memory = [stage["peak_memory_bytes"] for stage in stages.values()] + [(record or {}).get("peak_memory_bytes")]
    write_json(output, {
        "experiment": experiment.path,
        "complete": True,
        "model": {key: model.get(key) for key in MODEL_KEYS},
        "calibration": {"sha256": texts["sha256"], "tokenizer_sha256": texts.get("tokenizer_sha256"),
                        "texts": texts["calibration"], "evaluation": texts["evaluation"]},
        "config": config,
        "seeds": {"texts": texts.get("seed"), "scoring": store.get("seed")},
        "dtypes": {"model": store.get("model_dtype"), "accumulator": store.get("accumulator_dtype")},
        "versions": {"scoring": store.get("versions"), "manifest": package_versions()},
        "git": git_state(),
        "hardware": hardware(device if device and device != "cpu" else None),
        "started": started,
        "completed": completed,
        "stages": stages,
        "scoring": scoring_rates(record),
        "peak_memory_bytes": max((m for m in memory if m is not None), default=None),
        "outputs": [describe(path, run) for path in files],
    })  # fmt: skip


def _stage(name: str, path: Path, model: Mapping[str, Any], record: Mapping[str, Any] | None) -> dict[str, Any]:
    stage: dict[str, Any] = dict(read_benchmark(path))
    if name not in PASSES:
        return stage
    analysed = model["analysed"]
    blocks = (record or {}).get("blocks", model.get("n_layers"))
    # Of a whole job, start and imports included; the scoring job's own record has the bare pass.
    return stage | rates(
        stage["seconds"], {"weights": analysed["n_weights"], "tensors": analysed["n_tensors"], "blocks": blocks}
    )


def read_stats(path: Path) -> dict[str, Any]:
    """Read an experiment's ``sensitivity_stats.json``.

    Raises:
        TableError: a part of it is missing.

    """
    stats = read_json(path)
    for key in ("overall", "selection", "tensors", "quantiles", "store"):
        if key not in stats:
            raise TableError(f"{path} has no key '{key}'", fix="Delete it; the next run makes it again")
    return stats


def check_whole(files: Iterable[Path], ranking: Path, selected: int) -> None:
    """Check that no file of a run is empty, and that its ranking has a row for every selected weight.

    Raises:
        TableError: a file is empty, or a table is cut short, also where the cut is at a row's end.

    """
    fix = "Delete it; the next run makes it again"
    for path in files:
        if not path.stat().st_size:
            raise TableError(f"{path} is empty", fix=fix)
    try:
        with ranking.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            columns = len(next(lines))
            rows = [len(line) for line in lines]
    except (csv.Error, ValueError) as error:
        raise TableError(f"{ranking} is damaged ({error})", fix=fix) from error
    if set(rows) - {columns}:
        raise TableError(f"a row of {ranking} is cut short or damaged", fix=fix)
    if len(rows) != selected:
        raise TableError(f"{ranking} is not whole", got=f"{len(rows)} rows", expected=f"{selected}, the weights that"
                         " sensitivity_stats.json says are selected", fix=fix)  # fmt: skip


def check_same_origin(
    experiment: str, store: Mapping[str, Any], model: Mapping[str, Any], texts: Mapping[str, Any]
) -> None:
    """Check that the scores of an experiment were made with this model and these texts.

    Raises:
        TableError: they were not; the message names what differs. A metric that reads no text has no texts to check.

    """
    for what, key, wanted in (
        ("model", "model_sha256", model["sha256"]),
        ("set of texts", "calibration_sha256", texts["sha256"]),
    ):
        if store.get(key) not in (None, wanted):
            raise TableError(f"experiment {experiment} was made with another {what}",
                             got=store[key], expected=wanted, fix="Run the workflow again")  # fmt: skip


def describe(path: Path, root: Path) -> dict[str, Any]:
    """Return a file's path below ``root`` (with /), its bytes and its SHA-256."""
    return {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_file(path)}
