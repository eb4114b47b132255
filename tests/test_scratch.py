"""Blocks' inputs on a disk of the machine's own: same stores, nothing left there, runs apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from critical_weights.scoring import blockwise
from critical_weights.scoring.kept_folders import SCRATCH, inputs_folder
from critical_weights.scoring.shelf import Shelf
from scoring_inputs import same_bytes, write_inputs
from script_call import call_script


def test_runs_and_processes_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inputs_folder(tmp_path, "gradient", 0).parent == tmp_path / ".unfinished"
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    drawn = [(tmp_path / run, family, rank) for run in "ab" for family in ("gradient", "forward") for rank in (0, 1)]
    folders = {inputs_folder(*one) for one in drawn}
    assert len(folders) == 8
    assert {folder.parent for folder in folders} == {tmp_path / "scratch"}


def test_stores_are_the_same_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def shelf(place: str, device: object, folder: Path) -> Shelf:
        used.append(folder)
        return Shelf("disk", device, folder)

    given = [*write_inputs(tmp_path, "llama"), "--placement=blocks"]
    assert call_script("score", *given, f"--output-dir={tmp_path / 'plain'}") == 0
    monkeypatch.setattr(blockwise, "Shelf", shelf)
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    assert call_script("score", *given, f"--output-dir={tmp_path / 'apart'}") == 0
    assert same_bytes(tmp_path / "plain", tmp_path / "apart")
    assert {folder.parent for folder in used} == {tmp_path / "scratch"}
    assert list((tmp_path / "scratch").iterdir()) == []
