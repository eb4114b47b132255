"""Measure speed and memory of the gradient engine on a GPT-2-shaped model (124M random weights), without a GPU.

Every case runs in a process of its own, one after the other in one run, so that ratios hold on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ORDER = ("forward_backward", "gradient_only", "all_statistics", "block_by_block", "streamed", "text_by_text")


def measure(case: str, **options: Any) -> dict[str, Any]:
    """Run one case in a new process and return its figures."""
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, str(HERE / "cases.py"), case, *words], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def save_model(folder: str, layers: int) -> None:
    """Save the GPT-2-shaped model as safetensors."""
    code = f"from cases import gpt2_shaped; gpt2_shaped({layers}).save_pretrained({folder!r})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE, capture_output=True)


def main() -> None:
    """Measure all cases and growth; print tables and write them as JSON."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--output", type=Path, default=HERE / "results" / "cpu.json")
    a = p.parse_args()
    found: dict[str, Any] = {"machine": {"processor": _processor(), "python": platform.python_version()}, "cases": {}}
    with tempfile.TemporaryDirectory() as folder:
        save_model(folder, 12)
        for case in ORDER:
            repeats = 1 if case == "text_by_text" else a.repeats
            own = {"folder": folder} if case == "streamed" else {}
            figures = measure(case, repeats=repeats, **own)
            found["cases"][case] = figures
            ratio = figures["seconds"] / found["cases"]["forward_backward"]["seconds"]
            print(
                f"{case:18} {figures['seconds']:8.2f} s {ratio:6.2f} x {figures['peak_bytes'] / 1e9:6.2f} GB",
                flush=True,
            )
    for key, values in (("texts", (50, 100, 200)), ("layers", (6, 12, 24))):
        found[key] = {v: measure("all_statistics", repeats=1, **{key: v})["seconds"] for v in values}
        print(f"growth with {key}:", ", ".join(f"{v}: {s:.2f} s" for v, s in found[key].items()), flush=True)
    a.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(os.sched_getaffinity(0))} cores" if names else platform.processor()


if __name__ == "__main__":
    main()
