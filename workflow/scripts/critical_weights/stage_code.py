"""The source files that a staged script runs, and their digest: what tells a workflow that a stage's code changed."""

from __future__ import annotations

import ast
import hashlib
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
    found: list[Path] = []
    for node in _imports(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            start = file.relative_to(PACKAGE.parent).parts[: -node.level] if node.level else ()
            module = ".".join((*start, *([node.module] if node.module else [])))
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            found += _module_files(name.split("."))
    if file.name == "__init__.py" and b"import_module(" in source:
        found += sorted(file.parent.glob("*.py"))
    return tuple(found)


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements below a node; no expression is looked into, which is most of a file."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        below = getattr(node, part, ())
        for one in below if isinstance(below, list) else ():
            if isinstance(one, ast.Import | ast.ImportFrom):
                yield one
            else:
                yield from _imports(one)


def _module_files(parts: list[str]) -> list[Path]:
    """Return the files of a module and of the packages that it is in; none of another package than this."""
    modules = _modules()
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
