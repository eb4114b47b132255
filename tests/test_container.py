"""The container recipe takes what is there, with the locked versions; nothing here builds it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = (ROOT / "envs" / "Dockerfile").read_text(encoding="utf-8")


def copied() -> list[str]:
    """Return what the recipe copies from the checkout."""
    return [word for line in re.findall(r"^COPY (.+) \S+$", RECIPE, re.MULTILINE) for word in line.split()]


def test_what_is_copied_is_part_of_the_checkout() -> None:
    assert {"requirements.lock", "pyproject.toml", "Snakefile", "workflow", "config"} <= set(copied())
    for name in copied():
        known = subprocess.run(["git", "ls-files", "--", name], cwd=ROOT, capture_output=True, text=True, check=True)
        assert known.stdout, f"{name} is not in the repository"


def test_what_the_installation_reads_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= set(copied())


def test_versions_are_the_locked_ones() -> None:
    """All that is installed comes from the lock; what builds the package too, since nothing else is fetched for it."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    installs = re.findall(r"pip install (.*)", RECIPE)
    assert [words.split()[-2:] for words in installs] == [["--requirement", "requirements.lock"], ["--editable", "."]]
    assert {"--no-deps", "--no-build-isolation"} <= set(installs[1].split())
    assert re.search(r"^setuptools==", lock, re.MULTILINE)
    minor = re.search(r"^FROM python:3\.(\d+)-", RECIPE, re.MULTILINE)
    least, most = re.search(r"Python 3\.(\d+) to 3\.(\d+)", lock).groups()
    assert int(least) <= int(minor[1]) <= int(most)
