"""Importing a library without another one that it can do without, or not before it is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any


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
def late(package: str, module: str) -> Iterator[None]:
    """Let what is imported in the block import a package's module without reading it, unless it is imported already.

    For a library that imports the module at its top and uses it in functions that are hardly ever called: there the
    module is read, after the block.
    """
    names = package, f"{package}.{module}"
    if any(name in sys.modules for name in names):
        yield
        return
    stand_ins = {name: ModuleType(name) for name in names}
    sys.modules.update(stand_ins)
    setattr(stand_ins[package], module, stand_ins[names[1]])
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
            stand_ins[name].__getattr__ = partial(_of_module, name)  # type: ignore[method-assign]


def _of_module(name: str, attribute: str) -> Any:
    return getattr(import_module(name), attribute)
