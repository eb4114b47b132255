"""The scoring script's own part: what it plans for and tells of a run, and how processes share threads."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from critical_weights.errors import ModelError
from critical_weights.files import sha256_json
from critical_weights.scoring.launch import _threads
from scoring_inputs import write_inputs
from script_call import SCRIPTS, call_script


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("script_score", SCRIPTS / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_score_plans_for_the_longest_text_of_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def refuse(_: str, __: object, lengths: list[int], *___: object, **____: object) -> None:
        seen.append((sum(lengths), max(lengths, default=0)))
        raise ModelError("enough")

    @contextmanager
    def two(device: torch.device) -> Iterator[tuple[SimpleNamespace, torch.device]]:
        yield SimpleNamespace(count=2, leads=True, agree=lambda value: value), device

    given = write_inputs(tmp_path, "llama")
    texts = [[1] * n for n in (9, 5, 5)]
    monkeypatch.setattr("critical_weights.scoring.memory_plan.plan_memory", refuse)
    monkeypatch.setattr("critical_weights.scoring.processes.together", two)
    file = tmp_path / "tokens.json"
    changed = {"calibration": texts, "calibration_sha256": sha256_json(texts)}
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    assert call_script("score", *given, f"--output-dir={tmp_path / 'scores'}") == 1
    assert seen == [(10, 9)]


@pytest.mark.parametrize("system, unit", [("linux", 1024), ("darwin", 1)])
def test_peak_memory_is_in_bytes_on_every_system(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    monkeypatch.setattr(script.sys, "platform", system)
    monkeypatch.setattr(script.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=7))
    assert script.peak_memory() == 7 * unit


def test_a_gpu_that_is_not_the_current_one_is_told_of(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 10 + torch.device(device or 0).index)
    assert script.device_figures(torch.device("cuda:1")) == {"device": "GPU cuda:1", "peak_device_memory_bytes": 11}
    assert script.device_figures(torch.device("cpu")) == {"device": "cpu"}


@pytest.mark.parametrize(
    "given, threads", [("8", 8), ("4,2", 4), (" 3 ,1", 3), ("", None), ("many", None), ("-2", None), (None, None)]
)
def test_threads_are_those_of_the_outer_level(
    monkeypatch: pytest.MonkeyPatch, given: str | None, threads: int | None
) -> None:
    """OpenMP allows a list, one number a level of nesting."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert _threads() == threads or (threads is None and _threads() == os.cpu_count())
