"""Where the finished parts of a run lie, and what only that run needs; how they go."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

SETTINGS = "settings.json"
SCRATCH = "CRITICAL_WEIGHTS_SCRATCH"
"""Environment variable: a folder on a disk of the machine's own, for what only one run needs."""


def kept_folder(folder: Path, family: str) -> Path:
    """Return where the finished parts of a family's run lie, beside its stores."""
    return folder / ".unfinished" / family


def inputs_folder(folder: Path, family: str, rank: int) -> Path:
    """Return where a process lays its blocks' inputs while it runs, where they are kept on disk.

    Beside its stores, or on the node's own disk where :data:`SCRATCH` names a folder: no other run needs them.
    """
    if scratch := os.environ.get(SCRATCH):
        run = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
        return Path(scratch) / f"critical_weights_{run}_{family}_inputs_{rank}"
    return folder / ".unfinished" / f"{family}_inputs_{rank}"


def discard(folder: Path) -> None:
    """Delete a family's finished parts, its hidden folder too."""
    if folder.exists():
        (folder / SETTINGS).unlink(missing_ok=True)  # first, so that no half of them is ever taken for the whole
        shutil.rmtree(folder)
    if folder.parent.exists() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
