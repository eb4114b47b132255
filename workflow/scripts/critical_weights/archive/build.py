"""The archive: every small result of the configured experiments in one zip that someone else can check.

The same files give the same bytes: entries sorted, time, permissions and system fixed, nothing else written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ..errors import ArchiveError
from ..files import write_text, written_whole
from ..names import Experiment
from ..report.render import render
from ..report.show import plural
from .config import study_config
from .files import SCHEMA_VERSION, collect, describe_bytes, entry
from .names import ARCHIVE, CITATION, CONFIG, MANIFEST, MANIFEST_MD, README
from .readme import citation, readme

TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; the real ones would make two archives of equal files differ."""
UNIX, PERMISSIONS = 3, 0o100644
_CHUNK = 1 << 20


def make_archive(
    root: str | Path,
    experiments: Iterable[Experiment],
    output: str | Path,
    settings: Mapping[str, Any] | None = None,
    *,
    interventions: bool = True,
) -> Path:
    """Write the archive, its manifest and the manifest for people into the folder ``output``.

    Args:
        root: the results folder.
        experiments: the configured experiments.
        output: folder to write to.
        settings: of the study, without places on this machine (:func:`~critical_weights.archive.config.told_settings`);
            the archive then tells them.
        interventions: whether they belong to the study; else what an earlier run with them left stays out.

    Returns:
        The zip.

    Raises:
        ArchiveError: nothing to archive, an experiment is not complete or does not match its manifest, or a file
            changes while it is archived.

    """
    root, output = Path(root), Path(output)
    experiments = list(experiments)
    entries = [entry(path, root) for path in collect(root, experiments, interventions=interventions)]
    names = [experiment.path for experiment in experiments]
    listed = {item["path"]: item for item in entries}
    written = _introduction(root, experiments, settings, {Path(name).name for name in listed})
    entries = sorted([*entries, *(describe_bytes(n, t.encode()) for n, t in written.items())], key=lambda e: e["path"])
    page = render("MANIFEST.md.j2", {"archive": ARCHIVE, "entries": entries, "experiments": names, "plural": plural})
    manifest = manifest_text(names, [*entries, describe_bytes(MANIFEST_MD, page.encode())])
    written |= {MANIFEST_MD: page, MANIFEST: manifest}
    with written_whole(output / ARCHIVE) as part, ZipFile(part, "w") as archive:
        for name in sorted([*listed, *written]):
            if name in listed:
                _copy(archive, root / name, listed[name])
            else:
                archive.writestr(zip_info(name), written[name].encode())
    write_text(output / MANIFEST_MD, page)
    write_text(output / MANIFEST, manifest)
    return output / ARCHIVE


def _introduction(
    root: Path, experiments: list[Experiment], settings: Mapping[str, Any] | None, found: set[str]
) -> dict[str, str]:
    """Return the files that are written for the archive, by name: README, citation and settings."""
    page = readme(experiments, root, ARCHIVE, with_config=settings is not None, tables=found)
    written = {README: page, CITATION: citation()}
    if settings is not None:
        config = study_config(settings, experiments, root)
        written[CONFIG] = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return written


def manifest_text(experiments: list[str], entries: list[dict[str, Any]]) -> str:
    """Return ``manifest.json``: every file of the archive but itself."""
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "archive": ARCHIVE,
        "experiments": experiments,
        "files": sorted(entries, key=lambda item: item["path"]),
    }
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def zip_info(name: str) -> ZipInfo:
    """Return the header of an entry: everything but the name is fixed."""
    info = ZipInfo(name, TIME)
    info.create_system, info.external_attr, info.compress_type = UNIX, PERMISSIONS << 16, ZIP_DEFLATED
    return info


def _copy(archive: ZipFile, path: Path, listed: Mapping[str, Any]) -> None:
    info = zip_info(listed["path"])
    info.file_size = listed["bytes"]
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    # The manifest was written from a first reading of the file; what went into the zip must be the same.
    if (size, digest.hexdigest()) != (listed["bytes"], listed["sha256"]):
        raise ArchiveError(f"{listed['path']} changed while it was archived", fix="Run the stage archive again")
