"""Checks an archive against its manifest: every file, every name, every byte of the zip. Reads, never unpacks."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP64_LIMIT, BadZipFile, ZipFile, ZipInfo

from .archive import zip_info
from .archive_files import MANIFEST, MANIFEST_MD, SCHEMA_VERSION, path_fault
from .errors import ArchiveError

_CHUNK = 1 << 20
_MANIFEST_BYTES = 64 << 20
"""A manifest is held in memory; a longer one is no work of this workflow's."""
_DAMAGED = (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error, zlib.error)
_FIXED = ("date_time", "create_system", "create_version", "extract_version", "external_attr", "internal_attr",
          "flag_bits", "compress_type", "extra", "comment", "reserved", "volume")  # fmt: skip
_END = struct.Struct("<4s4H2LH")
_FILES_LIMIT = 0xFFFF
_NAME_AND_EXTRA = 26
"""Where a file's header has the lengths of its name and of its extra field, the last two parts before its content."""


@contextmanager
def open_archive(path: str | Path) -> Iterator[ZipFile]:
    """Open an archive for reading.

    Raises:
        ArchiveError: there is none, or it is cut short or no zip.

    """
    path = Path(path)
    if not path.is_file():
        raise ArchiveError(f"there is no archive {path}")
    try:
        archive = ZipFile(path)
    except _DAMAGED as error:
        raise ArchiveError(f"{path} is cut short, damaged or no zip archive ({error})") from error
    with archive:
        yield archive


def verify_archive(path: str | Path) -> list[str]:
    """Return what is wrong with an archive, one line a fault, each beginning with the file's name; empty if nothing.

    Checked are the names (no way out of the folder, no link, none twice), that exactly the files of the manifest are
    there with their bytes and SHA-256, and that nothing else is hidden in the zip. Where the manifests lie beside the
    archive as well, they must be those inside it: whoever changes a file and the manifest inside is found out so.

    Raises:
        ArchiveError: there is no archive, or it is cut short or no zip.

    """
    path = Path(path)
    with open_archive(path) as archive:
        infos = archive.infolist()
        faults = [line for info in infos for line in _name_faults(info)]
        twice = (name for name, n in Counter(info.filename for info in infos).items() if n > 1)
        faults += [f"{shown(name)}: is in the archive twice or more" for name in twice]
        try:
            listed = read_manifest(archive)
        except ArchiveError as error:
            return [*faults, f"{MANIFEST}: {error}"]
        present = {info.filename for info in infos}
        faults += [f"{shown(name)}: missing from the archive" for name in sorted(set(listed) - present)]
        for info in infos:
            if info.filename in listed:
                found = _content_faults(archive, info, listed[info.filename])
            elif info.filename == MANIFEST:
                found = []
            else:
                found = [f"{shown(info.filename)}: added, the manifest does not list it"]
            if not found and not _ends_cleanly(path, info):
                found = [f"{shown(info.filename)}: its packed form is damaged at the end"]
            faults += found
        faults += _frame_faults(path, archive)
        return faults + _beside_faults(path, archive)


def read_manifest(archive: ZipFile) -> dict[str, dict[str, Any]]:
    """Return the files that an archive's manifest lists, by path.

    Raises:
        ArchiveError: there is no manifest, or it is not one.

    """
    try:
        if archive.getinfo(MANIFEST).file_size > _MANIFEST_BYTES:
            raise ArchiveError("is too long for a manifest")
        manifest = json.loads(archive.read(MANIFEST))
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise ArchiveError("is of another schema", got=manifest["schema_version"], expected=SCHEMA_VERSION)
        listed = {str(item["path"]): {"bytes": int(item["bytes"]), **item} for item in manifest["files"]}
        n = len(manifest["files"])
    except KeyError as error:
        raise ArchiveError(f"is missing, or lacks {error}") from error
    except (*_DAMAGED, TypeError, AttributeError) as error:
        raise ArchiveError(f"cannot be read ({error})") from error
    if n != len(listed):
        raise ArchiveError("lists a file twice")
    return listed


