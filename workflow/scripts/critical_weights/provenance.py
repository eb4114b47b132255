"""Where a result comes from: package versions, the code's git state, the hardware; nothing that names a person.

No user name, host name, home folder, environment or token is read, so none can reach a result file.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__

PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "pandas", "h5py", "matplotlib", "seaborn",
    "jinja2", "snakemake",
)  # fmt: skip
"""The packages whose version can change a result or its presentation."""

CODE = Path(__file__).resolve().parents[2]
"""The folder of the code: scripts, rules, schemas and templates."""

_GIT_SECONDS = 20


def package_versions() -> dict[str, str | None]:
    """Return the version of this library, of Python and of :data:`PACKAGES`; None for one that is not installed.

    Reads the packages' metadata and imports none of them.
    """
    return {"critical_weights": __version__, "python": platform.python_version()} | {p: _version(p) for p in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: str | Path = CODE) -> dict[str, Any]:
    """Return ``{"checkout", "commit", "dirty"}`` of the checkout that the folder of the code belongs to.

    ``checkout`` is False where the code is none: no repository, or a folder that only lies inside somebody else's
    without being part of it; None where git cannot tell: it is missing, or refuses the folder. Then, and before the
    first commit, the others are None. ``dirty`` covers the folder, untracked files included.
    """
    files = _git(folder, "ls-files", "--", ".")
    if not files:
        known = files is not None or not _in_repository(Path(folder).resolve())
        return {"checkout": False if known else None, "commit": None, "dirty": None}
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ".") if commit else None
    return {"checkout": True, "commit": commit, "dirty": None if changes is None else bool(changes)}


def _in_repository(folder: Path) -> bool:
    """Say whether a repository lies in the folder or above it, without asking git."""
    return any(os.path.lexists(above / ".git") for above in (folder, *folder.parents))


def _git(folder: str | Path, *arguments: str) -> str | None:
    # Variables such as GIT_DIR, set inside a git hook, would point to another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def hardware(gpu: str | None = None) -> dict[str, Any]:
    """Return the processor's model, its logical cores, the cores this process may use, memory in bytes, and the GPU.

    Args:
        gpu: the accelerator's name as the scoring job recorded it; looking for one here would need torch, and the
            machine that scored may be another one.

    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine() or None,
        "system": platform.system() or None,
        "cores": os.cpu_count(),
        "cores_usable": usable,
        "memory_bytes": _memory_bytes(),
        "gpu": gpu,
    }


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
