"""A small study through ``profiles/slurm`` on a real Slurm, brought up on this machine; the bytes of a local run.

Skipped with the reason where Slurm cannot be had; ``.ci/run`` installs it. Afterwards it is taken down. The default
study in its place: ``SLURM_STUDY=default``.
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
ENVIRONMENT.pop("OMP_NUM_THREADS", None)  # how many threads a job has, its cores say
DEFAULT = os.environ.get("SLURM_STUDY") == "default"
# Every kind of job, in little: local, with a GPU's resources, grouped.
TARGETS = ("all",) if DEFAULT else ("results/a/tiny/gradxw_perlayer_k5",)
CORES = 2
ARCHIVE = "results/archive/critical_weight_analysis_complete.zip"
# As on a cluster, but for the cores of one small machine, and with looks at the queue soon after another.
ON_SLURM = ("--workflow-profile", str(ROOT / "profiles" / "slurm"), "--cores", str(CORES),
            "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")  # fmt: skip

FAULTS = pytest.mark.skipif("FAULTS" not in os.environ, reason="make faults runs it")

pytestmark = pytest.mark.timeout(7200 if DEFAULT else 900)


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


def results(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "results").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def call(*words: str) -> list[str]:
    own = () if DEFAULT else ("--configfile", "own.yaml")
    return [sys.executable, "-m", "snakemake", *words, *own, "--snakefile", str(ROOT / "Snakefile")]


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(call(*words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-8000:]
    return done.stdout + done.stderr


def test_study_on_slurm_has_the_bytes_of_a_local_run(slurm: None, tmp_path: Path) -> None:
    for name in ("slurm", "local"):
        write_study(tmp_path / name)
    started = time.monotonic()
    said = run(tmp_path / "slurm", *TARGETS, *ON_SLURM)
    seconds = time.monotonic() - started
    jobs = len(re.findall(r"has been submitted with SLURM jobid", said))
    steps = int(re.findall(r"of (\d+) steps \(100%\) done", said)[-1])
    print(f"{steps} jobs in {jobs} Slurm jobs, {seconds:.0f} s")
    assert "group_rankings" in said, "small jobs go together"
    assert 4 <= jobs < 0.6 * steps
    run(tmp_path / "local", *TARGETS, "--cores", str(CORES))
    one, other = (results(tmp_path / name) for name in ("slurm", "local"))
    assert one.keys() == other.keys()
    differ = {name for name in one if one[name] != other[name]}
    assert [name for name in one if name.endswith(".h5")]
    if DEFAULT:  # the command knows what may differ in a report
        differ = {name for name in differ if name.endswith(".h5")}
        archives = [tmp_path / name / ARCHIVE for name in ("slurm", "local")]
        script = ROOT / "workflow" / "scripts" / "archive.py"
        done = subprocess.run([sys.executable, script, "compare", *archives], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name in differ if not name.endswith("experiment_manifest.json")} == set()


@FAULTS
def test_cancelled_job_is_tried_again(slurm: None, tmp_path: Path) -> None:
    write_study(tmp_path)
    target = "results/a/tiny/scores/mag.h5"
    process = subprocess.Popen(
        call(target, *ON_SLURM), cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
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


@FAULTS
def test_memory_grows_with_each_try(slurm: None, tmp_path: Path) -> None:
    """A job that is killed as one is that takes too much memory (exit status 137) asks for more the next time."""
    (tmp_path / "Snakefile").write_text(
        "rule a:\n    output: 'a.txt'\n    resources: mem_mb=lambda wildcards, attempt: 500 * attempt\n"
        "    shell: 'if [ {resources.mem_mb} -lt 600 ]; then kill -9 $$; fi; echo {resources.mem_mb} > {output}'\n",
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
