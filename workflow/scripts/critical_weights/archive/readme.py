"""What an archive tells a stranger: what is inside, how it was made, how to make it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ArchiveError
from ..files import read_json
from ..names import Experiment
from ..provenance import CODE
from ..report.render import render
from ..report.show import plural
from ..report.times import BEGIN, END
from ..tables.markdown import DESCRIBED
from .files import MODEL_FACTS, RUN_MANIFEST
from .names import CONFIG

CITATION_FILE = CODE.parent / "CITATION.cff"
TEMPLATE = "ARCHIVE_README.md.j2"


def citation() -> str:
    """Return the project's citation file.

    Raises:
        ArchiveError: the checkout has none.

    """
    try:
        return CITATION_FILE.read_text(encoding="utf-8")
    except OSError as error:
        raise ArchiveError(f"cannot read {CITATION_FILE.name} of the checkout: {error.strerror}",
                           fix="Run from a whole checkout of the workflow") from error  # fmt: skip


def readme(experiments: Iterable[Experiment], root: Path, archive: str, *, with_config: bool, tables: set[str]) -> str:
    """Return the archive's README.

    Args:
        experiments: the archived ones.
        root: the results folder.
        archive: name of the zip.
        with_config: whether the settings are in the archive.
        tables: names of the tables in it.

    """
    experiments = list(experiments)
    manifests = [read_json(root / experiment.path / RUN_MANIFEST) for experiment in experiments]
    return render(TEMPLATE, {
        "archive": archive,
        "config": CONFIG if with_config else None,
        "experiments": experiments,
        "pairs": list(zip(experiments, manifests, strict=True)),
        "models": _models(experiments, root),
        "codes": _codes(manifests),
        "tables": [table for table in DESCRIBED if table.name in tables],
        "plural": plural,
        "begin": BEGIN,
        "end": END,
    })  # fmt: skip


def _models(experiments: list[Experiment], root: Path) -> list[dict[str, Any]]:
    """Return facts on each phase and model."""
    places = dict.fromkeys((e.phase, e.model) for e in experiments)
    return [
        {"phase": phase, "name": model, "facts": read_json(root / phase / model / MODEL_FACTS),
         "texts": read_json(root / phase / model / "calibration.json")}
        for phase, model in places
    ]  # fmt: skip


def _codes(manifests: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each state of the code and the packages that made experiments, with their number."""
    codes: list[dict[str, Any]] = []
    for manifest in manifests:
        state = {"git": manifest["git"], "versions": manifest["versions"]["manifest"]}
        same = next((code for code in codes if all(code[key] == state[key] for key in state)), None)
        if same is None:
            codes.append(same := {**state, "experiments": 0})
        same["experiments"] += 1
    return codes
