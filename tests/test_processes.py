"""Several processes that share the texts give what one gives, and one line when something goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from comparison import relative_errors
from critical_weights.errors import ConfigError
from critical_weights.scoring import launch
from critical_weights.scoring.processes import ALONE, shares
from critical_weights.store.read import ScoreStore, open_store
from process_runs import ENGINES, FAMILIES, MODELS, STATISTICS, TEXT_KINDS, TEXTS, gather
from scoring_inputs import STORES, same_bytes, write_inputs
from script_call import call_script
from tiny_models import tiny_model

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "workflow" / "scripts" / "score.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.timeout(600)


def run(*command: object, status: int = 0) -> str:
    """Run Python with these words; return what it said."""
    words = [sys.executable, *map(str, command)]
    done = subprocess.run(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr


def children(process: subprocess.Popen) -> list[int]:
    """Return the processes that a process started."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    return [int(pid) for pid in found.stdout.split()]


# Sharing


def test_shares_are_even_in_tokens_keep_order_and_lose_nothing() -> None:
    texts = [[i] * n for i, n in enumerate([9, 2, 7, 7, 3, 12, 2, 5, 5, 4])]
    for count in range(1, len(texts) + 1):
        dealt = shares(texts, count)
        assert sorted(text for own in dealt for text in own) == sorted(texts)
        assert all(own and own == sorted(own) for own in dealt)
        tokens = [sum(map(len, own)) for own in dealt]
        assert max(tokens) - min(tokens) <= max(map(len, texts))
        assert dealt == shares(texts, count)
    assert shares(texts, 1) == [texts]


def test_a_process_without_texts_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"more processes than texts; got 3 processes, 2 texts.*processes: 2 or fewer"
    ):
        shares([[1, 2], [3, 4]], 3)


