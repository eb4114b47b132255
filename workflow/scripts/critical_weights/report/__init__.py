"""The report on one (phase, model): Markdown, self-contained HTML and JSON, from cached small files only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..files import write_json, write_text
from ..names import Experiment
from . import summary
from .display import tables
from .figures import data_uri, find_figures
from .gather import gather
from .render import render

PAGES = ("research_summary.md", "quantitative_summary.md", "report.html")
FACTS = "quantitative_results.json"
SECTIONS = (
    ("summary", "Summary"), ("set-up", "Set-up"), ("model", "Model"), ("texts", "Texts"), ("metrics", "Metrics"),
    ("best-weights", "Best weights"), ("distribution", "Distribution"), ("selections", "Selections"),
    ("overlap", "Overlap"), ("concentration", "Concentration"), ("self-checks", "Self-checks"),
    ("provenance", "Provenance"), ("times", "Times"),
)  # fmt: skip
"""Anchors and titles of the sections of the HTML page."""


def write_report(
    root: str | Path, phase: str, model: str, experiments: Iterable[Experiment], output: str | Path
) -> None:
    """Write the report's four files.

    Reads no score store and no model. All pages show the same facts, which the JSON file holds unrounded.

    Args:
        root: the results folder.
        phase: the phase.
        model: the model's name.
        experiments: its configured experiments, in the order of the report.
        output: folder to write to.

    Raises:
        ConfigError: no experiment is configured.
        TableError: a result file is missing or damaged, or was made with another model or other texts.

    """
    root, output = Path(root), Path(output)
    facts = gather(root, phase, model, experiments)
    values = {
        "facts": facts,
        "lede": summary.lede(facts),
        "limits": summary.limits(facts),
        "checks": summary.checks(facts),
        "tables": tables(facts),
        "figures": find_figures(root / phase / model, facts),
        "sections": SECTIONS,
        "embed": data_uri,
    }
    pages = {name: render(f"{name}.j2", values) for name in PAGES}
    for name, text in pages.items():
        write_text(output / name, text)
    write_json(output / FACTS, facts)
