"""How long a stage took and how much memory it held, read from Snakemake's benchmark files and the scoring job's own.

What is missing stays None: no time is guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import ConfigError, TableError, near_names
from .files import read_json

_MEBIBYTE = 1 << 20
LOADING = "load"
"""The part of the scoring job before its pass over the weights."""
ONCE = ("describe_model", "calibrate", "evaluation_texts")
"""The stages that one phase and model runs once, whatever the number of experiments."""
PASSES = ("score", "rank", "summarise")
"""The stages that go over every analysed weight, so that a rate per weight, tensor and block means something."""


def parse_benchmarks(pairs: Iterable[str]) -> dict[str, Path]:
    """Read ``stage=PATH`` pairs.

    Raises:
        ConfigError: a pair has no ``=``, an empty half, or a stage is named twice.

    """
    benchmarks: dict[str, Path] = {}
    for pair in pairs:
        stage, equals, path = pair.partition("=")
        if not (equals and stage and path):
            raise ConfigError(f"'{pair}' names no benchmark", expected="stage=PATH", fix="For example rank=rank.tsv")
        if stage in benchmarks:
            raise ConfigError(f"stage '{stage}' is given two benchmarks", got=f"{benchmarks[stage]} and {path}")
        benchmarks[stage] = Path(path)
    return benchmarks


def read_benchmark(path: Path) -> dict[str, float | int | None]:
    """Return ``{"seconds", "peak_memory_bytes"}`` of one Snakemake benchmark file; both None where there is none.

    Of a job repeated for the benchmark's sake it is the longest time and the largest memory. Snakemake looks at a job
    several times and at its shares of memory one after the other: of a short one the resident set may be that of a
    shell that has not yet started Python, and no memory is below what another look found.

    Raises:
        TableError: the file is there but is no benchmark.

    """
    if not path.is_file():
        return {"seconds": None, "peak_memory_bytes": None}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or "s" not in rows[0]:
        raise TableError(f"{path} is no benchmark file of Snakemake's", fix="Delete it; its job writes it again")
    memory = _largest(row.get(column) for row in rows for column in ("max_rss", "max_uss", "max_pss"))
    return {
        "seconds": _largest(row["s"] for row in rows),
        "peak_memory_bytes": None if memory is None else round(memory * _MEBIBYTE),
    }


def _largest(fields: Iterable[str | None]) -> float | None:
    # Snakemake writes "-" or "NA" for what it could not measure, as the memory of a job that was over at once.
    values = [float(field) for field in fields if field not in (None, "", "-", "NA")]
    return max(values, default=None)


def read_timing(path: Path | None) -> dict[str, Any] | None:
    """Return the scoring job's own record of its times and counts; None where there is none.

    Raises:
        TableError: a key is missing.

    """
    if path is None or not path.is_file():
        return None
    timing = read_json(path)
    for key in ("family", "stages", "weights", "tensors", "blocks", "device"):
        if key not in timing:
            raise TableError(f"{path} has no key '{key}'", near=near_names(key, timing))
    return timing


def scoring_rates(timing: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the scoring job's record with its weights, tensors and blocks per second, loading the model left out."""
    if timing is None:
        return None
    return timing | rates(sum(taken for part, taken in timing["stages"].items() if part != LOADING), timing)


def rates(seconds: float | None, counts: dict[str, Any]) -> dict[str, float | None]:
    """Return how many of each of ``counts`` (weights, tensors, blocks) went by in a second; None where unknown."""
    return {
        f"{what}_per_second": counts[what] / seconds if seconds and counts.get(what) is not None else None
        for what in ("weights", "tensors", "blocks")
    }


def interval(measured: Iterable[tuple[Path, float | None]], outputs: Iterable[Path]) -> tuple[str, str]:
    """Return when the first of the stages started and the last output was written, UTC, ISO 8601.

    Args:
        measured: benchmark and timing files with the seconds their job took. Each is written when its job ends.
        outputs: the run's files, at least one.

    """
    written = [path.stat().st_mtime for path in outputs]
    begun = [path.stat().st_mtime - (seconds or 0.0) for path, seconds in measured if path.is_file()]
    return _iso(min(begun + written)), _iso(max(written))


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
