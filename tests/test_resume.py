"""Scoring that is killed goes on behind its last finished block, and ends with the same bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from critical_weights.metrics import METRICS
from critical_weights.scoring import family as family_module
from critical_weights.scoring.blockwise import BlockPlan
from critical_weights.scoring.engine import Placed
from critical_weights.scoring.family import ScoringSettings, score_family
from critical_weights.scoring.kept_parts import KeptParts, Stopped
from critical_weights.scoring.part_files import is_whole, read_state, write_state
from critical_weights.scoring.weights import StreamedWeights, empty_model
from scoring_inputs import same_bytes, write_inputs
from tiny_models import NAMES

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "workflow" / "scripts" / "score.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# Killed for good, in processes of their own


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name, family, placement, seed",
    [("llama", "gradient", "streamed", 1), ("qwen2", "gradient", "blocks", 2), ("qwen2", "curvature", "blocks", 3)],
)
def test_killed_at_any_moment_ends_with_the_same_stores(
    name: str, family: str, placement: str, seed: int, tmp_path: Path
) -> None:
    """Six kills each, several of them in one run."""
    given = [*write_inputs(tmp_path, name, family=family, num_hidden_layers=3), f"--placement={placement}"]
    command = [sys.executable, HERE / "killed_runs.py", tmp_path, "6", str(seed), *given]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert (lines[0][:2], lines[-1][:2]) == (["undisturbed", "0"], ["ended", "0"])
    killed = [int(parts) for _, status, parts, _ in lines[1:-1] if status == "-9"]
    assert len(killed) >= 5
    assert len(set(killed)) >= 2, "kills before, between and after parts"
    assert re.search(r"going on after \d of 3 blocks", done.stderr)
    assert same_bytes(tmp_path / "undisturbed", tmp_path / "killed", family)


def test_sigterm_lets_the_block_end_and_the_next_run_goes_on(tmp_path: Path) -> None:
    given = [*write_inputs(tmp_path, "llama", num_hidden_layers=3), "--placement=blocks"]
    command = [sys.executable, SCRIPT, *given, f"--output-dir={tmp_path / 'scores'}"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "scores").glob(".unfinished/gradient/settings.json")):  # scoring has begun
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert re.search(r"stopped after \d parts?, .*kept", said.splitlines()[-1])
    assert "Traceback" not in said
    assert not list((tmp_path / "scores").glob("*.h5"))
    again = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on after" in again.stderr
    subprocess.run([*command[:-1], f"--output-dir={tmp_path / 'other'}"], env=ENVIRONMENT, check=True)
    assert same_bytes(tmp_path / "scores", tmp_path / "other")


# Stopped after each part, in this process: every architecture

Score = Callable[..., None]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            write_inputs(made[name], name, include_1d=True)  # the final norm's sums are carried from part to part
        return made[name]

    return folder


class _Always:
    """In the place of the signal: asks to stop after every part."""

    def __enter__(self) -> _Always:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self) -> bool:
        return True


def score(
    inputs: Path,
    output: Path,
    plan: BlockPlan,
    *,
    family: str = "gradient",
    candidates: int = 30,
    dense: frozenset[str] = frozenset(METRICS),
    probes: int = 3,
) -> None:
    read = {word: json.loads((inputs / f"{word}.json").read_text()) for word in ("facts", "tokens")}
    cpu = torch.device("cpu")
    model = empty_model(inputs / "model", torch.float32)
    placed = Placed("streamed", plan, StreamedWeights(model, inputs / "model", cpu), cpu)
    settings = ScoringSettings(candidates=candidates, dense=dense, probes=probes)
    texts = read["tokens"]["calibration"]
    score_family(family, model, read["facts"], texts, settings, output, placed, stoppable=True)


CHUNKS = BlockPlan(30, chunk_rows=70, keep_logits=False)


@pytest.mark.parametrize(
    "name, family",
    [*((name, "gradient") for name in NAMES),
     *((name, "curvature") for name in ("llama", "llama_tied", "gpt2", "mixtral", "gemma2", "opt"))],
)  # fmt: skip
def test_part_by_part_gives_the_same_stores(
    name: str, family: str, inputs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(inputs(name), tmp_path / "whole", CHUNKS, family=family)
    monkeypatch.setattr(family_module, "TermSignal", _Always)
    for parts in range(1, 5):  # the head, two blocks, and what is outside
        with pytest.raises(Stopped):
            score(inputs(name), tmp_path / "parts", CHUNKS, family=family)
        assert len(list((tmp_path / "parts").glob(f".unfinished/{family}/part_*"))) == parts
        assert len(list((tmp_path / "parts").glob(f".unfinished/{family}/state_*"))) == 1, "of the newest part only"
    score(inputs(name), tmp_path / "parts", CHUNKS, family=family)
    assert same_bytes(tmp_path / "whole", tmp_path / "parts", family)


def stopped_after(inputs: Path, output: Path, parts: int) -> Path:
    """Score until so many parts are kept; return their folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family_module, "TermSignal", _Always)
        for _ in range(parts):
            with pytest.raises(Stopped):
                score(inputs, output, CHUNKS)
    return output / ".unfinished" / "gradient"


