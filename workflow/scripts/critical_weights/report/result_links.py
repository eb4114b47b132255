"""The result files that a report is made from, as links from the report's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OF_RUN = ("top_weights.csv", "sensitivity_stats.json", "config.json", "experiment_manifest.json")


def result_links(folder: Path, facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the files below a model's folder by what they are of; the report has read each of them."""
    groups = {"all metrics": [*_tables(folder, "analysis"), *_tables(folder, "interventions")],
              "model and texts": ["model.json", "calibration.json"]}  # fmt: skip
    return groups | {label: [f"{label}/{name}" for name in _OF_RUN] for label in facts["experiments"]}


def _tables(folder: Path, name: str) -> list[str]:
    return sorted(f"{name}/{path.name}" for path in (folder / name).glob("*.csv"))
