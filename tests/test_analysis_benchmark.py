"""The benchmark of the analysis runs from end to end on a small study, and its stores are ones that stages accept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "analysis.py"


@pytest.mark.timeout(500)
def test_every_stage_runs_on_small_stores(tmp_path: Path) -> None:
    output = tmp_path / "small.json"
    command = [sys.executable, str(SCRIPT), "--model", "tinyllama_1_1b", "--candidates", "300", "--texts", "4",
               "--keep", str(tmp_path / "kept"), "--output", str(output)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "analysis: " in done.stdout
    assert "compare: " in done.stdout
    found = json.loads(output.read_text())
    assert found["study"] == {"tensors": 156, "weights": 1_100_048_384 - 45 * 2048, "metrics": 4, "candidates": 300,
                              "texts": 4}  # fmt: skip
    stages = set(found["stages"]) - {"all"}
    assert stages >= {"overlap", "concentration", "agreement", "rank_density", "structure", "stability"}
    assert found["stages"]["all"]["cpu_seconds"] == pytest.approx(
        sum(found["stages"][name]["cpu_seconds"] for name in stages), abs=0.01
    )
    tables = {path.stem: path.read_text() for path in (tmp_path / "kept/p1/tinyllama_1_1b/analysis").glob("*.csv")}
    assert stages <= set(tables)
    for metric in ("grad_x_weight", "grad_squared", "taylor_abs"):
        assert f"{metric},global,10,halves,jaccard" in tables["stability"], "the gradients of texts give the scores"
    assert "top_mean_over_median" in tables["concentration"]
    assert str(Path.home()) not in output.read_text()
