"""What is left of the memory that a batch job or container was given: the machine's free memory does not tell."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_host_memory() -> int:
    """Return the bytes of host memory that this process may still take: the machine's free ones, or the job's."""
    return min([psutil.virtual_memory().available, *_group_left(), *_slurm_left(os.environ)])


def _slurm_left(environment: Mapping[str, str]) -> Iterator[int]:
    """Yield what is left of what Slurm gave the job on this node; it may enforce that without a control group."""
    try:
        if given := int(environment.get("SLURM_MEM_PER_NODE", 0)):
            megabytes = given
        else:
            megabytes = int(environment.get("SLURM_MEM_PER_CPU", 0)) * int(environment.get("SLURM_CPUS_ON_NODE", 0))
    except ValueError:
        return
    if megabytes:
        yield max(megabytes * (1 << 20) - psutil.Process().memory_info().rss, 0)


def _group_left(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Yield what is left of the limit of each control group that this process is in, of either version of Linux's.

    A group's use counts pages of files too, those of the checkpoint among them; the kernel gives up the inactive ones
    before it ends a process.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, names = (root, _V2) if controllers == "" else (root / "memory", _V1)
        group = top / path.strip("/")
        for folder in [group, *group.parents]:
            yield from _left(folder, *names)
            if folder == top:
                break


def _left(folder: Path, limit: str, use: str, inactive: str) -> Iterator[int]:
    try:
        given, used = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, use))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        yield max(given - used + int(stat[inactive]), 0)
    except (OSError, ValueError, KeyError):  # no limit ("max"), or no such file: a container may show a part only
        return
