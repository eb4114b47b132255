"""The scripts' common frame: one line for a mistake, a traceback only in the log; and the model stages from a shell."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.files import read_json
from critical_weights.log import logger
from critical_weights.store.read import open_store
from script_call import SCRIPTS, call_script
from tiny_models import SENTENCES, save_tiny_folder


def _stage(main: Callable[[], None], *argv: str) -> int:
    return run_stage("rank", argparse.ArgumentParser(), lambda _: main(), list(argv))


def _raise(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        logger("test").info("working")
        raise error

    return main


def test_lines_have_the_stage_and_label_at_their_head_on_screen_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "a.log"
    done = _stage(lambda: logger("x").info("three é"), "--log", str(log), "--label", "p2/gpt2")
    out, err = capsys.readouterr()
    assert (done, out, err) == (0, "", "[rank p2/gpt2] three é\n")
    assert log.read_text(encoding="utf-8") == err
    assert _stage(lambda: None, "--log", str(log)) == 0
    assert log.read_text() == "", "a log is of one run"


def test_nothing_is_logged_once_the_stage_has_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _stage(lambda: None, "--log", str(tmp_path / "a.log"))
    assert logging.getLogger("critical_weights").handlers == []
    logger("x").info("later")
    assert "later" not in capsys.readouterr().err


MISTAKES = {
    "a mistake": (ConfigError("unknown k", fix="Give a k"), 1, "error: unknown k. Give a k."),
    "interrupted": (KeyboardInterrupt(), 130, "interrupted; nothing half-written was left"),
    "memory": (MemoryError(), 1, "error: out of memory. Close other programs"),
    "gpu memory": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "error: out of memory"),
    "cpu memory": (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), 1, "out of memory"),
    "disk": (OSError(errno.ENOSPC, "No space left on device", "/x/a.h5"), 1, "error: No space left on device: /x/a.h5"),
    "rights": (PermissionError(errno.EACCES, "Permission denied", "/x/a"), 1, "error: Permission denied: /x/a"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_a_user_can_mend_is_one_line_and_no_traceback(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error, status, words = MISTAKES[case]
    assert _stage(_raise(error), "--log", str(tmp_path / "a.log")) == status
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[rank] working"
    assert len(lines) == 2
    assert words in lines[1]
    assert (tmp_path / "a.log").read_text().splitlines() == lines


def test_real_memory_that_cannot_be_had_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert _stage(lambda: torch.empty(2**60)) == 1
    assert "error: out of memory" in capsys.readouterr().err


def test_a_bug_has_its_whole_traceback_in_the_log_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "a.log"
    assert _stage(_raise(KeyError("a\nb")), "--log", str(log)) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "[rank] working",
        f"[rank] internal error: KeyError: 'a\\nb'. This is a bug: please report it with the log {log}",
    ]
    kept = log.read_text().splitlines()
    assert kept[:2] == ["[rank] working", "Traceback (most recent call last):"]
    assert kept[-2:] == ["KeyError: 'a\\nb'", lines[1]]
    assert any("test_cli.py" in line for line in kept)


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_gone_is_no_bug(lines: int) -> None:
    """One line is met only as Python ends, where it was a traceback; more are met by ``print``."""
    code = f"""
import argparse, sys
from critical_weights.cli import run_stage
def main(_):
    for number in range({lines}):
        print(number)
sys.exit(run_stage("plan", argparse.ArgumentParser(), main, []))
"""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(SCRIPTS)})  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_bug_without_a_log_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _stage(_raise(RuntimeError("one\ntwo"))) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "internal error: RuntimeError: one two. This is a bug" in lines[1]
    assert "--log FILE, which keeps the traceback" in lines[1]


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert _stage(lambda: None, "--log", str(tmp_path / "file" / "a.log"), "--label", "x") == 1
    err = capsys.readouterr().err
    assert re.fullmatch(r"\[rank x\] error: cannot write the log .*a\.log: File exists\.\n", err)


def test_termination_by_a_scheduler_leaves_nothing_half_written(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    undone = []

    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            undone.append(True)

    assert _stage(main) == 130
    assert undone == [True]
    assert "interrupted; nothing half-written was left" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_what_a_library_makes_of_an_interruption_is_told_as_one(
    name: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lazy import that is interrupted says that a module is not there."""
    # What a shell runs with "&" ignores SIGINT, the tests too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def main() -> None:
        try:
            os.kill(os.getpid(), name)
        except KeyboardInterrupt as error:
            raise ModuleNotFoundError("Could not import module 'PreTrainedModel'") from error

    try:
        assert _stage(main) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    told = capsys.readouterr().err
    assert "interrupted; nothing half-written was left" in told
    assert "PreTrainedModel" not in told


def test_ctrl_c_while_libraries_are_imported_shows_no_traceback() -> None:
    """The scripts themselves only: who imports the library keeps their own handling of signals."""
    before = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    then = "import critical_weights.cli; signal.raise_signal(signal.SIGINT)"
    said = {}
    for who, words in {"stage": f"sys.argv[0] = {str(SCRIPTS / 'rank.py')!r}; ", "own": ""}.items():
        done = subprocess.run([sys.executable, "-c", before + words + then], capture_output=True, text=True)
        said[who] = (done.returncode, "Traceback" in done.stderr)
    assert said == {"stage": (-signal.SIGINT, False), "own": (-signal.SIGINT, True)}


def test_a_wrong_command_line_is_argparses_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _stage(lambda: None, "--nope")
    assert caught.value.code == 2
    assert "unrecognized arguments: --nope" in capsys.readouterr().err


