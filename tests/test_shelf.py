"""Where blocks' inputs are kept: the same bits come back, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from critical_weights.scoring.block_plan import BlockPlan
from critical_weights.scoring.blockwise import BlockGradients
from critical_weights.scoring.memory_plan import plan_memory
from critical_weights.scoring.shelf import PLACES, Shelf
from tiny_models import tiny_model, tiny_texts


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_laid_down_comes_back_bit_by_bit(place: str, dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = [torch.randn(2, 3, 5).to(dtype), torch.randn(4, 6).to(dtype).T]
    with Shelf(place, torch.device("cpu"), tmp_path / "inputs") as shelf:
        taken = shelf.take(shelf.lay(tensors))
        assert all(torch.equal(a, b) for a, b in zip(tensors, taken, strict=True))
    assert not (tmp_path / "inputs").exists()


def test_nothing_is_left_after_an_error_or_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "000000.bin").write_bytes(b"of a killed run")

    def stumble() -> None:
        with Shelf("disk", torch.device("cpu"), folder) as shelf:
            assert not any(folder.iterdir())
            shelf.lay([torch.zeros(3)])
            raise KeyError

    with pytest.raises(KeyError):
        stumble()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_the_engine_gives_the_same_bits_wherever_inputs_are(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model, texts = tiny_model(name), tiny_texts(6, 1)
    names = {n for n, _ in model.named_parameters()}

    def run(place: str) -> dict[str, torch.Tensor]:
        plan = BlockPlan(30, inputs=place, scratch=tmp_path / "inputs")
        found = BlockGradients(model, texts, ("grad", "grad_sq"), names, plan)
        return {item.name: item.statistics["grad_sq"] for item in found}

    near = run("device")
    for place in ("host", "disk"):
        far = run(place)
        assert all(torch.equal(near[n], far[n]) for n in near)
        assert not (tmp_path / "inputs").exists()


def test_inputs_go_to_disk_where_memory_is_short(large_facts: dict) -> None:
    lengths, cpu = [512] * 400, torch.device("cpu")
    chosen = {
        available: plan_memory(
            "gradient", large_facts, lengths, torch.bfloat16, cpu, placement="streamed", available=available
        )
        for available in (400 << 30, 30 << 30)
    }
    assert [plan.blocks.inputs for plan in chosen.values()] == ["device", "disk"]
    far = chosen[30 << 30]
    assert "kept inputs" not in far.parts
    assert far.elsewhere == {"kept inputs on disk": chosen[400 << 30].parts["kept inputs"]}
    assert "kept inputs on disk" in far.describe()


@pytest.fixture(name="large_facts")
def _large_facts() -> dict:
    from critical_weights.compare.known_facts import known_facts

    return known_facts("llama31_8b")
