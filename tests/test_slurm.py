"""A small study through ``profiles/slurm`` on a real Slurm, brought up on this machine; the bytes of a local run.

Skipped with the reason where Slurm cannot be had. Afterwards it is taken down.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage_jobs import ROOT, write_study

UP = Path(__file__).parent / "slurm" / "up.sh"
ENVIRONMENT = os.environ | {"PYTHONUNBUFFERED": "1"}
# As on a cluster, but for the cores of one small machine, and with looks at the queue soon after another.
ON_SLURM = ("--workflow-profile", str(ROOT / "profiles" / "slurm"), "--cores", "2",
            "--slurm-init-seconds-before-status-checks", "2")  # fmt: skip

pytestmark = [pytest.mark.xdist_group("workflow"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("the plugin is not installed: pip install snakemake-executor-plugin-slurm")
    done = subprocess.run([UP], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        subprocess.run([UP, "down"], check=True)


def call(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *words, "--configfile", "own.yaml", "--snakefile",
            str(ROOT / "Snakefile")]  # fmt: skip


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(call(folder, *words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-8000:]
    return done.stdout + done.stderr


def test_study_on_slurm_has_the_bytes_of_a_local_run(slurm: None, tmp_path: Path) -> None:
    for name in ("slurm", "local"):
        write_study(tmp_path / name)
    started = time.monotonic()
    said = run(tmp_path / "slurm", "all", *ON_SLURM)
    seconds = time.monotonic() - started
    jobs = len(re.findall(r"has been submitted with SLURM jobid", said))
    print(f"{jobs} Slurm jobs, {seconds:.0f} s")
    assert "group_rankings" in said, "small jobs go together"
    assert 10 <= jobs <= 20
    run(tmp_path / "local", "all", "--cores", "2")
    archives = [
        tmp_path / name / "results/archive/critical_weight_analysis_complete.zip" for name in ("slurm", "local")
    ]
    script = ROOT / "workflow" / "scripts" / "archive.py"
    done = subprocess.run([sys.executable, script, "compare", *archives], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for store in sorted((tmp_path / "local").glob("results/a/tiny/scores/*.h5")):
        other = tmp_path / "slurm" / store.relative_to(tmp_path / "local")
        assert store.read_bytes() == other.read_bytes(), store.name


def test_cancelled_job_is_tried_again(slurm: None, tmp_path: Path) -> None:
    write_study(tmp_path)
    target = "results/a/tiny/scores/mag.h5"
    process = subprocess.Popen(
        call(tmp_path, target, *ON_SLURM), cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    said = ""
    cancelled = False
    for line in process.stderr:
        said += line
        found = re.search(r"SLURM jobid (\d+) .*rule_score_static", line)
        if found and not cancelled:
            cancelled = True
            time.sleep(1)
            subprocess.run(["scancel", "--signal=KILL", "--full", found[1]], check=True)
    process.stderr.close()
    assert process.wait() == 0, said[-5000:]
    assert cancelled
    assert "Trying to restart job" in said
    assert (tmp_path / target).exists()


def test_memory_grows_with_each_try(slurm: None, tmp_path: Path) -> None:
    """A job that is killed as one is that takes too much memory (exit status 137) asks for more the next time."""
    write_study(tmp_path)
    (tmp_path / "Snakefile").write_text(
        "rule a:\n    output: 'a.txt'\n    resources: mem_mb=lambda wildcards, attempt: 500 * attempt\n"
        "    shell: 'env > env_{resources.mem_mb}; if [ {resources.mem_mb} -lt 600 ]; then kill -9 $$; fi;"
        " echo {resources.mem_mb} > {output}'\n",
        encoding="utf-8",
    )
    shutil.copytree(ROOT / "profiles" / "slurm", tmp_path / "profile")
    profile = tmp_path / "profile" / "profile.yaml"
    # The groups and the settings of rules name rules that are not here.
    profile.write_text(
        re.sub(r"(?m)^(set-resources|groups|group-components):\n(?:[ #].*\n|\n)*", "", profile.read_text())
    )
    words = ("a.txt", "--workflow-profile", str(tmp_path / "profile"), *ON_SLURM[2:])
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert (tmp_path / "a.txt").read_text() == "1000\n"
