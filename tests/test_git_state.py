"""Whether the code is a checkout is told as known only where git could tell."""

from __future__ import annotations

from typing import Any

import pytest

from critical_weights.provenance import git_state
from critical_weights.report.render import render
from critical_weights.report.tables_times import machine
from test_provenance import checkout, git

__all__ = ["checkout"]
UNKNOWN = {"checkout": None, "commit": None, "dirty": None}


@pytest.fixture(params=["missing", "refusing"])
def broken_git(request, tmp_path, monkeypatch):
    """Take git away, or put one in its place that refuses as git does for a folder of another owner."""
    folder = tmp_path / "programs"
    folder.mkdir()
    if request.param == "refusing":
        program = folder / "git"
        program.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_checkout_that_git_cannot_tell_of_is_not_known(checkout, broken_git):
    assert git_state(checkout) == UNKNOWN


def test_without_a_repository_there_is_no_checkout_whether_or_not_git_can_tell(tmp_path, broken_git):
    assert git_state(tmp_path) == {"checkout": False, "commit": None, "dirty": None}


def test_a_checkout_before_its_first_commit_is_one(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path) == {"checkout": True, "commit": None, "dirty": None}


STATES = [
    ({"checkout": True, "commit": "c0ffee", "dirty": False}, "c0ffee", "git commit `c0ffee`, without uncommitted"),
    ({"checkout": False, "commit": None, "dirty": None}, "not a git checkout", "the code was no git checkout"),
    ({"checkout": True, "commit": None, "dirty": None}, "none found", "the code was a git checkout without a commit"),
    (UNKNOWN, "not known", "the git commit of the code is not known"),
    ({"commit": None, "dirty": None}, "not known", "the git commit of the code is not known"),
]
"""What is recorded (the last: by earlier versions), what the report says and what the archive's README."""


@pytest.mark.parametrize("state, in_report, in_readme", STATES, ids=["commit", "none", "empty", "broken", "old"])
def test_what_is_not_known_of_the_code_is_told_so(state: dict[str, Any], in_report: str, in_readme: str):
    hardware = {"cores": 2, "cores_usable": 2, "cpu": None, "memory_bytes": None, "gpu": None}
    entry = {"hardware": hardware, "git": state, "versions": {}, "experiments": ["a"]}
    assert dict(machine(entry).rows)["git commit of the code"] == in_report
    code = {"git": state, "versions": {}, "experiments": 1}
    page = render("ARCHIVE_README.md.j2", {
        "archive": "a.zip", "config": None, "experiments": [], "pairs": [], "models": [], "codes": [code], "tables": [],
        "plural": lambda n, word: f"{n} {word}", "begin": "", "end": "",
    })  # fmt: skip
    assert f"1 experiment: {in_readme}" in page
