"""The errors that a user can cause, each told in one line: what is wrong, what to do, near names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class CriticalWeightsError(Exception):
    """A mistake in the input or the surroundings that the user can mend.

    The message is one line: the fact, what was got and expected, and what to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        fix: str | None = None,
        near: Iterable[str] = (),
    ) -> None:
        parts = [what.rstrip(".")]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        line = "; ".join(parts) + "."
        near = list(near)
        if near:
            line += f" Did you mean {' or '.join(near)}?"
        if fix:
            line += f" {fix.rstrip('.')}."
        super().__init__(" ".join(line.split()))


class FieldError(CriticalWeightsError, KeyError):
    """A file that a stage wrote lacks a key."""

    def __str__(self) -> str:
        """Return the message, which a KeyError would put into quotes."""
        return str(self.args[0])


class ConfigError(CriticalWeightsError):
    """The config, a command-line value or a target path is wrong."""


class TextError(CriticalWeightsError):
    """A text file cannot be used."""


class ModelError(CriticalWeightsError):
    """A model cannot be fetched, read or scored."""


class StoreError(CriticalWeightsError):
    """A score store is incomplete, damaged, or was made with other settings."""


class RankingError(CriticalWeightsError):
    """A ranking cannot be made or read."""


class TableError(CriticalWeightsError):
    """A result file does not follow its schema."""


class ArchiveError(CriticalWeightsError):
    """An archive cannot be made, or does not match its manifest."""


def near_names(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return the known names most like ``name``, best first; empty where none is near."""
    return difflib.get_close_matches(str(name), [str(k) for k in known], n=n, cutoff=0.5)


def unknown(
    kind: str, name: object, known: Iterable[str], error: type[CriticalWeightsError] = ConfigError
) -> CriticalWeightsError:
    """Build the error for an unknown name: the kind, the name, near names and all known ones.

    Returns the error, for the caller to raise, so that the traceback starts where the name was used.
    """
    known = sorted(str(k) for k in known)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return error(f"unknown {kind} '{name}'", near=near_names(str(name), known), fix=f"Known: {shown or 'none'}")


def no_file(place: str, path: Path, pattern: str, kind: str = "file") -> ConfigError:
    """Build the error for a path in the config, at ``place``, that is no file; near are files of the pattern beside it.

    Returns the error, as :func:`unknown` does.
    """
    what = f"{path} is a folder, not a file" if path.is_dir() else f"there is no {kind} {path}"
    near = near_names(path.name, [file.name for file in path.parent.glob(pattern) if file.is_file()])
    return ConfigError(f"{place}: {what}", near=near)
