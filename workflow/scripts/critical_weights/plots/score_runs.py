"""The statistics of all experiments of one phase and model, for figures that set the metrics side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TableError
from ..tables.rows import unique
from .stats_file import read_stats
from .wording import count


@dataclass(frozen=True)
class Run:
    """One experiment: its run folder's name and its checked ``sensitivity_stats.json``."""

    label: str
    stats: dict[str, Any]

    @property
    def metric(self) -> str:
        """Full name of the metric."""
        return self.stats["metric"]


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read the statistics of experiments, each named by the folder that its file lies in.

    Raises:
        TableError: a file is of another schema, none is given, or two are in folders of one name.

    """
    if not paths:
        raise TableError("no statistics of an experiment are given", fix="Name sensitivity_stats.json of one at least")
    runs = [Run(Path(path).absolute().parent.name, read_stats(path)) for path in paths]
    labels = [run.label for run in runs]
    if double := [label for place, label in enumerate(labels) if label in labels[:place]]:
        raise TableError(f"statistics of two run folders called {double[0]} are given", fix="Draw each phase apart")
    return runs


def by_metric(runs: Sequence[Run]) -> dict[str, Run]:
    """Return the first run of each metric; figures over all weights are the same in all of them."""
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.metric, run)
    return first


def population_of(runs: Sequence[Run]) -> str:
    """Say over what all panels are: ``all 2,012,160 weights of 58 tensors``; a span where metrics differ."""
    overall = [run.stats["overall"] for run in runs]
    weights = _span([entry["num_weights"] for entry in overall], "weight")
    return f"all {weights} of {_span([entry['num_tensors'] for entry in overall], 'tensor')}"


def _span(values: Sequence[int], noun: str) -> str:
    low, high = min(values), max(values)
    return count(high, noun) if low == high else f"{count(low)} to {count(high, noun)} (by metric)"


def component_order(runs: Sequence[Run]) -> list[str]:
    """Return the components in the model's order, those of the blocks first: so each has one colour in all figures."""
    entries = [entry for run in runs for entry in run.stats["tensors"].values()]
    entries.sort(key=lambda entry: entry["layer"] is None)
    return unique(entry["component"] for entry in entries)
