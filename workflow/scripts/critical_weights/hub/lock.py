"""The lock of a hub model: the commit that its revision was when first fetched, and the files that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import CriticalWeightsError
from ..files import read_json, write_json
from .listing import HubFile


@dataclass(frozen=True)
class Lock:
    """What a model was when it was first fetched.

    Attributes:
        repo: of the config.
        revision: of the config: a branch, a tag or a commit.
        commit: what it was.
        files: those that are needed.
        complete: whether every file was fetched and its hash compared.
        gated: ``auto`` or ``manual`` where access is asked for.
        licence: as the repository's card names it.

    """

    repo: str
    revision: str
    commit: str
    files: tuple[HubFile, ...]
    complete: bool = False
    gated: str | None = None
    licence: str | None = None


def read_lock(path: Path, repo: str, revision: str) -> Lock | None:
    """Return the lock of this repository and revision; None where there is none, or the config names another.

    Raises:
        CriticalWeightsError: the file is not what was written.

    """
    if not path.is_file():
        return None
    value = read_json(path)
    try:
        lock = Lock(**{**value, "files": tuple(HubFile(**file) for file in value["files"])})
    except (TypeError, KeyError) as error:
        raise CriticalWeightsError(
            f"{path} is no lock of a model", fix="Delete it; the next run makes it again"
        ) from error
    return lock if (lock.repo, lock.revision) == (repo, revision) else None


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock whole."""
    write_json(path, {**vars(lock), "files": [file.as_dict() for file in lock.files]})
