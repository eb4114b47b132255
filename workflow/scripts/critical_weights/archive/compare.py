"""Compares two archives file by file: what may differ between two runs with equal results, and what may not."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

from ..errors import ArchiveError
from ..report.times import BEGIN, END, KEY
from ..run_manifest import NAME as RUN_MANIFEST
from .names import MANIFEST, MANIFEST_MD, shown
from .verify import Listed, check_opened, open_archive

_REPORT = re.compile(r"(?:[^/]+/[^/]+/)?report/[^/]+\.(?:md|html|json)|README\.md")
_OF_TIMES = ("hardware", "started", "completed", "stages", "scoring", "peak_memory_bytes")
"""What an experiment's manifest says of times and of the machine; all else is the same in two runs on one machine."""
_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """The files in which two archives differ, a line each: those that may, and those that must not."""

    allowed: list[str]
    unexpected: list[str]


def compare_archives(a: str | Path, b: str | Path) -> Comparison:
    """Compare two archives.

    Between two runs on one machine only wall-clock times, dates and hardware may differ: what the experiments'
    manifests say of these, the reports' sections on times, and in the archive's own lists the lines of those files.
    Another commit, package, config, model or text is a difference, and is named.

    Raises:
        ArchiveError: one of them is not there, no zip, or does not match its own manifest.

    """
    with open_archive(a) as (first, first_file), open_archive(b) as (second, second_file):
        listed = _sound(first, first_file, a), _sound(second, second_file, b)
        unexpected = [f"{shown(name)}: only in {a}" for name in sorted(set(listed[0]) - set(listed[1]))]
        unexpected += [f"{shown(name)}: only in {b}" for name in sorted(set(listed[1]) - set(listed[0]))]
        allowed: dict[str, str] = {}
        for name in sorted(set(listed[0]) & set(listed[1]) - {MANIFEST_MD}):
            if listed[0][name]["sha256"] == listed[1][name]["sha256"]:
                continue
            may, told = _difference(name, first, second)
            if may:
                allowed[name] = f"{shown(name)}: {told}"
            else:
                unexpected.append(f"{shown(name)}: {told}")
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


def _sound(archive: ZipFile, file: IO[bytes], path: str | Path) -> Listed:
    faults, listed = check_opened(archive, file, Path(path))
    if faults:
        raise ArchiveError(f"{path} does not match its manifest: {faults[0]}", fix="Run archive.py verify on it")
    return listed


def _difference(name: str, first: ZipFile, second: ZipFile) -> tuple[bool, str]:
    """Say of a file that differs whether it may, and in what it does."""
    try:
        return _judged(name, first, second)
    except RecursionError:  # nested deeper than any file of this workflow's
        return False, "differs"


def _judged(name: str, first: ZipFile, second: ZipFile) -> tuple[bool, str]:
    if name.endswith(f"/{RUN_MANIFEST}"):
        manifests = _json_object(first, name), _json_object(second, name)
        if None not in manifests:
            keys = _differing(*({k: v for k, v in own.items() if k not in _OF_TIMES} for own in manifests))
            more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
            if keys:
                return False, f"differs in {', '.join(map(shown, keys[:_NAMED]))}{more}"
            if _differing(*manifests):
                return True, "differs, as it may: times, dates and hardware"
    elif _REPORT.fullmatch(name):
        remains = _without_times(first, name), _without_times(second, name)
        if remains[0] is not None and remains[0] == remains[1]:
            return True, "differs in its section on times only"
    return False, "differs"


def _differing(first: Mapping[str, Any], second: Mapping[str, Any], place: str = "") -> list[str]:
    """Return the keys in which two objects differ, sorted; those of an object inside with a dot."""
    found = []
    for key in sorted(first.keys() | second.keys()):
        a, b = first.get(key, _ABSENT), second.get(key, _ABSENT)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differing(a, b, f"{place}{key}.")
        elif a is _ABSENT or b is _ABSENT or json.dumps(a) != json.dumps(b):  # 1 is not true, and NaN is NaN
            found.append(f"{place}{key}")
    return found


_ABSENT = object()


def _without_times(archive: ZipFile, name: str) -> Any:
    """Return what a report file says but for its times; None where it has not exactly one section on them.

    Of JSON that is its SHA-256, of a page those of the text before and behind the section: what moves from before to
    behind it is a difference.
    """
    if name.endswith(".json"):
        facts = _json_object(archive, name)
        if facts is None or KEY not in facts:
            return None
        del facts[KEY]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    with archive.open(name) as stream:
        # Line by line: a page with its figures inside is large, and a mark counts only as a line of its own.
        digests, marks = (hashlib.sha256(), hashlib.sha256()), []
        for line in io.BufferedReader(stream):
            mark = line.strip().decode("ascii", errors="replace")
            if mark in (BEGIN, END):
                marks.append(mark)
            elif marks != [BEGIN]:
                digests[bool(marks)].update(line)
    return [digest.hexdigest() for digest in digests] if marks == [BEGIN, END] else None


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


def _json_object(archive: ZipFile, name: str) -> dict[str, Any] | None:
    """Return what a JSON file holds; None where that is no object."""
    try:
        with archive.open(name) as stream:
            found = json.load(stream)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
