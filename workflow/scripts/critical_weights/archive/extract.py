"""Unpacks an archive into a new folder, whole or not at all, and only what its manifest vouches for."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from ..errors import ArchiveError
from .names import MANIFEST, path_fault, shown
from .verify import DAMAGED, Listed, check_opened, chunks, open_archive


def extract_archive(path: str | Path, folder: str | Path) -> Path:
    """Check an archive, then unpack it into a new folder.

    The files are written into a hidden folder beside, checked again while they are written, and moved into place
    together: the folder is there with all files or not at all.

    Args:
        path: the zip.
        folder: where to unpack; it must not be there yet.

    Returns:
        The folder.

    Raises:
        ArchiveError: the archive has faults (:func:`~critical_weights.archive.verify.verify_archive` names them all),
            changed while it was unpacked, or does not fit on the disk; the folder is there already or cannot be
            written.

    """
    path, folder = Path(path), Path(folder)
    _check_new(folder)
    with open_archive(path) as (archive, file):
        faults, listed = check_opened(archive, file, path)
        if faults:
            raise ArchiveError(f"{path} does not match its manifest, nothing was unpacked: {faults[0]}",
                               fix="Run archive.py verify on it for all faults")  # fmt: skip
        part = _hidden_folder(folder)
        try:
            _check_room(listed, part)
            for name in sorted([*listed, MANIFEST]):
                _unpack(archive, name, listed.get(name), part)
            part.chmod(0o777 & ~_umask())  # a temporary folder is for its owner alone
            _check_new(folder)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _check_new(folder: Path) -> None:
    if os.path.lexists(folder):
        raise ArchiveError(f"{folder} is there already, and nothing is written over it", fix="Name a new folder")


def _hidden_folder(folder: Path) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise ArchiveError(f"cannot write {folder}: {error.strerror}", fix="Choose another folder") from error


def _check_room(listed: Listed, place: Path) -> None:
    needed, free = sum(entry["bytes"] for entry in listed.values()), shutil.disk_usage(place).free
    if needed > free:
        raise ArchiveError("the archive does not fit on the disk", got=f"{free:,} free bytes",
                           expected=f"{needed:,}", fix="Choose a folder on another disk")  # fmt: skip


def _unpack(archive: ZipFile, name: str, listed: Mapping[str, Any] | None, folder: Path) -> None:
    """Write one file, at most as long as listed; the manifest itself is listed nowhere and was read whole already."""
    if fault := path_fault(name):  # the check has said so already: nothing outside the folder may hang on that alone
        raise ArchiveError(f"{shown(name)} has {fault}, and is not unpacked")
    most = archive.getinfo(name).file_size if listed is None else listed["bytes"]
    target = folder / name
    digest, size = hashlib.sha256(), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, target.open("xb") as file:
            for chunk in chunks(source, most):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except DAMAGED as error:
        raise ArchiveError(f"{shown(name)} could not be unpacked ({error})") from error
    if listed is not None and (size, digest.hexdigest()) != (listed["bytes"], listed["sha256"]):
        raise ArchiveError(f"{shown(name)} changed while the archive was unpacked", fix="Unpack it again")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
