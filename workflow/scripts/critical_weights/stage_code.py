"""The source files that a staged script runs, and their digest: what tells a workflow that a stage's code changed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
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
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
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
    base = PACKAGE.parent
    source = file.read_text(encoding="utf-8")
    found: list[Path] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = file.relative_to(base).parts[: -node.level] if node.level else ()
            module = ".".join((*start, *([node.module] if node.module else [])))
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found += _module_files(base, name.split("."))
    if file.name == "__init__.py" and "import_module(" in source:
        found += sorted(file.parent.glob("*.py"))
    return tuple(found)


def _module_files(base: Path, parts: list[str]) -> list[Path]:
    if parts[0] != PACKAGE.name:
        return []
    packages = [base.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    module = base.joinpath(*parts).with_suffix(".py")
    return [file for file in (*packages, module) if file.is_file()]
