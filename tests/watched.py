"""Tells what a call wrote outside a folder, and whether it ran other programs' code or read a pickle."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class", "socket.connect")
_WRITES = ("os.rename", "os.mkdir", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "os.truncate")
_seen: list[str] = []
_inside: tuple[str, ...] | None = None


def _hook(event: str, values: tuple[object, ...]) -> None:
    if _inside is None:
        return
    if event in _STARTS:
        _seen.append(f"{event} {values[:2]!r:.200}")
    elif event in _WRITES:
        # Of a renamed file, the name that it gets counts too.
        _seen.extend(
            f"{event} {name}" for name in values[:2] if isinstance(name, str | bytes | Path) and _outside(name)
        )
    elif event == "open" and isinstance(values[0], str | bytes) and _for_writing(values) and _outside(values[0]):
        _seen.append(f"open {values[0]!r}")


def _for_writing(values: tuple[object, ...]) -> bool:
    mode, flags = values[1], values[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _outside(name: str | bytes | Path) -> bool:
    path = os.path.realpath(os.fsdecode(name))
    return path != os.devnull and not path.startswith(_inside)


sys.addaudithook(_hook)


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Give a list that fills, at the end, with what was written outside ``folder`` (caches apart), and what was run."""
    global _inside
    harmless = ("__pycache__", ".hypothesis", ".pytest_cache", "uname")  # the last by Python's own platform module
    _seen.clear()
    _inside = (os.path.realpath(folder), os.path.realpath(tempfile.gettempdir()) + "/torchinductor")
    found: list[str] = []
    try:
        yield found
    finally:
        _inside = None
        found += [one for one in _seen if not any(cache in one for cache in harmless)]
