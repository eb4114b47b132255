"""What a command line asks for: several figures, each with a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ..errors import ConfigError

T = TypeVar("T")


def pairs(figures: Sequence[T], files: Sequence[str], option: str) -> list[tuple[T, str]]:
    """Return each figure with its file.

    Args:
        figures: names, or names with what belongs to them.
        files: as many files, in the same order.
        option: the command line's name for them.

    Raises:
        ConfigError: there are more or fewer files than figures.

    """
    if len(figures) != len(files):
        raise ConfigError(f"each figure needs its own {option}", got=f"{len(files)} for {len(figures)} figures",
                          expected=len(figures))  # fmt: skip
    return list(zip(figures, files, strict=True))
