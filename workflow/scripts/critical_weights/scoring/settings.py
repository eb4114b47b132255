"""What shapes the stores: the settings of the score stage, checked, and the choice of dense scores."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import ConfigError, unknown
from ..files import sha256_json
from ..log import choice, logger
from ..metrics import METRICS
from .engine import Placed

DENSE_BYTES = 4 * 10**9
"""Dense scores are kept by default while all of one phase and model stay below this."""


@dataclass(frozen=True)
class ScoringSettings:
    """What shapes the stores.

    Attributes:
        candidates: best weights of a tensor that are kept exactly.
        dense: full names of the metrics whose every score is kept; see :func:`choose_dense`.
        probes: Hutchinson probes.
        seed: of the probes.

    """

    candidates: int = 10_000
    dense: frozenset[str] = frozenset()
    probes: int = 10
    seed: int = 42


def check_settings(family: str, settings: ScoringSettings) -> None:
    """Check the counts among the settings.

    Raises:
        ConfigError: no candidate would be kept, or the probes have no standard error.

    """
    if settings.candidates < 1:
        raise ConfigError("scoring.candidates is too small", got=settings.candidates, expected="at least 1")
    if family == "curvature" and settings.probes < 2:
        raise ConfigError("scoring.probes is too small", got=settings.probes, expected="at least 2")


def choose_dense(setting: str, facts: Mapping[str, Any], folder: Path) -> frozenset[str]:
    """Return the full names of the metrics whose every score is kept, and log why.

    Args:
        setting: ``true``, ``false``, ``auto``, or metrics with commas between them.
        facts: the model's ``model.json``.
        folder: where the stores go; made where it is missing, for ``auto`` looks at the disk's free space.

    Raises:
        ConfigError: the setting names an unknown metric.

    """
    reason = "as configured"
    if setting in ("false", "true"):
        names = frozenset(METRICS) if setting == "true" else frozenset()
    elif setting != "auto":
        by_path = {m.path: m.name for m in METRICS.values()}
        names = frozenset(by_path.get(name.strip(), name.strip()) for name in setting.split(","))
        for name in sorted(names - set(METRICS)):
            raise unknown("metric in scoring.dense", name, {*METRICS, *by_path}, ConfigError)
    else:
        needed = facts["analysed"]["n_weights"] * 4 * len(METRICS)
        folder.mkdir(parents=True, exist_ok=True)
        limit = min(DENSE_BYTES, shutil.disk_usage(folder).free // 4)
        reason = f"all {len(METRICS)} metrics would take {needed / 1e9:.2f} GB, the limit is {limit / 1e9:.2f} GB"
        names = frozenset(METRICS) if needed < limit else frozenset()
    what = {0: "off", len(METRICS): "on"}.get(len(names), ", ".join(sorted(names)))
    choice("dense scores", what, reason, logger(__name__))
    return names


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide results."""
    return {name: version(name).partition("+")[0] for name in ("torch", "transformers", "h5py")}


def shaping(
    facts: Mapping[str, Any],
    texts: Sequence[Sequence[int]],
    settings: ScoringSettings,
    dtype: torch.dtype,
    device: torch.device,
    placed: Placed,
) -> dict[str, Any]:
    """Return everything that decides what the finished parts of a run hold, by the name that a user knows it by.

    Whether the weights are in memory or streamed is not among it, nor are threads: they change no result, or its last
    bits only.

    Args:
        facts: the model's ``model.json``.
        texts: token ids of each text.
        settings: of the stage.
        dtype: of weights and activations.
        device: where to compute.
        placed: where the model lies.

    """
    return {
        "model": sha256_json(facts),
        "texts": sha256_json([list(ids) for ids in texts]),
        "candidates": settings.candidates,
        "probes": settings.probes,
        "seed": settings.seed,
        "dense": sorted(settings.dense),
        "dtype": str(dtype).removeprefix("torch."),
        "device": device.type,
        "memory plan": {k: v for k, v in asdict(placed.plan).items() if k not in ("inputs", "scratch")},
        "processes": placed.processes.count,
        "versions": {"critical_weights": __version__, **versions()},
    }
