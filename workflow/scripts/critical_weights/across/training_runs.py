"""Which models of a config are checkpoints of one training run, and at what step each was taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError

_STEP = re.compile(r"(?:step|checkpoint|ckpt)[-_]?0*(\d+)", re.IGNORECASE)
_LAST = ("main", "final")


@dataclass(frozen=True)
class Checkpoint:
    """A model as a checkpoint of a run; ``step`` is None for a last one whose name holds none."""

    run: str
    model: str
    step: int | None


def training_runs(models: Mapping[str, Mapping[str, Any]]) -> list[Checkpoint]:
    """Return the checkpoints of every run of which there are two or more, by run and then by step; the last one last.

    - ``bundled``: its checkpoints, ``final`` last.
    - ``hub``: revisions of one repository that name a step (``step1000``, ``step1000-tokens4B``); ``main`` last.
    - ``local``: folders beside each other that name a step (``checkpoint-500``); one named ``final`` last.

    Args:
        models: the config's entries by name.

    """
    runs: dict[str, list[Checkpoint]] = {}
    for name, entry in models.items():
        run, word = _place(entry)
        found = _STEP.search(word)
        if found or word in _LAST:
            runs.setdefault(run, []).append(Checkpoint(run, name, int(found[1]) if found else None))
    chosen: list[Checkpoint] = []
    for run, own in runs.items():
        if len({one.step for one in own}) > 1:
            label = _label(run, {one.run for one in chosen})
            ordered = sorted(own, key=lambda one: (one.step is None, one.step or 0))
            chosen += [Checkpoint(label, one.model, one.step) for one in ordered]
    return chosen


def _label(run: str, taken: set[str]) -> str:
    """Return a run's name without the folders that it lies in, which are no one's business; two of one name apart."""
    name = run if not Path(run).is_absolute() else Path(run).name
    return name if name not in taken else f"{name} {sum(other.startswith(name) for other in taken) + 1}"


def _place(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a model is a checkpoint of, and the word that may tell its step."""
    if entry["source"] == "bundled":
        return "bundled", entry.get("checkpoint", "final")
    if entry["source"] == "hub":
        return entry["repo"], entry.get("revision", "main")
    folder = Path(entry["path"]).expanduser().absolute()
    return str(folder.parent), folder.name


def as_option(checkpoint: Checkpoint) -> str:
    """Return a checkpoint as a command line has it: ``run:model:step``."""
    return f"{checkpoint.run}:{checkpoint.model}:{'' if checkpoint.step is None else checkpoint.step}"


def from_option(text: str) -> Checkpoint:
    """Read what :func:`as_option` writes.

    Raises:
        ConfigError: it is something else.

    """
    parts = text.rsplit(":", 2)  # the name of a run may have colons, as folders named after a time do
    if len(parts) != 3 or not re.fullmatch(r"\d*", parts[2]):
        raise ConfigError(f"'{text}' is no checkpoint", expected="run:model:step, with step empty for the last one")
    return Checkpoint(parts[0], parts[1], int(parts[2]) if parts[2] else None)
