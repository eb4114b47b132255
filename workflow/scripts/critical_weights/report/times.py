"""Times, rates and the machine: all of the report that may differ between two runs with equal results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "times"
BEGIN, END = "<!-- times -->", "<!-- /times -->"
"""Lines of their own around this section, so that a comparison of two runs can leave it out."""


def gather_times(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the experiments' manifests: scoring passes, stages, when, machine and code version.

    Args:
        manifests: each experiment's manifest, by its label.

    """
    scoring: dict[str, Any] = {}
    machines: list[dict[str, Any]] = []
    for label, manifest in manifests.items():
        if manifest["scoring"]:
            scoring.setdefault(manifest["scoring"]["family"], manifest["scoring"])
        machine = {
            "hardware": manifest["hardware"],
            "git": manifest["git"],
            "versions": manifest["versions"]["manifest"],
        }
        same = next((m for m in machines if all(m[key] == machine[key] for key in machine)), None)
        if same is None:
            machines.append(same := machine | {"experiments": []})
        same["experiments"].append(label)
    return {
        "scoring": scoring,
        "experiments": {
            label: {key: manifest[key] for key in ("started", "completed", "stages", "peak_memory_bytes")}
            for label, manifest in manifests.items()
        },
        "machines": machines,
    }


def merge_times(recorded: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put the times of several phases and models together, under names that say whose they are.

    Args:
        recorded: what :func:`gather_times` returned, by ``phase/model``.

    """
    machines: list[dict[str, Any]] = []
    for name, own in recorded.items():
        for machine in own["machines"]:
            labels = [f"{name}/{label}" for label in machine["experiments"]]
            same = next((m for m in machines if all(m[k] == machine[k] for k in ("hardware", "git", "versions"))), None)
            if same is None:
                machines.append({**machine, "experiments": labels})
            else:
                same["experiments"] += labels
    return {
        "scoring": {f"{name} {family}": p for name, own in recorded.items() for family, p in own["scoring"].items()},
        "experiments": {
            f"{name}/{label}": entry for name, own in recorded.items() for label, entry in own["experiments"].items()
        },
        "machines": machines,
    }
