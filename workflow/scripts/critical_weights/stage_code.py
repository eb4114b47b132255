"""The source files that a staged script runs, and their digest: what tells a workflow that a stage's code changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def stage_digest(script: Path, data: Iterable[Path] = ()) -> str:
    """Return a digest of a script, of all modules of this package that it imports, and of other files it reads.

    Args:
        script: a script beside the package.
        data: what else decides its output, such as templates.

    """
    files = stage_sources(script) | {path.resolve() for path in data}
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(PACKAGE.parents[1]).as_posix(), file) for file in files):
        digest.update(f"{name}\0".encode() + _content(file) + b"\0")
    return digest.hexdigest()[:16]


def stage_sources(script: Path) -> set[Path]:
    """Return a script and the modules of this package that it imports, directly or not, also inside functions.

    A package that imports its modules by computed names counts with all of them.
    """
    found: set[Path] = set()
    waiting = [script.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file)
    return found


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    source = _content(file)
    start = file.relative_to(PACKAGE.parent).parts
    found: list[Path] = []
    for level, module, names in imports(source):
        parts = [*(start[:-level] if level else ()), *([module] if module else [])]
        for name in names:
            found += _module_files(".".join([*parts, name]))
    if file.name == "__init__.py" and b"import_module(" in source:
        found += sorted(file.parent.glob("*.py"))
    return tuple(found)


_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_COMMENT = re.compile(rb"#[^\n]*")


def imports(source: bytes) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield what a source file imports, wherever in it: leading dots, module, and names (of ``import a.b``, ``a.b``).

    By their text: parsing takes fifteen times as long, and every start of the workflow waits for it. A sentence in a
    docstring may look like an import; it names no module of this package. A test holds it against the parser.
    """
    for dots, module, listed in _IMPORT.findall(_COMMENT.sub(b"", source)):
        names = listed.strip(b"() \t\r\n").decode().split(",")
        yield len(dots), module.decode(), tuple(name.split()[0] for name in names if name.strip())


def _module_files(dotted: str) -> list[Path]:
    """Return the files of a module, or of what it holds, and of the packages that it is in; all of this package."""
    modules, parts = _modules(), dotted.split(".")
    names = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return [modules[name] for name in names if name in modules]


@cache
def _modules() -> dict[str, Path]:
    """Return the file of each module of this package; listed and read once, for the workflow's every start waits."""
    files = {file.relative_to(PACKAGE.parent).with_suffix(""): file for file in PACKAGE.rglob("*.py")}
    return {
        ".".join(name.parent.parts if name.name == "__init__" else name.parts): file for name, file in files.items()
    }


@cache
def _content(file: Path) -> bytes:
    return file.read_bytes()
