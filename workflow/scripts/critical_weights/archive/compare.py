"""Compares two archives file by file: what may differ between two runs with equal results, and what may not."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

from ..errors import ArchiveError
from ..report.times import BEGIN, END, KEY
from ..run_manifest import NAME as RUN_MANIFEST
from .files import MANIFEST, MANIFEST_MD, shown
from .verify import open_archive, read_manifest, verify_archive

_REPORT = re.compile(r"(?:[^/]+/[^/]+/)?report/[^/]+\.(?:md|html|json)|README\.md")


@dataclass(frozen=True)
class Comparison:
    """The files in which two archives differ, a line each: those that may, and those that must not."""

    allowed: list[str]
    unexpected: list[str]


def compare_archives(a: str | Path, b: str | Path) -> Comparison:
    """Compare two archives.

    Between two runs on one machine only wall-clock times, dates and hardware may differ: the experiments' manifests,
    the reports' sections on times, and in the archive's own lists the lines of those files.

    Raises:
        ArchiveError: one of them is not there, no zip, or does not match its own manifest.

    """
    for path in (a, b):
        faults = verify_archive(path)
        if faults:
            raise ArchiveError(f"{path} does not match its manifest: {faults[0]}", fix="Run archive.py verify on it")
    with open_archive(a) as first, open_archive(b) as second:
        listed = read_manifest(first), read_manifest(second)
        unexpected = [f"{shown(name)}: only in {a}" for name in sorted(set(listed[0]) - set(listed[1]))]
        unexpected += [f"{shown(name)}: only in {b}" for name in sorted(set(listed[1]) - set(listed[0]))]
        allowed: dict[str, str] = {}
        for name in sorted(set(listed[0]) & set(listed[1]) - {MANIFEST_MD}):
            if listed[0][name]["sha256"] == listed[1][name]["sha256"]:
                continue
            reason = _may_differ(name, first, second)
            if reason:
                allowed[name] = f"{shown(name)}: {reason}"
            else:
                unexpected.append(f"{shown(name)}: differs")
        for name in (MANIFEST_MD, MANIFEST):
            if not all(name in archive.namelist() for archive in (first, second)):  # told above, where only one has it
                continue
            if first.read(name) == second.read(name):
                continue
            if _own_list(first, name, set(allowed)) == _own_list(second, name, set(allowed)):
                allowed[name] = f"{name}: differs in the lines of these files only"
            elif not unexpected:  # else it differs for the reasons told already
                unexpected.append(f"{name}: differs in more than the lines of the files that may differ")
    return Comparison(list(allowed.values()), unexpected)


def _may_differ(name: str, first: ZipFile, second: ZipFile) -> str | None:
    if name.endswith(f"/{RUN_MANIFEST}"):
        return "differs, as it may: times, dates and hardware"
    if _REPORT.fullmatch(name):
        remains = _without_times(first, name), _without_times(second, name)
        if remains[0] is not None and remains[0] == remains[1]:
            return "differs in its section on times only"
    return None


def _without_times(archive: ZipFile, name: str) -> str | None:
    """Return the SHA-256 of a report file without its times; None where it has not exactly one such section."""
    with archive.open(name) as stream:
        if name.endswith(".json"):
            return _sha256_without_times(stream)
        # Line by line: a page with its figures inside is large, and a mark counts only as a line of its own.
        digest, marks = hashlib.sha256(), []
        for line in io.BufferedReader(stream):
            mark = line.strip().decode("ascii", errors="replace")
            if mark in (BEGIN, END):
                marks.append(mark)
            elif marks != [BEGIN]:
                digest.update(line)
    return digest.hexdigest() if marks == [BEGIN, END] else None


def _own_list(archive: ZipFile, name: str, allowed: set[str]) -> Any:
    """Return what an archive's own list says, without bytes and hashes of the files that may differ."""
    if name == MANIFEST_MD:
        lines = archive.read(name).decode(errors="replace").splitlines()
        return [line for line in lines if line.split("|")[1:2] not in [[f" `{path}` "] for path in allowed]]
    manifest = json.loads(archive.read(name))
    for item in manifest["files"]:
        if item["path"] in allowed:
            del item["bytes"], item["sha256"]
    return manifest


def _sha256_without_times(stream: IO[bytes]) -> str | None:
    try:
        facts = json.load(stream)
    except ValueError:
        return None
    if not isinstance(facts, dict) or KEY not in facts:
        return None
    del facts[KEY]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
