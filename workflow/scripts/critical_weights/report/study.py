"""The report over models and phases: Markdown, self-contained HTML and JSON, from reports and tables made before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..files import write_json, write_text
from ..names import Experiment
from . import study_tables, study_tables_across, study_tables_judged, study_words, tables_setup
from .gather import FACTS
from .heatmap import LEVELS
from .inventory import as_table, export
from .overview import overview
from .render import digest, render, script_of_pages
from .study_gather import gather_study
from .study_maps import study_maps
from .tables_times import time_tables
from .times import KEY

PAGES = {
    "report.html": "study.html.j2",
    "research_report.md": "research_report.md.j2",
    "research_summary.md": "study_summary.md.j2",
    "quantitative_summary.md": "study_figures.md.j2",
    "comprehensive_results_summary.md": "comprehensive_results_summary.md.j2",
    "export_summary.md": "export_summary.md.j2",
}
"""The pages, each with its template."""
SECTIONS = (
    ("summary", "Summary"), ("models", "Models and phases"), ("experiments", "Experiments"), ("metrics", "Metrics"),
    ("map", "Map"), ("best-weights", "Best weights"), ("concentration", "Concentration"), ("overlap", "Overlap"),
    ("stability", "Stability"), ("validation", "Validation"), ("superweights", "Super weights"),
    ("criteria", "Criteria"), ("checks", "Self-checks"), ("phases", "Phases"), ("between-models", "Between models"),
    ("text-sets", "Text sets"), ("checkpoints", "Training"), ("blocks", "Kinds of blocks"), ("failed", "What failed"),
    ("files", "Files"), ("times", "Times"),
)  # fmt: skip
"""Anchors and titles of the sections of the HTML page."""


def write_study_report(root: str | Path, experiments: Iterable[Experiment], output: str | Path) -> None:
    """Write the report's seven files.

    Reads no score store and no model: only the facts of the reports on each phase and model, the tables over all of
    them, and of the other files their rows and sizes.

    Args:
        root: the results folder.
        experiments: the configured experiments, in the order of the report.
        output: folder to write to.

    Raises:
        ConfigError: no experiment is configured.
        TableError: a report or table is missing, damaged, or not of these experiments.

    """
    root, output = Path(root), Path(output)
    facts = gather_study(root, experiments)
    values = _shown(root, facts)
    pages = {name: render(template, values) for name, template in PAGES.items()}
    for name, text in pages.items():
        write_text(output / name, text)
    write_json(output / FACTS, facts)


def _shown(root: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the templates need: words, tables, maps, files, and the page's script."""
    script = script_of_pages()
    listed = export(root, facts["parts"], everything=True)
    return {
        "facts": facts,
        "lede": study_words.lede(facts),
        "limits": study_words.limits(facts),
        "next_steps": study_words.next_steps(facts),
        "tables": _tables(facts),
        "overviews": {name: overview(part) for name, part in facts["parts"].items()},
        "across": facts["across"],
        "settings": study_tables_across.settings,
        "maps_of_metrics": study_maps(facts),
        "levels": LEVELS,
        "export": listed,
        "file_tables": {
            group.folder: as_table(group) for own in (*listed["parts"].values(), listed["across"]) for group in own
        },
        "title": "Critical weights over models and phases",
        "place": "../",
        "sections": SECTIONS,
        "titles": dict(SECTIONS),
        "script": script,
        "script_digest": digest(script),
    }


def _tables(facts: Mapping[str, Any]) -> dict[str, Any]:
    over_all = facts["across"]
    return {
        "parts": study_tables.parts(facts),
        "experiments": study_tables.experiments(facts),
        "metrics": tables_setup.definitions(study_tables.definitions(facts)),
        "best": study_tables.best(facts),
        "distribution": study_tables.distribution(facts),
        "concentration": study_tables.concentration(facts),
        "overlap": study_tables.overlap(facts),
        "stability": study_tables_judged.stability(facts),
        "validation": study_tables_judged.validation(facts),
        "superweights": study_tables_judged.superweights(facts),
        "criteria": study_tables_judged.criteria(facts),
        "checks": study_tables_judged.checks(facts),
        "phases": study_tables_across.phases(over_all["phases"]),
        "models": study_tables_across.models(over_all["models"]),
        "tasks": study_tables_across.tasks(over_all["tasks"]),
        "checkpoints": study_tables_across.checkpoints(over_all["checkpoints"]),
        "clusters": study_tables_across.clusters(over_all["clusters"]),
        "failed": study_tables_across.failed(facts),
        "times": time_tables(facts[KEY]),
    }
