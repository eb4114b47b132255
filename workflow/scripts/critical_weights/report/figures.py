"""The figures that a report shows: which were drawn, their captions, and their bytes inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..plots import ANALYSIS_FIGURES, INTERVENTION_FIGURES, SCORE_FIGURES, draw_times
from .show import listed

SECTIONS_OF_TABLES = {
    "overlap": "overlap", "agreement": "overlap", "rank_density": "overlap", "concentration": "concentration",
    "structure": "structure", "sensitivity_table": "map", "tokens": "tokens", "stability": "stability",
    "weight_stability": "stability", "first_position": "first-position", "superweights": "super-weights",
    "spike_profile": "super-weights", "interventions": "validation", "verdict": "validation",
    "single_weights": "validation",
}  # fmt: skip
"""The section of the report that shows the figures drawn from a table."""
MAPS, ELSEWHERE = "map", "distribution"
"""Where the other figures go: those by block, and those of whole distributions."""


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
    found |= {section: [] for section in (*SECTIONS_OF_TABLES.values(), MAPS, ELSEWHERE)}
    names = [f"analysis/plots/{figure}.png" for figure in (*SCORE_FIGURES, *ANALYSIS_FIGURES)]
    if facts["validation"] is not None:
        names += [f"interventions/plots/{figure}.png" for figure in INTERVENTION_FIGURES]
    for name in names:
        if (folder / name).is_file():
            caption = f"{_words(name)}: {listed(list(facts['metrics']))}"
            found[section_of(Path(name).stem)].append(_figure(folder, name, caption))
    return found


def times_figure(recorded: Mapping[str, Any], title: str) -> str | None:
    """Return the figure of the section on times as a data URI; None where no time was recorded.

    It is drawn with the page and lies in no file of its own, so that times stay in this section.

    Args:
        recorded: what the report's facts hold under ``times``.
        title: what the figure is of (model, phase).

    """
    stages = [stage for entry in recorded["experiments"].values() for stage in entry["stages"].values()]
    known = recorded["scoring"] or any(stage["seconds"] is not None for stage in stages)
    return data_uri_of(draw_times(recorded, title)) if known else None


def section_of(figure: str) -> str:
    """Return the section that shows a figure over all metrics."""
    table = (ANALYSIS_FIGURES | INTERVENTION_FIGURES).get(figure)
    if table is not None:
        return SECTIONS_OF_TABLES.get(Path(table.name).stem, ELSEWHERE)
    return MAPS if figure.startswith("block") else ELSEWHERE


def data_uri(path: Path) -> str:
    """Return a PNG file as a data URI."""
    return data_uri_of(path.read_bytes())


def data_uri_of(content: bytes) -> str:
    """Return the bytes of a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _figure(folder: Path, name: str, caption: str) -> dict[str, Any]:
    return {"file": folder / name, "link": f"../{name}", "caption": caption}


def _words(name: str, run: Mapping[str, Any] | None = None) -> str:
    stem = Path(name).stem.removeprefix(f"{run['metric']}_k{run['k']}_" if run else "")
    return stem.replace("_", " ").capitalize()
