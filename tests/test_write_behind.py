"""Scores are written while the next tensor is computed: in order, at most one tensor late, errors told to the run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from critical_weights.errors import StoreError
from critical_weights.metrics import METRICS
from critical_weights.scoring.block_plan import BlockPlan
from critical_weights.scoring.engine import Placed
from critical_weights.scoring.family import ScoringSettings, score_family
from critical_weights.scoring.part_files import PartWriter
from critical_weights.scoring.write_behind import WriteBehind
from critical_weights.store.schema import TensorScores
from critical_weights.store.write import StoreWriter
from scoring_inputs import STORES, same_bytes
from tiny_models import tiny_model, tiny_texts


def scores(name: str) -> TensorScores:
    return TensorScores(name, 0, {}, np.zeros(1, np.int64), {})


def test_order_is_kept_in_one_other_thread() -> None:
    written: list[tuple[str, str]] = []
    threads = set()

    def sink(metric: str, tensor: TensorScores) -> None:
        threads.add(threading.get_ident())
        written.append((metric, tensor.name))

    told = [(metric, name) for name in "abcab" for metric in ("one", "two", "three")]
    with WriteBehind(sink) as behind:
        for metric, name in told:
            behind(metric, scores(name))
        behind.wait()
        assert written == told
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_one_tensor_waits_and_no_more() -> None:
    go = threading.Event()
    written: list[str] = []

    def sink(_: str, tensor: TensorScores) -> None:
        assert go.wait(60)
        written.append(tensor.name)

    with WriteBehind(sink) as behind:
        behind("one", scores("a"))
        behind("two", scores("a"))  # the same tensor: nothing is waited for
        assert written == []
        threading.Timer(0.2, go.set).start()
        behind("one", scores("b"))
        assert written[:2] == ["a", "a"]
        behind.wait()
    assert written == ["a", "a", "b"]


def test_after_an_error_nothing_more_is_written() -> None:
    written: list[str] = []

    def sink(metric: str, tensor: TensorScores) -> None:
        written.append(metric)
        if metric == "bad":
            raise StoreError("the disk is full")

    def work() -> None:
        with WriteBehind(sink) as behind:
            behind("good", scores("a"))
            behind("bad", scores("a"))
            behind("one", scores("b"))

    with pytest.raises(StoreError, match="the disk is full"):
        work()
    assert written == ["good", "bad"]
    assert not [t for t in threading.enumerate() if t.name.startswith("writing scores")]


def test_an_error_elsewhere_leaves_the_rest_unwritten() -> None:
    began, go = threading.Event(), threading.Event()
    written: list[str] = []

    def sink(metric: str, _: TensorScores) -> None:
        began.set()
        assert go.wait(60)
        written.append(metric)

    def work() -> None:
        with WriteBehind(sink) as behind:
            behind("one", scores("a"))
            behind("two", scores("a"))
            assert began.wait(60)
            threading.Timer(0.2, go.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert written == ["one"]


# The score stage

PLACEMENTS = ("resident", "blocks")


def score(folder: Path, placement: str) -> None:
    torch.set_num_threads(1)
    model = tiny_model("llama", torch.float32)
    tensors = [
        {
            "name": name, "position": place, "shape": list(p.shape), "numel": p.numel(), "analysed": p.dim() == 2,
            "layer": None, "component": name, "axes": ["row", "col"][: p.dim()], "tied_to": [], "kind": "weight",
        }
        for place, (name, p) in enumerate(model.named_parameters())
    ]  # fmt: skip
    facts: dict[str, Any] = {
        "tensors": tensors, "model": "tiny", "revision": None, "sha256": "m", "model_type": "none", "n_layers": 2,
        "analysed": {"n_weights": 0},
    }  # fmt: skip
    settings = ScoringSettings(candidates=20, dense=frozenset(METRICS))
    placed = Placed(placement, BlockPlan(30, by_text=True))
    score_family("gradient", model, facts, tiny_texts(4), settings, folder, placed)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_stores_are_those_of_writing_at_once(placement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(tmp_path / "behind", placement)
    monkeypatch.setattr(WriteBehind, "__call__", lambda self, metric, tensor: self._sink(metric, tensor))
    score(tmp_path / "at_once", placement)
    assert same_bytes(tmp_path / "behind", tmp_path / "at_once")


@pytest.mark.parametrize(
    "placement, writer", [("resident", StoreWriter), ("blocks", StoreWriter), ("blocks", PartWriter)]
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_an_error_of_the_writer_is_that_of_the_run(
    place: str, placement: str, writer: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the very last one, behind which no other tensor comes; no store is left, nor taken for whole."""
    add, calls = writer.add, []
    monkeypatch.setattr(writer, "add", lambda self, *given: (calls.append(1), add(self, *given))[1])
    score(tmp_path / "whole", placement)
    fatal, seen = (0 if place == "first" else len(calls) - 1), len(calls)

    def stumble(self: object, *given: object) -> None:
        calls.append(1)
        if len(calls) - seen - 1 == fatal:
            raise StoreError("no space left")
        add(self, *given)

    monkeypatch.setattr(writer, "add", stumble)
    with pytest.raises(StoreError, match="no space left"):
        score(tmp_path / "full", placement)
    assert not list((tmp_path / "full").glob("*.h5"))
    monkeypatch.setattr(writer, "add", add)
    score(tmp_path / "full", placement)
    assert sorted(p.name for p in (tmp_path / "full").iterdir()) == sorted(STORES)
    assert same_bytes(tmp_path / "full", tmp_path / "whole")