@pytest.fixture(scope="module")
def fresh(inputs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores of an undisturbed run, to be compared with only."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fresh") / "s"
    score(inputs("llama"), folder, CHUNKS)
    return folder


@pytest.fixture(scope="module")
def stopped(inputs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after two parts, to be copied."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("stopped") / "s"
    stopped_after(inputs("llama"), folder, 2)
    return folder


def test_a_run_that_ends_leaves_the_stores_alone(inputs: Callable[[str], Path], tmp_path: Path) -> None:
    score(inputs("llama"), tmp_path / "s", CHUNKS)
    assert {path.suffix for path in (tmp_path / "s").iterdir()} == {".h5"}


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"candidates": 31}, "candidates"),
        ({"dense": frozenset()}, "dense"),
        ({"probes": 4}, "probes"),
        ({"plan": BlockPlan(31, chunk_rows=70, keep_logits=False)}, "memory plan"),
    ],
)
def test_parts_of_other_settings_are_discarded_with_the_reason(
    change: dict,
    reason: str,
    inputs: Callable[[str], Path],
    stopped: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(stopped, tmp_path / "s")
    given = {"plan": CHUNKS} | change
    with caplog.at_level("INFO", "critical_weights"):
        score(inputs("llama"), tmp_path / "s", **given)
    words = "kept parts of an earlier run are discarded: they were made with other settings"
    assert f"{words} ({reason})" in caplog.messages
    assert not [m for m in caplog.messages if "going on" in m]
    score(inputs("llama"), tmp_path / "fresh", **given)
    assert same_bytes(tmp_path / "s", tmp_path / "fresh")


def test_other_texts_are_other_settings(
    inputs: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = stopped_after(inputs("llama"), tmp_path / "s", 1)
    settings = json.loads((kept / "settings.json").read_text())
    (kept / "settings.json").write_text(json.dumps(settings | {"texts": "others", "processes": 2}))
    with caplog.at_level("INFO", "critical_weights"):
        score(inputs("llama"), tmp_path / "s", CHUNKS)
    assert [m for m in caplog.messages if m.endswith("other settings (processes, texts)")]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("which", ["part_0001.zip", "part_0002.zip", "state_0002_0.zip"])
def test_damage_is_never_taken_for_whole(
    damage: Callable[[Path], None],
    which: str,
    inputs: Callable[[str], Path],
    stopped: Path,
    fresh: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(shutil.copytree(stopped, tmp_path / "s") / ".unfinished" / "gradient" / which)
    with caplog.at_level("INFO", "critical_weights"):
        score(inputs("llama"), tmp_path / "s", CHUNKS)
    assert [m for m in caplog.messages if "are discarded" in m and m.endswith("is missing or damaged")]
    assert same_bytes(tmp_path / "s", fresh)


def test_unlisted_files_of_a_killed_run_are_cleared_away(inputs: Callable[[str], Path], tmp_path: Path) -> None:
    kept = stopped_after(inputs("llama"), tmp_path / "s", 2)
    for name in ("open.zip", "state_0003_0.zip", "state_0001_0.zip", ".gradxw.h5.abc.part"):
        (kept / name).write_bytes(b"begun")
    parts = KeptParts(kept, json.loads((kept / "settings.json").read_text()))
    assert parts.finished == 2
    names = sorted(path.name for path in kept.iterdir())
    assert names == ["part_0001.zip", "part_0002.zip", "settings.json", "state_0002_0.zip"]


# The files


def test_a_state_comes_back_bit_by_bit_in_every_dtype(tmp_path: Path) -> None:
    wide = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tensors = {str(d): wide.to(d) for d in (torch.float64, torch.float32, torch.bfloat16, torch.float16)}
    tensors |= {"a view": wide.T, "none": wide[:0], "one": wide.sum()}
    write_state(tmp_path / "s.zip", {"loss": 0.1 + 0.2}, tensors)
    facts, found = read_state(tmp_path / "s.zip")
    assert facts == {"loss": 0.1 + 0.2}
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_every_cut_of_a_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    write_state(path, {"a": 1}, {"t": torch.arange(40.0)})
    assert is_whole(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert not is_whole(path), length
