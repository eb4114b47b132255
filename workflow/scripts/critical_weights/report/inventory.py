"""What files there are: of each folder its files by kind, what they hold, how many rows, how large."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import result_paths
from ..archive.kinds import kind_of
from ..plots import ANALYSIS_FIGURES, INTERVENTION_FIGURES, SCORE_FIGURES
from ..result_paths import REPORT_FILES, STUDY_FILES
from ..run_manifest import NAME as MANIFEST
from ..run_manifest import experiment_of
from ..tables.markdown import DESCRIBED
from . import show
from .sheet import CODE, NUMBER, TEXT, Table

POPULATIONS = {table.name: table.population for table in DESCRIBED}
"""What a row of each table is of, as docs/tables.md has it."""
_WORDS = {"config.json": "Configuration", MANIFEST: "Experiment manifest", "sensitivity_stats.json": "Statistics",
          "top_weights.csv": "Top weights", "model.json": "Model", "calibration.json": "Texts"}  # fmt: skip
PAGES = {
    "report.html": "everything in one page, findings first, tables to sort and filter",
    "research_report.md": "every experiment with its settings, findings, what failed, limits",
    "research_summary.md": "findings with how sure they are and where the evidence is",
    "quantitative_summary.md": "every figure in tables, with population and unit",
    "quantitative_results.json": "every figure unrounded, for programs",
    "comprehensive_results_summary.md": "settings and main figures of each phase and model",
    "export_summary.md": "this list of files",
}
"""What the pages of a report hold. Listed without looking: this one is written with them."""


@dataclass(frozen=True)
class Entry:
    """One file, or all formats of one figure.

    Attributes:
        kind: what it is, in a word or two.
        name: path below the results.
        endings: of its file names; more than one for a figure.
        meaning: what it holds.
        rows: of a table; None for other files.
        size: in bytes, all endings together; None where it is not the same in two runs with equal results.

    """

    kind: str
    name: str
    endings: tuple[str, ...]
    meaning: str
    rows: int | None
    size: int | None

    @property
    def measure(self) -> str:
        """Rows and size in words; nothing where both are unknown."""
        told = [show.plural(self.rows, "row")] if self.rows is not None else []
        return ", ".join([*told, *([show.size(self.size)] if self.size is not None else [])])


@dataclass(frozen=True)
class Group:
    """The files of one folder: its title, its path below the results, the entries."""

    title: str
    folder: str
    entries: tuple[Entry, ...]


def of_model(root: Path, name: str, labels: Iterable[str], *, interventions: bool = True) -> list[Group]:
    """Return the files of one phase and model: of its experiments, of all metrics together, of the report.

    Listed is what the workflow makes for reports and archive and is there: a user's own files beside it are not, since
    nothing writes the list again when one of them changes.

    Args:
        root: the results folder.
        name: ``phase/model``.
        labels: names of its configured experiments.
        interventions: whether the report tells of any.

    """
    groups = []
    for run in (experiment_of(f"{name}/{label}") for label in labels):
        own = [*result_paths.run_files(run), result_paths.manifest_file(run)]
        groups.append(_group(root, f"Experiment {run.label}", run.path, own))
    place = tuple(name.split("/"))
    tables = [*result_paths.analysis_tables(*place), *result_paths.analysis_figures(*place)]
    groups.append(_group(root, "All metrics", f"{name}/analysis", tables))
    if interventions:
        tables = [*result_paths.intervention_tables(*place), *result_paths.intervention_figures(*place)]
        groups.append(_group(root, "Interventions", f"{name}/interventions", tables))
    groups.append(Group("Report", f"{name}/report", _pages(f"{name}/report", REPORT_FILES)))
    facts = [root / name / file for file in ("model.json", "calibration.json")]
    groups.append(Group("Model and texts", name, tuple(_entry(root, [path]) for path in facts if path.is_file())))
    return [group for group in groups if group.entries]


def over_all(root: Path) -> list[Group]:
    """Return the tables and pages over models and phases."""
    tables = _group(root, "Over models and phases", "report", result_paths.across_tables())
    return [replace(tables, entries=tables.entries + _pages("report", STUDY_FILES))]


def _pages(folder: str, names: Iterable[str]) -> tuple[Entry, ...]:
    return tuple(Entry("Page" if name.endswith((".md", ".html")) else "Numbers of the report", f"{folder}/{name}",
                       (name.rsplit(".", 1)[1],), PAGES[name], None, None) for name in names)  # fmt: skip


def _group(root: Path, title: str, folder: str, files: Iterable[str]) -> Group:
    """Return those of a folder's files that are there; the formats of a figure are one entry."""
    paths = sorted(root / name.removeprefix("results/") for name in files)
    found: dict[Path, list[Path]] = {}
    for path in paths:
        if path.is_file():
            found.setdefault(path.with_suffix("") if path.parent.name == "plots" else path, []).append(path)
    order = sorted(found, key=lambda path: (len(path.parts), path))
    return Group(title, folder, tuple(_entry(root, found[path]) for path in order))


