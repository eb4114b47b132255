"""Names inside an archive: its own files', and which ones no archive may hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..errors import ArchiveError

ARCHIVE = "critical_weight_analysis_complete.zip"
MANIFEST, MANIFEST_MD = "manifest.json", "MANIFEST.md"
README, CITATION, CONFIG = "README.md", "CITATION.cff", "config.json"
"""What is written for the archive, beside its manifests."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³]) *(\..*)?", re.IGNORECASE)


def path_fault(name: str) -> str | None:
    """Say what is wrong with a path inside an archive; None for a plain relative one.

    A path that leaves the folder it is unpacked into, means something else on another system, or could forge a line of
    the list for people, is a fault.
    """
    if not name or "\0" in name:
        return "an empty name or one with a null character"
    if not name.isprintable():
        return "a control character or another one that is not printed"
    if "\\" in name:
        return "a backslash, which is a folder on Windows"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "an absolute path"
    if ":" in name:
        return "a colon, which Windows gives another meaning"
    if found := re.search(r'[<>"|?*]', name):
        return f"the character {found[0]}, which Windows has in no name"
    if "`" in name:
        return "a backtick, which ends a name in the list for people"
    parts = name.split("/")
    if ".." in parts:
        return "a path that climbs out with .."
    if PurePosixPath(name).as_posix() != name:
        return "a path that is not written plainly"
    if any(part.endswith((".", " ")) for part in parts):
        return "a name that ends in a dot or a space, which Windows leaves out"
    if device := next(filter(_DEVICE.fullmatch, parts), None):
        return f"the name {device}, which is a device on Windows"
    return None


def clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names that mean the same file as another one, or a folder of another one, on some systems.

    Where capitals do not count, or letters with accents are spelled in two ways, one file would take the other's
    place.
    """
    first: dict[str, str] = {}
    faults = []
    names = sorted(names)
    for name in names:
        other = first.setdefault(_plain(name), name)
        if other != name:
            faults.append((name, f"is the same file as {shown(other)} where capitals do not count"))
    for name in names:
        above = next((first[_plain(str(p))] for p in PurePosixPath(name).parents if _plain(str(p)) in first), None)
        if above is not None:
            faults.append((name, f"lies in a folder that is a file too, {shown(above)}"))
    return faults


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_names(names: Iterable[str]) -> None:
    """Refuse names that the check of an archive would refuse, before an archive is made in vain.

    Raises:
        ArchiveError: the first of them; the archive's own files count as well.

    """
    names = list(names)
    for name in names:
        if fault := path_fault(name):
            raise ArchiveError(f"{shown(name)} has {fault}; no archive can hold it", fix=_RENAME)
    for name, clash in clashes([*names, MANIFEST, MANIFEST_MD, README, CITATION, CONFIG]):
        raise ArchiveError(f"{shown(name)} {clash}; no archive can hold both", fix=_RENAME)


_RENAME = "Choose another name for its phase or model"


def shown(name: str) -> str:
    """Return a name fit for a terminal."""
    return name if name.isprintable() else ascii(name)