# The model stages as a shell runs them


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a record, facts, calibration and tokens, made by the scripts."""
    root = tmp_path_factory.mktemp("study")
    save_tiny_folder(root / "tiny", "llama", hidden_size=8, intermediate_size=12)
    (root / "a.txt").write_text("\n".join(SENTENCES[:4]))
    (root / "b.txt").write_text("\n".join(SENTENCES[4:]))
    record, facts = root / "tiny.json", root / "p2" / "model.json"
    made = [
        call_script("fetch_model", "--model", "tiny", "--source", "local", "--path", root / "tiny", "--output", record),
        call_script("describe_model", "--record", record, "--output", facts),
        call_script(
            "calibrate", "--record", record, "--phase", "p2", "--texts", root / "a.txt",
            "--max-samples", "3", "--max-length", "9", "--seed", "1", "--output", root / "p2/tokens.json",
        ),
        call_script(
            "evaluation_texts", "--record", record, "--tokens", root / "p2/tokens.json", "--evaluation", root / "b.txt",
            "--calibration-out", root / "p2/calibration.json", "--tokens-out", root / "p2/evaluation_tokens.json",
        ),
    ]  # fmt: skip
    assert made == [0, 0, 0, 0]
    return root


def _score_arguments(study: Path, family: str, output: Path) -> list[str]:
    files = {
        "record": "tiny.json",
        "facts": "p2/model.json",
        "tokens": "p2/tokens.json",
    }
    given = [word for name, file in files.items() for word in (f"--{name}", str(study / file))]
    return ["--family", family, *given, "--output-dir", str(output), "--candidates", "9", "--device", "cpu"]


def _shell(script: str, *arguments: str, cwd: Path) -> tuple[int, str, list[str]]:
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)
    return done.returncode, done.stdout, done.stderr.splitlines()


def test_the_stages_before_scoring_write_what_the_formats_say(study: Path) -> None:
    assert read_json(study / "tiny.json")["path"] == str(study / "tiny")
    facts, calibration = read_json(study / "p2" / "model.json"), read_json(study / "p2" / "calibration.json")
    assert facts["analysed"]["n_tensors"] == 16
    assert (calibration["phase"], calibration["calibration"]["n_texts"]) == ("p2", 3)
    for file, use, texts in (("tokens.json", "calibration", 3), ("evaluation_tokens.json", "evaluation", 2)):
        text = (study / "p2" / file).read_text()
        assert text.count("\n") == 1
        assert len(json.loads(text)[use]) == texts
    for file in ("model.json", "calibration.json", "tokens.json", "evaluation_tokens.json"):
        assert str(study) not in (study / "p2" / file).read_text()


def test_score_from_a_shell(study: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "score.log"
    arguments = _score_arguments(study, "gradient", tmp_path / "scores")
    arguments += ["--timing", str(tmp_path / "t.json"), "--log", str(log), "--label", "p2/tiny"]
    status, out, err = _shell("score", *arguments, cwd=tmp_path)
    assert (status, out) == (0, "")
    assert err
    assert all(line.startswith("[score p2/tiny] ") for line in err)
    assert log.read_text().splitlines() == err
    assert "[score p2/tiny] dtype: float32 (the checkpoint's own)" in err
    assert "[score p2/tiny] self-checks: 7 passed, 0 failed, 0 not applicable" in err
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    stores = [f"scores/{name}.h5" for name in ("gradsq", "gradxw", "obd", "taylorabs")]
    assert written == ["logs/score.log", *stores, "t.json"]
    with open_store(tmp_path / "scores" / "gradsq.h5") as store:
        assert len(store.candidates("lm_head.weight")["top_index"]) == 9
        assert store.attributes["n_texts"] == 3
    timing = read_json(tmp_path / "t.json")
    assert next(iter(timing["stages"])) == "load"
    assert timing["peak_memory_bytes"] > 10**7
    assert (timing["device"], timing["family"], timing["texts"]) == ("cpu", "gradient", 3)


def test_a_mistake_from_a_shell_is_one_line_and_status_1(study: Path, tmp_path: Path) -> None:
    arguments = [a for a in _score_arguments(study, "gradient", tmp_path / "s") if not a.endswith("tokens.json")]
    arguments.remove("--tokens")
    status, out, err = _shell("score", *arguments, cwd=tmp_path)
    assert (status, out) == (1, "")
    assert err == ["[score] error: the gradient family reads texts. Give --tokens."]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change, words",
    [
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--dtype", "float31"], "unknown dtype 'float31'"),
        (["--dense", "gradsqq"], "unknown metric in scoring.dense 'gradsqq'"),
        (["--candidates", "0"], "scoring.candidates is too small"),
        (["--facts", "no.json"], "cannot read no.json: No such file"),
        (["--record", "broken.json"], "broken.json is not valid JSON"),
    ],
)
def test_mistakes_of_scoring_are_one_line(
    change: list[str], words: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    arguments = [*_score_arguments(study, "static", tmp_path / "scores"), "--log", str(tmp_path / "a.log"), *change]
    assert call_script("score", *arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in (tmp_path / "a.log").read_text()
    assert not list((tmp_path / "scores").glob("*"))


def test_scripts_can_be_asked_for_help_without_waiting_for_torch() -> None:
    """Snakemake's parsing and a wrong command line are quick; torch takes seconds."""
    code = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "for name in ('fetch_model', 'describe_model', 'calibrate', 'evaluation_texts', 'score'):\n"
        "    importlib.import_module(name).parser().format_help()\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'h5py') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
