"""The figures that a report shows: which were drawn, their captions, and their bytes inside the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..plots import ANALYSIS_FIGURES, INTERVENTION_FIGURES, SCORE_FIGURES, draw_times
from .render import TEMPLATES

CAPTIONS = TEMPLATES / "captions"
"""What each kind of figure shows, in the words of Snakemake's own report."""

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
    found = {label: [_of_run(folder, label, name, run) for name in run["figures"]]
             for label, run in facts["experiments"].items()}  # fmt: skip
    found |= {section: [] for section in (*SECTIONS_OF_TABLES.values(), MAPS, ELSEWHERE)}
    names = [f"analysis/plots/{figure}.png" for figure in (*SCORE_FIGURES, *ANALYSIS_FIGURES)]
    if facts["validation"] is not None:
        names += [f"interventions/plots/{figure}.png" for figure in INTERVENTION_FIGURES]
    for name in names:
        if (folder / name).is_file():
            figure = Path(name).stem
            found[section_of(figure)].append(_figure(folder, name, caption(figure)))
    return found


def caption(figure: str) -> str:
    """Return what a figure shows, without markup and without what of: whole sentences that hold for every model."""
    first = (CAPTIONS / f"{figure}.rst").read_text(encoding="utf-8").split("\n\n")[0]
    told = re.split(r"(?<=\.) (?=Of [^.]*\{\{)", first)[0]
    return " ".join(told.replace("``", "").split())


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


def _figure(folder: Path, name: str, words: str) -> dict[str, Any]:
    return {"file": folder / name, "link": f"../{name}", "caption": words}


def _of_run(folder: Path, label: str, name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    kind = Path(name).stem.removeprefix(f"{run['metric']}_k{run['k']}_")
    return _figure(folder, f"{label}/{name}", f"{caption(kind)} Of {label}.")
