"""Importing a library without a part of it, or another one, that it can do without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without(package: str) -> Iterator[None]:
    """Let what is imported in the block find that a package is not installed, unless it is imported already.

    ``None`` among the modules is Python's own way to say so.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def unread(package: str, module: str) -> Iterator[None]:
    """Let what is imported in the block import a package's module without it being read, unless it is imported already.

    For a library that imports the module at its top and uses it in functions that are never called here: it finds the
    module empty, whereas ``without`` stops it.
    """
    names = package, f"{package}.{module}"
    if any(name in sys.modules for name in names):
        yield
        return
    for name in names:
        sys.modules[name] = ModuleType(name)
    setattr(sys.modules[package], module, sys.modules[names[1]])
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
