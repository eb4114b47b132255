"""What a study's end would refuse is told at its start: more experiments than a command line holds, odd names."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from critical_weights.archive.config import WORD_BYTES, study_errors
from critical_weights.metrics import METRICS_BY_PATH
from critical_weights.names import parse_experiment
from forked_snakemake import run_snakemake
from stage_jobs import CONFIG, ROOT, write_study

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
LIMIT = os.sysconf("SC_PAGE_SIZE") * 32


def runs(*paths):
    return [parse_experiment(path, [path.split("/")[0]], [path.split("/")[1]]) for path in paths]


def many(count, phase="a"):
    metrics = list(METRICS_BY_PATH)
    return [f"{phase}/tiny/{metrics[i % 9]}_perlayer_k{i // 9 + 1}" for i in range(count)]


def word(paths):
    return ",".join(paths)


def snakemake(folder, experiments, *words):
    config = CONFIG | {"experiments": experiments}
    config["phases"] = dict.fromkeys({path.split("/")[0] for path in experiments}, CONFIG["phases"]["a"])
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    return run_snakemake(folder, *words, "-n", "--snakefile", ROOT / "Snakefile", "--configfile", "own.yaml")


def test_the_limit_is_that_of_the_system():
    assert WORD_BYTES < LIMIT, "a word ends with a zero byte"
    command = [sys.executable, "-c", "import sys; print(len(sys.argv[1]))"]
    done = subprocess.run([*command, "x" * WORD_BYTES], capture_output=True, text=True, check=True)
    assert int(done.stdout) == WORD_BYTES
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run([*command, "x" * LIMIT], check=False)


def test_as_many_experiments_as_a_command_line_holds_have_no_fault():
    paths = many(6000)
    while len(word(paths)) > WORD_BYTES:
        paths.pop()
    assert len(paths) > 4000
    assert study_errors(runs(*paths), "{}") == []
    (error,) = study_errors(runs(*paths, "a/tiny/mag_global_k123456789"), "{}")
    assert f"{len(paths) + 1:,} experiments are more than a command line takes" in str(error)
    assert f"expected {WORD_BYTES:,} bytes of names at most" in str(error)
    assert "Split them over several configs" in str(error)


def test_settings_count_by_their_bytes():
    assert study_errors(runs("a/tiny/mag_global_k1"), "x" * WORD_BYTES) == []
    (error,) = study_errors(runs("a/tiny/mag_global_k1"), "\u00e9" * (WORD_BYTES // 2 + 1))
    assert str(error).startswith("the settings of the study are more than a command line takes; got 131,072 bytes")


@pytest.mark.parametrize(
    "path, told",
    [
        ("con/tiny/mag_global_k1", "con/tiny/mag_global_k1 has the name con, which is a device on Windows"),
        ("p./tiny/mag_global_k1", "has a name that ends in a dot or a space"),
        ("readme.md/tiny/mag_global_k1", "lies in a folder that is a file too, README.md"),
    ],
)
def test_names_that_no_archive_can_hold_are_told(path, told):
    (error,) = study_errors(runs(path, "a/tiny/mag_global_k1"), "{}")
    assert told in str(error)


def test_nothing_configured_is_no_fault_here():
    assert study_errors([], "{}") == []


@pytest.mark.parametrize(
    "experiments, told",
    [(many(6000), "6,000 experiments are more than"), (many(2, phase="aux"), "has the name aux, which is a device")],
    ids=["many", "name"],
)
def test_the_workflow_stops_at_its_start_with_one_line(tmp_path, experiments, told):
    write_study(tmp_path)
    started = time.monotonic()
    done = snakemake(tmp_path, experiments, "all")
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert told in line
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 60


def test_the_longest_words_reach_the_scripts(tmp_path):
    """As the rules call them: a shell that is given its command by a file, as Snakemake gives one that is so long."""
    paths = many(6000)
    while len(word(paths)) > WORD_BYTES:
        paths.pop()
    for script, words in (("archive", "make --settings '{}' --output-dir out"), ("report_study", "--output-dir out")):
        (tmp_path / "script.sh").write_text(
            f"{sys.executable} {SCRIPTS / f'{script}.py'} {words} --experiments {word(paths)} --root {tmp_path}\n"
        )
        done = subprocess.run(["bash", tmp_path / "script.sh"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert "tiny" in done.stderr
        assert "too long" not in done.stderr
