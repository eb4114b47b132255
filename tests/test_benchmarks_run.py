"""The GPU benchmark runs from end to end; what it measures needs a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "benchmarks" / "gpu.py"


def test_gpu_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "tiny.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--tiny", "--no-figures", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "score and rank" in done.stdout
    assert "goal: at most 5 s" in done.stdout
    found = json.loads(output.read_text())
    figures = found["5 x 9"]
    assert set(figures["over forward + backward"]) == {"resident", "blocks"}
    assert figures["one block"]["fused_seconds"] is None
    assert all(stage["seconds"] > 0 for stage in figures["stages"].values())
    assert str(Path.home()) not in output.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]
