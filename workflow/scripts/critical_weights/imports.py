"""Importing a library without another one that it can do without, and that takes longer than the library itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
