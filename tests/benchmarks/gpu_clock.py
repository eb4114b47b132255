"""Seconds and peak device memory of stages, and what there is to say about the machine."""

from __future__ import annotations

import gc
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import torch

from critical_weights.provenance import hardware


@dataclass
class Clock:
    """Times stages on a device; each stage begins with an empty allocator cache and ends when the device is idle.

    Attributes:
        device: where the stages compute.
        stages: name -> ``seconds``, and on a GPU ``peak_bytes`` (tensors) and ``reserved_bytes`` (with the cache).

    """

    device: torch.device
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        self.clear()
        start = time.perf_counter()
        yield
        self.wait()
        found: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 4)}
        if self.device.type == "cuda":
            found["peak_bytes"] = torch.cuda.max_memory_allocated(self.device)
            found["reserved_bytes"] = torch.cuda.max_memory_reserved(self.device)
        self.stages[name] = found
        memory = f"{found['peak_bytes'] / 1e9:8.2f} GB at most" if "peak_bytes" in found else ""
        print(f"{name:44} {found['seconds']:9.3f} s {memory}", flush=True)

    def median(self, name: str, work: Callable[[], object], repeats: int) -> float:
        """Time ``work`` so often, after once that is not counted, as a stage; return the median in seconds."""
        work()
        seconds = []
        self.clear()
        for _ in range(repeats):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        self.stages[name] = {"seconds": round(middle, 4), "all": [round(s, 4) for s in seconds]}
        memory = ""
        if self.device.type == "cuda":
            self.stages[name]["peak_bytes"] = torch.cuda.max_memory_allocated(self.device)
            memory = f"{self.stages[name]['peak_bytes'] / 1e9:8.2f} GB at most"
        print(f"{name:44} {middle:9.3f} s {memory}", flush=True)
        return middle

    def events(self, work: Callable[[], object], repeats: int) -> float:
        """Return the median seconds of ``work`` by the GPU's own clock, after once that is not counted."""
        work()
        if self.device.type != "cuda":
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - start)
            return statistics.median(seconds)
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
        for start, end in pairs:
            start.record()
            work()
            end.record()
        self.wait()
        return statistics.median(start.elapsed_time(end) for start, end in pairs) / 1000

    def wait(self) -> None:
        """Wait until the device has done what it was asked to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def clear(self) -> None:
        """Give unused memory back and begin a new peak."""
        gc.collect()
        self.wait()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def free_bytes(self) -> int | None:
        """Return what a plan for a model that is already loaded may take, its weights included; None without a GPU."""
        if self.device.type != "cuda":
            return None
        self.clear()
        return torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_allocated(self.device)


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures depend on: device and versions; no host name, user or path."""
    facts: dict[str, Any] = {
        "device": hardware()["cpu"] or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "transformers", "triton", "numpy", "h5py")},
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "device": properties.name,
            "memory_bytes": properties.total_memory,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }
    return facts


def slug(name: str) -> str:
    """Return a name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None
