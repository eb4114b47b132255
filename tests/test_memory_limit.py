"""What is left of a batch job's memory, from made-up control groups and Slurm's variables."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from critical_weights.scoring import memory_limit
from critical_weights.scoring.memory_limit import _group_left, _slurm_left, free_host_memory

GB = 1 << 30


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / f"memory.{name}").write_text(f"{value}\n", encoding="utf-8")


def test_the_limit_of_each_group_above_counts_and_inactive_pages_of_files_are_free(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/slurm/job_7/step_0\n", encoding="utf-8")
    root = tmp_path / "groups"
    stat = {"stat": f"anon 5\ninactive_file {GB}"}
    group(root / "slurm/job_7/step_0", max="max", current=3 * GB, **stat)
    group(root / "slurm/job_7", max=8 * GB, current=3 * GB, **stat)
    group(root / "slurm", max=100 * GB, current=50 * GB, **stat)
    assert list(_group_left(root, tmp_path / "own")) == [6 * GB, 51 * GB]


def test_first_version_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("5:cpu:/x\n4:memory:/job\n", encoding="utf-8")
    stat = {"stat": "total_inactive_file 10"}
    group(tmp_path / "groups/memory/job", limit_in_bytes=100, usage_in_bytes=70, **stat)
    assert list(_group_left(tmp_path / "groups", tmp_path / "own")) == [40]


def test_no_group_no_limit(tmp_path: Path) -> None:
    assert list(_group_left(tmp_path, tmp_path / "none")) == []
    (tmp_path / "own").write_text("0::/\n", encoding="utf-8")
    assert list(_group_left(tmp_path, tmp_path / "own")) == []


@pytest.mark.parametrize(
    "variables, gigabytes",
    [
        ({"SLURM_MEM_PER_NODE": "1048576"}, 1024),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "2048"}, 2048),
        ({"SLURM_MEM_PER_NODE": "all"}, None),
        ({"SLURM_MEM_PER_CPU": "1024"}, None),
        ({"SLURM_CPUS_ON_NODE": "2048"}, None),
        ({}, None),
    ],
)
def test_what_slurm_gave_less_what_the_process_has(variables: dict[str, str], gigabytes: int | None) -> None:
    left = list(_slurm_left(variables))
    assert len(left) == (gigabytes is not None)
    for value in left:
        assert value == pytest.approx(gigabytes * GB - psutil.Process().memory_info().rss, abs=GB / 4)


def test_the_smallest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "_group_left", lambda: iter([5 * GB, 7]))
    assert free_host_memory() == 7
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    assert free_host_memory() == 0
