"""Whatever happens to a stage, it says so plainly, and a rerun gives the same bytes.

Killed, interrupted, out of disk or memory, read-only results, damaged inputs: every stage of the workflow, since a dry
run tells the jobs; that takes minutes, so ``make faults`` asks for it, and ``make test`` harms a few stages only.
Scoring that goes on where it was is in ``test_resume.py``, processes that die in ``test_processes.py``.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stage_jobs import ROOT, planned_jobs, write_study

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
RUN = "results/a/tiny/mag_global_k9"

pytestmark = pytest.mark.timeout(1800)
EVERY = pytest.mark.skipif(
    "FAULTS" not in os.environ, reason="every stage is harmed in turn: minutes; make faults runs it"
)
FEW = ("calibrate", "score_gradient", "rank")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's inputs and its jobs; nothing is made yet."""
    folder = tmp_path_factory.mktemp("planned")
    write_study(folder)
    (folder / "jobs.pickle").write_bytes(pickle.dumps(planned_jobs(folder)))
    shutil.rmtree(folder / ".snakemake", ignore_errors=True)
    return folder


def harmed(planned: Path, folder: Path, *harms: str, rules: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return what happened to a job of each rule, or of these, under these kinds of harm.

    Where ``FAULT_CASES`` names a file, they are added to it, for ``fault_table.py``.
    """
    shutil.copytree(planned, folder, dirs_exist_ok=True)
    environment = ENVIRONMENT | {"SAID": f"{folder.parent / folder.name}-said.txt"}
    done = subprocess.run(
        [sys.executable, HERE / "fault_runs.py", folder, "0", ",".join(harms), *rules],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    print(Counter((case["harm"], case["status"]) for case in cases))
    told = {case["rule"] for case in cases}
    assert told == set(rules) if rules else len(told) >= 20
    if "FAULT_CASES" in os.environ:
        with open(os.environ["FAULT_CASES"], "a", encoding="utf-8") as file:
            file.write(done.stdout)
    return cases


def test_a_few_stages_harmed_in_every_way(planned: Path, tmp_path: Path) -> None:
    cases = harmed(planned, tmp_path / "study", "kills", "interrupts", "damages", "memory", rules=FEW)
    survived([case for case in cases if case["harm"] == "kill"], -signal.SIGKILL, 0)
    survived([case for case in cases if case["harm"] == "interrupt"], 130, -signal.SIGINT, 0)
    survived([case for case in cases if case["harm"] not in ("kill", "interrupt")], 0, 1)
    assert all(case["whole"] for case in cases if case["harm"] == "kill")
    assert len([case for case in cases if case["status"] == 1]) >= 8


def survived(cases: list[dict[str, Any]], *statuses: int) -> None:
    """Check that each case ended with one of these statuses and a plain message, and a rerun with the same bytes."""
    for case in cases:
        assert case["status"] in statuses, case
        assert "Traceback" not in case["said"], case
        assert "internal error" not in case["said"], case
        assert case["again"] == 0, case
        assert case["same"], case
        assert case["left"] == [], case
        if case["status"] == 1:
            assert len(re.findall(r"^\[.*\] error: ", case["said"], re.MULTILINE)) == 1, case


@EVERY
def test_killed_at_random_moments(planned: Path, tmp_path: Path) -> None:
    cases = harmed(planned, tmp_path / "study", "kills")
    survived(cases, -signal.SIGKILL, 0)
    assert all(case["whole"] for case in cases), "no output is ever half-written"
    assert len([case for case in cases if case["status"]]) >= 50


@EVERY
def test_interrupted(planned: Path, tmp_path: Path) -> None:
    cases = harmed(planned, tmp_path / "study", "interrupts")
    survived(cases, 130, -signal.SIGINT, 0)
    assert len([case for case in cases if case["status"]]) >= 10


@EVERY
def test_damaged_inputs(planned: Path, tmp_path: Path) -> None:
    cases = harmed(planned, tmp_path / "study", "damages")
    survived(cases, 0, 1)
    for case in cases:
        assert case["left_by"] == [], case
        if case["status"]:
            assert not case["made"], case
        # A text is a text at any length; the rest tells. A flipped bit may give another valid value.
        if case["harm"] in ("empty", "truncated") and not case["file"].endswith(".txt") and case["rule"] not in TAKEN:
            assert case["status"] == 1, case


TAKEN = ("manifest", "archive", "study_report")
"""They take files as they are, for a list or a hash of them: what they hold is read by the stages before."""


@EVERY
def test_out_of_memory(planned: Path, tmp_path: Path) -> None:
    """The address space is limited; a stage that has all libraries at hand may get by."""
    cases = harmed(planned, tmp_path / "study", "memory")
    survived(cases, 0, 1)
    assert [case for case in cases if "out of memory" in case["said"]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not (sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount")):
        pytest.skip("a file system of its own needs root on Linux")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@EVERY
def test_full_disk(planned: Path, small_disk: Path) -> None:
    """A stage whose files are small may find room: its old log is made anew."""
    cases = harmed(planned, small_disk, "disk")
    survived(cases, 0, 1)
    assert len([case for case in cases if case["status"] == 1]) >= len(cases) - 2
    for case in cases:
        assert not case["made"], case
        assert case["status"] == 0 or "o space left" in case["said"], case


@EVERY
def test_read_only_results(planned: Path, small_disk: Path) -> None:
    cases = harmed(planned, small_disk, "readonly")
    survived(cases, 1)
    for case in cases:
        assert "ead-only file system" in case["said"], case


# Snakemake itself


def snakemake(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *words, "--cores", "1", "--configfile", "own.yaml",
            "--snakefile", str(ROOT / "Snakefile")]  # fmt: skip


def started(folder: Path, until: str) -> subprocess.Popen[str]:
    """Start the run in a process group of its own and return when it says something."""
    process = subprocess.Popen(
        snakemake(folder, RUN), cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored by what a shell runs with &
    )  # fmt: skip
    for line in process.stderr:
        if until in line:
            return process
    raise AssertionError(f"it ended without '{until}'")


def finished(folder: Path) -> dict[str, bytes]:
    """Run to the end and return the results, but for what holds times."""
    done = subprocess.run(snakemake(folder, RUN), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = [path for path in (folder / "results").rglob("*") if path.is_file()]
    assert not [path for path in files if path.name.startswith(".")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name != "experiment_manifest.json"}


@pytest.fixture(scope="module")
def undisturbed(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    shutil.copytree(planned, folder)
    return finished(folder)


@EVERY
def test_second_call_is_told_of_the_first_and_harms_nothing(
    planned: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(planned, folder)
    first = started(folder, "rule ")
    second = subprocess.run(snakemake(folder, RUN), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    said = second.stdout + second.stderr
    assert second.returncode == 1
    assert "cannot be locked" in said
    assert "--unlock" in said
    assert "Traceback" not in said
    first.stderr.read()
    first.stderr.close()
    assert first.wait() == 0
    assert finished(folder) == undisturbed


@EVERY
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_by_hand_goes_on(
    planned: Path, tmp_path: Path, undisturbed: dict[str, bytes], how: signal.Signals
) -> None:
    """Ctrl-C reaches the whole group of processes, as does the end of a session."""
    folder = tmp_path / "study"
    shutil.copytree(planned, folder)
    process = started(folder, "rule score_static")
    time.sleep(1.0)
    os.killpg(process.pid, how)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() != 0
    assert "Traceback" not in said
    if how is signal.SIGKILL:
        subprocess.run(snakemake(folder, "--unlock"), cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
    assert finished(folder) == undisturbed


@EVERY
@pytest.mark.parametrize("days", [-400, 400])
def test_clock_that_went_wrong(planned: Path, tmp_path: Path, undisturbed: dict[str, bytes], days: int) -> None:
    """Half of the results are dated long before or after the rest: what is made again comes out the same.

    Snakemake refuses to write a result that would be older than what it is made of, and says so.
    """
    folder = tmp_path / "study"
    shutil.copytree(planned, folder)
    finished(folder)
    then = time.time() + days * 86400
    results = sorted(path for path in (folder / "results").rglob("*") if path.is_file())
    for path in results[::2]:
        os.utime(path, (then, then))
    assert finished(folder) == undisturbed
    (folder / RUN / "top_weights.csv").unlink()
    if days > 0:
        done = subprocess.run(snakemake(folder, RUN), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 1
        assert "This could indicate a clock skew problem" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        for path in results:
            path.unlink(missing_ok=True) if path.name == "top_weights.csv" else os.utime(path)
    assert finished(folder) == undisturbed