def content_hash(stream: IO[bytes], most: int) -> tuple[int, str]:
    """Return bytes and SHA-256 of a stream; stops after ``most`` + 1 bytes, however much is promised behind them."""
    digest, size = hashlib.sha256(), 0
    while size <= most and (chunk := stream.read(min(_CHUNK, most + 1 - size))):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def shown(name: str) -> str:
    """Return a name fit for a terminal."""
    return name if name.isprintable() else ascii(name)


def _name_faults(info: ZipInfo) -> list[str]:
    # zipfile cuts a name at a null character; the name as it stands in the archive is what counts.
    name = info.orig_filename
    fault = path_fault(name)
    lines = [f"{shown(name)}: has {fault}"] if fault else []
    if stat.S_ISLNK(info.external_attr >> 16):
        lines.append(f"{shown(name)}: is a symbolic link")
    return lines


def _content_faults(archive: ZipFile, info: ZipInfo, listed: Mapping[str, Any]) -> list[str]:
    name = shown(info.filename)
    try:
        with archive.open(info) as stream:
            size, digest = content_hash(stream, listed["bytes"])
    except _DAMAGED as error:
        return [f"{name}: is damaged, it cannot be unpacked ({error})"]
    if size != listed["bytes"]:
        got = f"more than {listed['bytes']}" if size > listed["bytes"] else f"{size}"
        return [f"{name}: has {got} bytes, the manifest says {listed['bytes']}"]
    if digest != listed["sha256"]:
        return [f"{name}: was changed, its SHA-256 is {digest}, the manifest says {listed['sha256']}"]
    return []


def _ends_cleanly(path: Path, info: ZipInfo) -> bool:
    """Say whether the packed form of a file ends with its last byte; zipfile stops as soon as it has all content."""
    unpack, left = zlib.decompressobj(-zlib.MAX_WBITS), info.compress_size
    try:
        with path.open("rb") as file:
            file.seek(info.header_offset + _NAME_AND_EXTRA)
            file.seek(sum(struct.unpack("<2H", file.read(4))), 1)
            while left and (packed := file.read(min(_CHUNK, left))):
                left -= len(packed)
                while packed and not unpack.eof:
                    unpack.decompress(packed, _CHUNK)
                    packed = unpack.unconsumed_tail
        unpack.flush()
    except _DAMAGED:
        return False
    return unpack.eof and not left and not unpack.unused_data


def _frame_faults(path: Path, archive: ZipFile) -> list[str]:
    """Check the bytes around the files: headers as this workflow writes them, and no byte that belongs to nothing."""
    faults = []
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    if [info.filename for info in archive.infolist()] != sorted(info.filename for info in infos):
        faults.append("the zip: its files are not in order")
    place = 0
    with path.open("rb") as file:
        for info in infos:
            wanted = zip_info(info.filename)
            wanted.CRC, wanted.compress_size, wanted.file_size = info.CRC, info.compress_size, info.file_size
            header = wanted.FileHeader(zip64=info.file_size * 1.05 > ZIP64_LIMIT)
            wanted.flag_bits = 0 if info.filename.isascii() else 0x800
            file.seek(max(info.header_offset, 0))
            # The lists of a directory entry hold the 64-bit sizes of a file beyond 4 GB; its local header is checked.
            fixed = (
                _FIXED if not info.extra else tuple(key for key in _FIXED if key not in ("extra", "extract_version"))
            )
            if file.read(len(header)) != header or any(getattr(info, key) != getattr(wanted, key) for key in fixed):
                faults.append(f"{shown(info.filename)}: its header in the zip is not as it was made")
            if info.header_offset != place:
                faults.append(f"{shown(info.filename)}: bytes that belong to no file stand before it in the zip")
            place = info.header_offset + len(header) + info.compress_size
        n, length = len(infos), path.stat().st_size
        if place != archive.start_dir:
            faults.append("the zip: bytes that belong to no file stand behind the last one")
        if n <= _FILES_LIMIT and archive.start_dir <= ZIP64_LIMIT:
            directory = length - _END.size - archive.start_dir
            file.seek(max(length - _END.size, 0))
            if file.read() != _END.pack(b"PK\5\6", 0, 0, n, n, max(directory, 0), archive.start_dir, 0):
                faults.append("the zip: its end is not as it was made")
    return faults


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
            except _DAMAGED:
                same = False
            if not same:
                faults.append(f"{name}: the one beside the archive is not the one inside it")
    return faults
