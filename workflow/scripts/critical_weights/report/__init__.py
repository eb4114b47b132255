"""The report on one (phase, model): Markdown, self-contained HTML and JSON, from cached small files only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..files import write_json, write_text
from ..names import Experiment
from . import summary
from .display import tables
from .figures import data_uri, find_figures, times_figure
from .gather import FACTS, gather
from .heatmap import LEVELS, heatmaps
from .inventory import export
from .overview import overview
from .render import digest, render, script_of_pages
from .result_links import result_links
from .times import KEY
from .weights_table import first_weights

PAGES = (
    "research_summary.md", "quantitative_summary.md", "report.html", "comprehensive_results_summary.md",
    "export_summary.md",
)  # fmt: skip
SECTIONS = (
    ("summary", "Summary"), ("set-up", "Set-up"), ("model", "Model"), ("texts", "Texts"), ("metrics", "Metrics"),
    ("best-weights", "Best weights"), ("map", "Map"), ("distribution", "Distribution"), ("selections", "Selections"),
    ("structure", "Structure"), ("tokens", "Tokens"), ("stability", "Stability"),
    ("first-position", "First position"), ("super-weights", "Super weights"), ("overlap", "Overlap and agreement"),
    ("concentration", "Concentration"), ("criteria", "Criteria"), ("validation", "Validation"),
    ("self-checks", "Self-checks"), ("provenance", "Provenance"), ("files", "Files"), ("times", "Times"),
)  # fmt: skip
"""Anchors and titles of the sections of the HTML page."""


def write_report(
    root: str | Path,
    phase: str,
    model: str,
    experiments: Iterable[Experiment],
    output: str | Path,
    *,
    interventions: bool = True,
) -> None:
    """Write the report's six files.

    Reads no score store and no model. All pages show the same facts, which the JSON file holds unrounded.

    Args:
        root: the results folder.
        phase: the phase.
        model: the model's name.
        experiments: its configured experiments, in the order of the report.
        output: folder to write to.
        interventions: whether they belong to the study; else what an earlier run with them left is not looked at.

    Raises:
        ConfigError: no experiment is configured.
        TableError: a result file is missing or damaged, or was made with another model or other texts.

    """
    root, output = Path(root), Path(output)
    facts = gather(root, phase, model, experiments, interventions=interventions)
    values = _shown(root / phase / model, facts) | _overviews(root, f"{phase}/{model}", facts)
    pages = {name: render(f"{name}.j2", values) for name in PAGES}
    for name, text in pages.items():
        write_text(output / name, text)
    write_json(output / FACTS, facts)


def _shown(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the templates need: words, tables, maps, figures, links, and the page's script."""
    script = script_of_pages()
    return {
        "facts": facts,
        "lede": summary.lede(facts),
        "limits": summary.limits(facts),
        "checks": summary.checks(facts),
        "tables": tables(facts),
        "first_weights": first_weights(folder, facts),
        "heatmaps": heatmaps(folder, facts),
        "levels": LEVELS,
        "figures": find_figures(folder, facts),
        "links": result_links(folder, facts),
        "sections": SECTIONS,
        "titles": dict(SECTIONS),
        "embed": data_uri,
        "times_figure": times_figure(facts[KEY], f"{facts['model']['model']}, {facts['phase']}"),
        "script": script,
        "script_digest": digest(script),
    }


def _overviews(root: Path, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the overview and the list of files need, in the form that those over all phases and models have."""
    parts = {name: facts}
    return {
        "title": f"Critical weights of {facts['model']['model']}, phase {facts['phase']}",
        "place": "../../../",
        "across": None,
        "overviews": {name: overview(facts)},
        "export": export(root, parts, everything=False),
    }
