"""A few texts scored twice before the hours: what is equal passes, what is not is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from critical_weights.scoring import resident
from critical_weights.scoring.batches import Batch
from critical_weights.scoring.blockwise import BlockPlan
from critical_weights.scoring.engine import Placed
from critical_weights.scoring.rehearsal import _difference, rehearse
from tiny_models import NAMES, exact_norms, tiny_model, tiny_texts

TEXTS = tiny_texts(7, 0)


def _rehearse(name: str, placement: str, dtype: torch.dtype = torch.float64) -> dict[str, object]:
    torch.set_num_threads(1)
    model = tiny_model(name, dtype, num_hidden_layers=3)
    analysed = {n for n, p in model.named_parameters() if p.dim() >= 2}
    placed = Placed(placement, BlockPlan(64, chunk_rows=None if placement == "resident" else 10))
    names = [n for n, _ in model.named_parameters()]
    with exact_norms(model):
        found = rehearse("gradient", model, TEXTS, analysed, placed)
    assert [n for n, _ in model.named_parameters()] == names
    assert model.config.num_hidden_layers == 3
    return found


@pytest.mark.parametrize("placement", ["resident", "blocks"])
@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_passes(name: str, placement: str) -> None:
    found = _rehearse(name, placement)
    assert found["status"] == "passed"
    assert found["differing"] == 0
    assert found["packing_error"] < 1e-6
    assert (found["texts"], found["tensors"]) == (3, 8)


def test_bfloat16_passes() -> None:
    assert _rehearse("llama", "blocks", torch.bfloat16)["status"] == "passed"


def test_a_run_that_differs_from_the_one_before_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Iterator[float] = iter(
        1 + torch.rand(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1e-12
    )
    plain = resident.batch_loss
    monkeypatch.setattr(resident, "batch_loss", lambda logits, batch: plain(logits, batch) * float(next(drawn)))
    found = _rehearse("llama", "resident")
    assert found["status"] == "failed"
    assert found["differing"] > 0
    assert found["packing_error"] < 1e-6


def test_a_packing_that_matters_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_last(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        width = min(batch.lengths)
        lengths = (width,) * len(batch.lengths)
        return plain(logits[:, :width], Batch(batch.ids[:, :width], lengths, batch.places))

    plain = resident.batch_loss
    monkeypatch.setattr(resident, "batch_loss", without_last)
    found = _rehearse("llama", "resident")
    assert found["status"] == "failed"
    assert found["differing"] == 0
    assert found["packing_error"] > found["tolerance"]


def test_what_it_is_not_for_is_not_called_passed() -> None:
    model = tiny_model("llama")
    for family, texts in (("static", TEXTS), ("forward", TEXTS), ("gradient", TEXTS[:1])):
        found = rehearse(family, model, texts, set(), Placed())
        assert found["status"] == "not applicable"
        assert found["reason"]


def test_difference_is_relative_and_of_zeros_from_zeros_none() -> None:
    zeros, ones = torch.zeros(4), torch.ones(4)
    assert (_difference(zeros, zeros), _difference(zeros, ones), _difference(2 * ones, ones)) == (0, 1, 0.5)
