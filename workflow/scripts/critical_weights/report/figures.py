"""The figures that a report shows: which were drawn, their captions, and their bytes inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .show import listed

OVER_METRICS = {"overlap": "overlap_matrix", "concentration": "lorenz_curves"}
"""The figure over all metrics that belongs to a section of the report."""


def find_figures(folder: Path, facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each experiment and of the sections over all metrics; none where none was drawn.

    Args:
        folder: ``results/{phase}/{model}``.
        facts: the report's facts.

    Returns:
        ``{"file", "link", "caption"}`` of each; the link is relative to the report's folder.

    """
    found = {
        label: [_figure(folder, f"{label}/{name}", f"{_words(name, run)}: {label}") for name in run["figures"]]
        for label, run in facts["experiments"].items()
    }
    for section, figure in OVER_METRICS.items():
        name = f"analysis/plots/{figure}.png"
        caption = f"{_words(name)}: {listed(list(facts['metrics']))}"
        found[section] = [_figure(folder, name, caption)] if (folder / name).is_file() else []
    return found


def data_uri(path: Path) -> str:
    """Return a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _figure(folder: Path, name: str, caption: str) -> dict[str, Any]:
    return {"file": folder / name, "link": f"../{name}", "caption": caption}


def _words(name: str, run: Mapping[str, Any] | None = None) -> str:
    stem = Path(name).stem.removeprefix(f"{run['metric']}_k{run['k']}_" if run else "")
    return stem.replace("_", " ").capitalize()
