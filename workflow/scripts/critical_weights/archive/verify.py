"""Checks an archive against its manifest: every file, every name, every byte of the zip. Reads, never unpacks."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from ..errors import ArchiveError
from .files import SCHEMA_VERSION
from .frame import ends_cleanly, frame_faults
from .names import MANIFEST, MANIFEST_MD, clashes, path_fault, shown

_CHUNK = 1 << 20
_MANIFEST_BYTES = 64 << 20
"""A manifest is held in memory; a longer one is no work of this workflow's."""
DAMAGED = (
    BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError, struct.error,
    zlib.error,
)  # fmt: skip
"""What reading a damaged zip can raise."""


Listed = dict[str, dict[str, Any]]
"""What a manifest lists, by path."""


@contextmanager
def open_archive(path: str | Path) -> Iterator[tuple[ZipFile, IO[bytes]]]:
    """Open an archive for reading; yield it and the file it is read from.

    Raises:
        ArchiveError: there is none, or it is cut short or no zip.

    """
    path = Path(path)
    if not path.is_file():
        raise ArchiveError(f"there is no archive {path}")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
            archive = opened.enter_context(ZipFile(file))
        except DAMAGED as error:
            raise ArchiveError(f"{path} is cut short, damaged or no zip archive ({error})") from error
        yield archive, file


def verify_archive(path: str | Path) -> list[str]:
    """Return what is wrong with an archive, one line a fault, each beginning with the file's name; empty if nothing.

    Checked are the names (no way out of the folder, no link, none twice, none that means the same file as another
    where capitals do not count), that exactly the files of the manifest are
    there with their bytes and SHA-256, and that nothing else is hidden in the zip. Where the manifests lie beside the
    archive as well, they must be those inside it: whoever changes a file and the manifest inside is found out so.

    Raises:
        ArchiveError: there is no archive, or it is cut short or no zip.

    """
    with open_archive(path) as (archive, file):
        return check_opened(archive, file, Path(path))[0]


def check_opened(archive: ZipFile, file: IO[bytes], path: Path) -> tuple[list[str], Listed]:
    """Return what is wrong with an opened archive, and what its manifest lists; nothing where that cannot be read.

    Whoever goes on to read the archive does so through the same opened file: another one may lie at its path by then.
    """
    infos = archive.infolist()
    faults = [line for info in infos for line in _name_faults(info)]
    twice = (name for name, n in Counter(info.filename for info in infos).items() if n > 1)
    faults += [f"{shown(name)}: is in the archive twice or more" for name in twice]
    faults += [f"{shown(name)}: {fault}" for name, fault in clashes({info.filename for info in infos})]
    try:
        listed = read_manifest(archive)
    except ArchiveError as error:
        return [*faults, f"{MANIFEST}: {error}"], {}
    present = {info.filename for info in infos}
    faults += [f"{shown(name)}: missing from the archive" for name in sorted(set(listed) - present)]
    for info in infos:
        if info.filename in listed:
            found = _content_faults(archive, info, listed[info.filename])
        elif info.filename == MANIFEST:
            found = []
        else:
            found = [f"{shown(info.filename)}: added, the manifest does not list it"]
        if not found and not ends_cleanly(file, info):
            found = [f"{shown(info.filename)}: its packed form is damaged, or holds more or less than the file"]
        faults += found
    faults += frame_faults(file, archive)
    return faults + _beside_faults(path, archive), listed


def read_manifest(archive: ZipFile) -> Listed:
    """Return the files that an archive's manifest lists, by path.

    Raises:
        ArchiveError: there is no manifest, or it is not one.

    """
    try:
        if MANIFEST not in archive.namelist():
            raise ArchiveError("is missing")
        if archive.getinfo(MANIFEST).file_size > _MANIFEST_BYTES:
            raise ArchiveError("is too long for a manifest")
        with archive.open(MANIFEST) as stream:  # piece by piece: read() unpacks past the end of the file
            manifest = json.loads(b"".join(chunks(stream, _MANIFEST_BYTES)))
        if manifest["schema_version"] != SCHEMA_VERSION:
            got = shown(str(manifest["schema_version"]))
            raise ArchiveError("is of another schema", got=got, expected=SCHEMA_VERSION)
        files = manifest["files"]
        listed = {str(f["path"]): f | {"bytes": _bytes(f), "sha256": str(f["sha256"])} for f in files}
    except KeyError as error:
        raise ArchiveError(f"lacks {error}") from error
    except (*DAMAGED, TypeError, AttributeError) as error:
        raise ArchiveError(f"cannot be read ({error})") from error
    if len(files) != len(listed):
        raise ArchiveError("lists a file twice")
    return listed


def _bytes(listed: Mapping[str, Any]) -> int:
    size = listed["bytes"]
    if type(size) is not int or size < 0:  # a bool is an int too; of a negative number a stream is read to its end
        raise ValueError(f"bytes of {shown(str(listed['path']))} is no whole number of at least 0")
    return size


def chunks(stream: IO[bytes], most: int) -> Iterator[bytes]:
    """Yield a stream's content; stops after ``most`` + 1 bytes, however much is promised behind them."""
    left = most + 1
    while chunk := stream.read(min(_CHUNK, left)):
        left -= len(chunk)
        yield chunk


def content_hash(stream: IO[bytes], most: int) -> tuple[int, str]:
    """Return bytes and SHA-256 of a stream, of ``most`` + 1 bytes at most."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks(stream, most):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _name_faults(info: ZipInfo) -> list[str]:
    # zipfile cuts a name at a null character; the name as it stands in the archive is what counts.
    name = info.orig_filename
    fault = path_fault(name)
    lines = [f"{shown(name)}: has {fault}"] if fault else []
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a folder, a device or another thing that is no file"
        lines.append(f"{shown(name)}: is {what}")
    return lines


def _content_faults(archive: ZipFile, info: ZipInfo, listed: Mapping[str, Any]) -> list[str]:
    name = shown(info.filename)
    try:
        with archive.open(info) as stream:
            size, digest = content_hash(stream, listed["bytes"])
    except DAMAGED as error:
        return [f"{name}: is damaged, it cannot be unpacked ({error})"]
    if size != listed["bytes"]:
        got = f"more than {listed['bytes']}" if size > listed["bytes"] else f"{size}"
        return [f"{name}: has {got} bytes, the manifest says {listed['bytes']}"]
    if digest != listed["sha256"]:
        return [f"{name}: was changed, its SHA-256 is {digest}, the manifest says {shown(listed['sha256'])}"]
    return []


def _beside_faults(path: Path, archive: ZipFile) -> list[str]:
    beside = path.parent / MANIFEST
    try:
        belongs = json.loads(beside.read_bytes()).get("archive") == path.name
    except (OSError, ValueError, AttributeError):
        return []
    if not belongs:
        return []
    faults = []
    for name in (MANIFEST, MANIFEST_MD):
        if name in archive.namelist() and (path.parent / name).is_file():
            size = (path.parent / name).stat().st_size
            try:
                with archive.open(name) as stream, (path.parent / name).open("rb") as file:
                    same = content_hash(stream, size) == content_hash(file, size)
            except DAMAGED:
                same = False
            if not same:
                faults.append(f"{name}: the one beside the archive is not the one inside it")
    return faults