def _entry(root: Path, files: list[Path]) -> Entry:
    first = files[0].relative_to(root)
    figure = first.parent.name == "plots"
    name = (first.with_suffix("") if figure else first).as_posix()
    endings = tuple(path.suffix[1:] for path in files)
    table = files[0].suffix == ".csv" and not figure
    meaning = POPULATIONS.get(first.name) if table else None
    kind = "Figure" if figure else _WORDS.get(first.name, "Table" if table else "Other")
    return Entry(kind, name, endings, _short(meaning) if meaning else _drawn_from(first) or
                 kind_of(first.as_posix()).meaning,
                 rows_of(files[0]) if table else None,
                 None if first.name == MANIFEST else sum(path.stat().st_size for path in files))  # fmt: skip


def _drawn_from(path: Path) -> str:
    """Say what a figure is drawn from; nothing for another file, or a figure of no known table."""
    if path.parent.name != "plots":
        return ""
    table = (ANALYSIS_FIGURES | INTERVENTION_FIGURES).get(path.stem)
    if table is not None:
        return f"drawn from {table.name}"
    return "drawn from the experiments' sensitivity_stats.json" if path.stem in SCORE_FIGURES else ""


def _short(population: str) -> str:
    """Return the first part of a table's population: the rest stands in docs/tables.md."""
    ends = [place for mark in (". ", "; ") if (place := population.find(mark)) > 0]
    return population[: min(ends)] if ends else population


def rows_of(path: Path) -> int:
    """Return the number of rows of a result table, its header left out.

    Line ends within quotes are of a token. Splitting at the quotes takes a fifth of the time of reading the fields.
    """
    outside_quotes = path.read_bytes().split(b'"')[::2]
    return max(0, sum(part.count(b"\n") for part in outside_quotes) - 1)


def kinds(groups: Iterable[Group]) -> Table:
    """Return the files counted by kind, with the size of those that are the same in two runs."""
    counted: dict[tuple[str, str], list[Entry]] = {}
    for group in groups:
        for entry in group.entries:
            for ending in entry.endings:
                counted.setdefault((entry.kind, ending), []).append(entry)
    rows = [[kind, f".{ending}", show.count(len(own)), _FORMAT_WORDS.get(ending, "-")]
            for (kind, ending), own in counted.items()]  # fmt: skip
    every = [entry for group in groups for entry in group.entries]
    total = sum(entry.size or 0 for entry in every)
    note = f"{show.plural(sum(len(entry.endings) for entry in every), 'file')}; {show.size(total)} without the pages "
    note += "and manifests, whose size changes with the times in them. Score stores are not counted: they are large, "
    note += "are in no archive, and are made again when they are needed."
    return Table("Kinds of files", (("kind", TEXT), ("ending", CODE), ("files", NUMBER), ("format", TEXT)), rows, note)


_FORMAT_WORDS = {
    "csv": "UTF-8, comma, header; an empty field is a missing value", "json": "UTF-8", "md": "Markdown",
    "png": "picture", "svg": "drawing", "html": "one page that needs nothing beside it",
}  # fmt: skip


def as_table(group: Group) -> Table:
    """Return a folder's files as a table, for a page that can sort them."""
    rows = [[entry.name, ", ".join(entry.endings), entry.kind, entry.meaning,
             "-" if entry.rows is None else show.count(entry.rows),
             "-" if entry.size is None else show.size(entry.size)]
            for entry in group.entries]  # fmt: skip
    columns = (("file", CODE), ("endings", TEXT), ("kind", TEXT), ("what", TEXT), ("rows", NUMBER), ("size", NUMBER))
    return Table(f"{group.title}, {group.folder}", columns, rows)


def export(root: Path, parts: Mapping[str, Mapping[str, Any]], *, everything: bool) -> dict[str, Any]:
    """Return what the page on files shows: the folders of each phase and model, and the files counted by kind.

    Args:
        root: the results folder.
        parts: facts by ``phase/model``.
        everything: whether the tables over all models and phases belong to it.

    """
    groups = {
        name: of_model(root, name, part["experiments"], interventions=part["validation"] is not None)
        for name, part in parts.items()
    }
    across = over_all(root) if everything else []
    every = [group for own in groups.values() for group in own] + across
    return {"parts": groups, "across": across, "kinds": kinds(every)}
