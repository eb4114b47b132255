"""The tables of the section on times: the only part of a report that may differ between two equal runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .sheet import CODE, NUMBER, TEXT, Table, named

_NO_COMMIT = {None: "not known", False: "not a git checkout", True: "none found"}
"""By whether the code is a checkout; manifests of earlier versions do not say."""
_RATES = tuple((heading, NUMBER) for heading in ("weights / s", "tensors / s", "blocks / s"))


def time_tables(recorded: Mapping[str, Any]) -> list[Table]:
    """Return the tables of scoring passes, stages, dates and machines."""
    machines = [machine(entry) for entry in recorded["machines"]]
    return [passes(recorded["scoring"]), stages(recorded["experiments"]), dates(recorded["experiments"]), *machines]


def passes(scoring: Mapping[str, Any]) -> Table:
    """One row a scoring pass."""
    rows = [
        [family, p["device"], show.count(p.get("threads")), show.count(p["weights"]), show.count(p["tensors"]),
         show.count(p["blocks"]), show.count(p.get("texts")),
         ", ".join(f"{part} {show.seconds(taken)}" for part, taken in p["stages"].items()),
         *_rates(p), show.size(p.get("peak_memory_bytes")), _device_memory(p)]
        for family, p in scoring.items()
    ]  # fmt: skip
    columns = (("family", CODE), ("device", TEXT), ("threads", NUMBER), ("weights", NUMBER), ("tensors", NUMBER),
               ("blocks", NUMBER), ("texts", NUMBER), ("parts", TEXT), *_RATES, ("peak memory", NUMBER),
               ("peak memory of the accelerator", NUMBER))  # fmt: skip
    return Table("Scoring passes", columns, rows, "Rates over the analysed set, of all parts but loading the model.")


def stages(experiments: Mapping[str, Any]) -> Table:
    """One row a stage of an experiment."""
    rows = [
        [label, name, show.seconds(stage["seconds"]), *_rates(stage), show.size(stage["peak_memory_bytes"])]
        for label, entry in experiments.items()
        for name, stage in entry["stages"].items()
    ]
    columns = (("experiment", CODE), ("stage", TEXT), ("time", NUMBER), *_RATES, ("peak memory", NUMBER))
    note = "Of whole jobs, start included; rates where a stage goes over every analysed weight."
    return Table("Stages", columns, rows, note)


def dates(experiments: Mapping[str, Any]) -> Table:
    """When each experiment was made."""
    rows = [
        [label, entry["started"], entry["completed"], show.size(entry["peak_memory_bytes"])]
        for label, entry in experiments.items()
    ]
    columns = (("experiment", CODE), ("first stage started", TEXT), ("last file written", TEXT),
               ("peak memory", NUMBER))  # fmt: skip
    note = "UTC. A stage whose scores were kept from an earlier run has its times of then. Peak memory: the largest of "
    note += "all stages."
    return Table("Dates", columns, rows, note)


def machine(entry: Mapping[str, Any]) -> Table:
    """The machine and the code's state of some experiments."""
    parts, git = entry["hardware"], entry["git"]
    cores = f"{show.count(parts['cores'])} cores ({show.count(parts['cores_usable'])} usable)"
    versions = (f"{name} {version or 'not installed'}" for name, version in entry["versions"].items())
    return named("Machine and code", [
        ("experiments", ", ".join(entry["experiments"])),
        ("processor", f"{parts['cpu'] or show.UNKNOWN}, {cores}"),
        ("memory", show.size(parts["memory_bytes"])),
        ("accelerator", parts["gpu"] or "none recorded"),
        ("git commit of the code", git["commit"] or _NO_COMMIT[git.get("checkout")]),
        ("uncommitted changes", show.yes_no(git["dirty"]) if git["commit"] else show.MISSING),
        ("versions", ", ".join(versions)),
    ])  # fmt: skip


def _rates(entry: Mapping[str, Any]) -> list[str]:
    if "weights_per_second" not in entry:
        return [show.MISSING] * len(_RATES)
    return [show.rate(entry[f"{what}_per_second"]) for what in ("weights", "tensors", "blocks")]


def _device_memory(scoring: Mapping[str, Any]) -> str:
    return show.MISSING if scoring["device"] == "cpu" else show.size(scoring.get("peak_device_memory_bytes"))
