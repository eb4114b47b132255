"""What an archive holds: which files of the results, and their lines in the manifest that lists them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from .. import result_paths
from ..errors import ArchiveError
from ..files import read_json
from ..log import logger
from ..names import Experiment
from ..run_manifest import NAME as RUN_MANIFEST
from ..run_manifest import describe
from .kinds import UNKNOWN, kind_of
from .names import check_names, shown

SCHEMA_VERSION = "1"
INTERVENTIONS = "interventions"
MODEL_FACTS = "model.json"
FILES = (MODEL_FACTS, "calibration.json")
_TOLD = 5
_REDO = "Run the workflow again"


def is_left_out(path: PurePath) -> bool:
    """Say whether reports and archives leave a file out, by its path below the results.

    They do with what is made on request, with what older code left and with a user's own files: nothing makes report
    and archive again when one of these changes.
    """
    return kind_of(path.as_posix()).stage == UNKNOWN


def archived_files(experiments: Iterable[Experiment], *, interventions: bool = True) -> list[str]:
    """Return what the workflow makes of experiments for report and archive, by the paths below the results.

    These are the files that the rule ``archive`` waits for; a user's own files beside them are none.
    """
    experiments = list(experiments)
    files = [name for e in experiments for name in (*result_paths.run_files(e), result_paths.manifest_file(e))]
    for place in dict.fromkeys((e.phase, e.model) for e in experiments):
        files += [f"results/{'/'.join(place)}/{name}" for name in FILES]
        files += [*result_paths.analysis_tables(*place), *result_paths.analysis_figures(*place)]
        if interventions:
            files += [*result_paths.intervention_tables(*place), *result_paths.intervention_figures(*place)]
        files += result_paths.report_files(*place)
    return [name.removeprefix("results/") for name in (*files, *result_paths.study_files())]


def collect(root: Path, experiments: Iterable[Experiment], *, interventions: bool = True) -> list[Path]:
    """Return the files of the archive that are there, sorted by their path below ``root``.

    Score stores and token ids are left out, and so is whatever else lies in the folders of the results; without
    ``interventions`` also what an earlier run with them left.

    Raises:
        ArchiveError: no experiment is configured, one is not complete or does not match its manifest, a link lies
            in a file's place (its target would not be what the archive says it is), or a file has a name that an
            archive cannot hold.
        CriticalWeightsError: a JSON file is damaged, or a file is empty.

    """
    experiments = list(experiments)
    if not experiments:
        raise ArchiveError("no experiment is configured, so there is nothing to archive",
                           fix="Add one to experiments, for example p2/bundled/gradsq_perlayer_k100")  # fmt: skip
    for place in dict.fromkeys(root / e.phase / e.model for e in experiments):
        for name in FILES:
            if not (place / name).is_file():
                raise ArchiveError(f"there is no {place / name}", fix=_REDO)
    for experiment in experiments:
        check_run(root, experiment)
    names = archived_files(experiments, interventions=interventions)
    kept = {name: root / name for name in sorted(names) if os.path.lexists(root / name)}
    check_names(kept)
    for name, path in kept.items():
        for place in (path.parent, path) if path.parent.name == "plots" else (path,):
            if place.is_symlink():
                raise ArchiveError(f"{place.relative_to(root).as_posix()} is a link", fix=_IN_PLACE)
        if not path.is_file():
            raise ArchiveError(f"{name} is no ordinary file", fix=_IN_PLACE)
        if not path.stat().st_size:
            raise ArchiveError(f"{name} is empty", fix=f"Delete it. {_REDO}")
        if path.suffix == ".json":
            read_json(path)
    _tell_others(root, experiments, kept, interventions=interventions)
    return list(kept.values())


_IN_PLACE = "Put the file itself in its place"


def _tell_others(
    root: Path, experiments: Iterable[Experiment], kept: Mapping[str, Path], *, interventions: bool
) -> None:
    """Log which files in the folders of the archive stay out of it; hidden ones, still being written, are not told."""
    folders = {root / "report": None}
    for experiment in experiments:
        place = root / experiment.phase / experiment.model
        inside = ("analysis", "report", *([INTERVENTIONS] if interventions else []))
        folders |= dict.fromkeys([root / experiment.path, *(place / name for name in inside)])
    files = (path.relative_to(root) for folder in folders for path in folder.rglob("*")
             if path.is_symlink() or not path.is_dir())  # fmt: skip
    others = sorted(path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))
    others = [name for name in others if name not in kept]
    if others:
        more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
        named = ", ".join(map(shown, others[:_TOLD])) + more
        logger("archive").info("files left out, made on request or not by this workflow: %d (%s)", len(others), named)


def check_run(root: Path, experiment: Experiment) -> None:
    """Check that a run folder is complete and that its files are those of its manifest.

    Raises:
        ArchiveError: it has no manifest, or a file is missing or was changed since.

    """
    folder = root / experiment.path
    if not (folder / RUN_MANIFEST).is_file():
        raise ArchiveError(f"experiment {experiment.path} is not complete: it has no {RUN_MANIFEST}",
                           fix=f"Run snakemake --cores 1 results/{experiment.path}")  # fmt: skip
    manifest, facts = read_json(folder / RUN_MANIFEST), read_json(folder.parent / MODEL_FACTS)
    if manifest["model"]["sha256"] != facts["sha256"]:
        raise ArchiveError(f"experiment {experiment.path} was made with another model than its {MODEL_FACTS} says",
                           got=manifest["model"]["sha256"], expected=facts["sha256"], fix=_REDO)  # fmt: skip
    for output in manifest["outputs"]:
        path = folder / output["path"]
        if not path.is_file():
            raise ArchiveError(f"experiment {experiment.path} has lost {output['path']}", fix=_REDO)
        if describe(path, folder) != output:
            raise ArchiveError(f"{output['path']} of experiment {experiment.path} was changed after its manifest",
                               fix=_REDO)  # fmt: skip


def entry(path: Path, root: Path) -> dict[str, Any]:
    """Return a file's line of the manifest: path, bytes, sha256, the rule that made it and what it holds."""
    return _with_kind(describe(path, root))


def describe_bytes(name: str, content: bytes) -> dict[str, Any]:
    """Return the line of the manifest of a file that is made for the archive only."""
    return _with_kind({"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})


def _with_kind(described: dict[str, Any]) -> dict[str, Any]:
    kind = kind_of(described["path"])
    return described | {"stage": kind.stage, "meaning": kind.meaning}
