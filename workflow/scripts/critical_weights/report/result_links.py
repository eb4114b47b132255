"""The result files behind a report, as links from the report's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.files import INTERVENTIONS, is_left_out

_OF_RUN = ("top_weights.csv", "sensitivity_stats.json", "config.json", "experiment_manifest.json")


def result_links(folder: Path, facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the files below a model's folder by what they are of.

    Of a folder of tables all are there: also those that the report never reads, behind a figure or another table alone.
    """
    of_all = _tables(folder, "analysis")
    if facts["validation"] is not None:
        of_all += _tables(folder, INTERVENTIONS)
    groups = {"all metrics": of_all, "model and texts": ["model.json", "calibration.json"]}
    return groups | {label: [f"{label}/{name}" for name in _OF_RUN] for label in facts["experiments"]}


def _tables(folder: Path, name: str) -> list[str]:
    found = (path for path in (folder / name).glob("*.csv") if not is_left_out(path.relative_to(folder.parents[1])))
    return sorted(f"{name}/{path.name}" for path in found)