# Same statistics


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict]:
    """The statistics of every model and engine by 1, 2 and 3 processes."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("processes")
    for name in MODELS:
        tiny_model(name).save_pretrained(folder / name)
    run(HERE / "process_runs.py", folder, 2, 3)
    return {1: gather(folder, ALONE)} | {n: torch.load(folder / f"{n}.pt", weights_only=True) for n in (2, 3)}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("engine", ENGINES)
def test_shared_texts_give_the_same_statistics(engine: str, name: str, count: int, gathered: dict[int, dict]) -> None:
    """Ranks differ in their tokens, batches and, for Mixtral, in the experts that their texts reach."""
    want, loss, n_texts = gathered[1][name, engine]
    got, shared_loss, shared_texts = gathered[count][name, engine]
    scale = max(own["grad"].norm() for own in want.values())
    live = [n for n, own in want.items() if own["grad"].norm() > 1e-12 * scale]
    assert set(got) == set(want)
    assert len(live) > len(want) // 2
    for statistic in STATISTICS:
        errors = relative_errors({n: got[n][statistic] for n in live}, {n: want[n][statistic] for n in live})
        assert max(errors.values()) < 1e-9, statistic
    for kind in TEXT_KINDS:
        kept = [n for n, own in want.items() if kind in own]
        assert [n for n, own in got.items() if kind in own] == kept
        assert len(kept) >= 5
        top = max(want[n][kind].abs().max() for n in kept)
        for n in kept:
            assert got[n][kind].shape == want[n][kind].shape == (len(want[n][kind]), len(TEXTS))
            torch.testing.assert_close(got[n][kind], want[n][kind], rtol=0, atol=1e-9 * float(top))
    assert shared_loss == pytest.approx(loss, rel=1e-12)
    assert shared_texts == n_texts == len(TEXTS)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("placement", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_other_families_too(family: str, placement: str, name: str, count: int, gathered: dict[int, dict]) -> None:
    want, loss, n_texts = gathered[1][name, placement, family]
    got, shared_loss, shared_texts = gathered[count][name, placement, family]
    assert set(got) == set(want)
    assert sum(len(own) for own in want.values()) >= 2 * 2 * 4
    for statistic in {s for own in want.values() for s in own}:
        sizes = {n: own[statistic].norm() for n, own in want.items() if statistic in own}
        assert {n for n, own in got.items() if statistic in own} == set(sizes)
        live = [n for n, size in sizes.items() if size > 1e-12 * max(sizes.values())]
        errors = relative_errors({n: got[n][statistic] for n in live}, {n: want[n][statistic] for n in live})
        assert max(errors.values()) < 1e-9, statistic
    assert shared_loss == pytest.approx(loss, rel=1e-12)
    assert shared_texts == n_texts == len(TEXTS)


# The script


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("inputs")
    return folder, [*write_inputs(folder, "llama", dtype=torch.float64, num_hidden_layers=8), "--placement=blocks"]


@pytest.fixture(scope="module")
def two(inputs: tuple[Path, list[str]]) -> Path:
    """The stores of two processes, undisturbed."""
    folder, given = inputs
    said = run(SCRIPT, *given, "--processes=2", f"--output-dir={folder / 'two'}", f"--timing={folder / 'two.json'}",
               f"--log={folder / 'two.log'}")  # fmt: skip
    assert said.count("forward pass") == 4, "one of them speaks, of three rehearsals and the run"
    assert said == (folder / "two.log").read_text()
    assert '"processes": 2' in (folder / "two.json").read_text()
    return folder / "two"


def test_stores_and_rankings_are_the_same(two: Path, inputs: tuple[Path, list[str]]) -> None:
    folder, given = inputs
    run(SCRIPT, *given, f"--output-dir={folder / 'one'}")
    for name in STORES:
        with open_store(folder / "one" / name) as one, open_store(two / name) as other:
            assert one.names == other.names
            assert {law["status"] for law in other.attributes["checks"]["laws"]} == {"passed"}
            for key in ("n_texts", "n_tokens", "corpus_loss"):
                assert other.attributes[key] == pytest.approx(one.attributes[key], rel=1e-9)
            for tensor in one.names:
                a, b = one.dense(tensor).astype(float), other.dense(tensor).astype(float)
                # transformers' norms compute in float32: other batches, other last bits.
                assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(a)
                np.testing.assert_array_equal(
                    one.candidates(tensor)["top_index"], other.candidates(tensor)["top_index"]
                )
                for read in (ScoreStore.text_gradient, ScoreStore.without_first):
                    a, b = read(one, tensor).astype(float), read(other, tensor).astype(float)
                    assert a.shape == b.shape
                    assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(a)


def test_killed_together_they_go_on_together(two: Path, inputs: tuple[Path, list[str]]) -> None:
    folder, given = inputs
    command = [sys.executable, str(SCRIPT), *given, "--processes=2", f"--output-dir={folder / 'killed'}"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not list((folder / "killed").glob(".unfinished/gradient/part_0002*")):
        assert process.poll() is None
        time.sleep(0.001)
    own = children(process)
    process.kill()
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in own):  # they end with the one that started them
        time.sleep(0.01)
    said = run(*command[1:])
    assert "kept by an earlier run" in said
    assert same_bytes(folder / "killed", two)


def test_terminated_together_they_end_after_a_block(two: Path, inputs: tuple[Path, list[str]]) -> None:
    folder, given = inputs
    command = [sys.executable, str(SCRIPT), *given, "--processes=2", f"--output-dir={folder / 'asked'}"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not list((folder / "asked").glob(".unfinished/gradient/part_0001*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert "kept: the same command goes on from there" in said
    run(*command[1:])
    assert same_bytes(folder / "asked", two)


def test_two_nodes_give_the_bytes_of_two_processes_on_one(
    two: Path, inputs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """As ``srun`` starts them: a torchrun on each node, which meet at the first one's port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
               "--rdzv-backend=c10d", "--rdzv-id=7", f"--rdzv-endpoint=127.0.0.1:{port}", "--local-addr=127.0.0.1",
               str(SCRIPT), *inputs[1], f"--output-dir={tmp_path}"]  # fmt: skip
    nodes = [subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [node.communicate()[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert sum("forward pass" in words for words in said) == 1, "one of them speaks"
    assert same_bytes(tmp_path, two)


# Mistakes: one line, from whichever process


@pytest.mark.parametrize(
    "words, line",
    [
        (["--processes=9"], "error: there are more processes than texts; got 9 processes, 4 texts"),
        (
            ["--processes=2", "--family=static"],
            "error: the static family reads no texts that processes could share; got 2",
        ),
        (["--processes=0"], "error: --processes is too small; got 0"),
    ],
)
def test_a_mistake_that_is_seen_before_any_is_started_is_one_line(
    words: list[str], line: str, inputs: tuple[Path, list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(launch, "run_processes", None)
    files = f"--output-dir={tmp_path}", f"--log={tmp_path / 'log'}"
    assert call_script("score", *inputs[1], *words, *files) == 1
    told_as_one_line(line, capfd.readouterr().err, tmp_path / "log")


def test_a_mistake_that_all_of_them_see_is_one_line(inputs: tuple[Path, list[str]], tmp_path: Path) -> None:
    words = ["--processes=2", "--dense=gradsquared", f"--output-dir={tmp_path}", f"--log={tmp_path / 'log'}"]
    said = run(SCRIPT, *inputs[1], *words, status=1)
    told_as_one_line("error: unknown metric in scoring.dense 'gradsquared'", said, tmp_path / "log")


def told_as_one_line(line: str, said: str, log: Path) -> None:
    told = [text for text in said.splitlines() if "error" in text]
    assert len(told) == 1, said
    assert line in told[0]
    assert "Traceback" not in said
    assert told[0] in log.read_text()


@pytest.mark.parametrize("which", [0, -1])
def test_one_that_is_killed_ends_all_with_one_line_and_they_go_on(
    which: int, two: Path, inputs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    command = [sys.executable, str(SCRIPT), *inputs[1], "--processes=2", f"--output-dir={tmp_path}"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".unfinished/gradient/part_0001*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)
    os.kill(children(process)[which], signal.SIGKILL)
    _, said = process.communicate()
    told = [text for text in said.splitlines() if "error" in text]
    assert process.returncode == 1, said
    assert len(told) == 1, said
    assert "was killed (SIGKILL). Where nobody did so, memory ran out" in told[0]
    assert "kept by an earlier run" in run(*command[1:])
    assert same_bytes(tmp_path, two)
