"""Each text's own gradient at single weights, and its part of position 0: against plain autograd, text by text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.falcon.modeling_falcon import FalconLinear
from transformers.pytorch_utils import Conv1D

import brute_force
from critical_weights.scoring.blockwise import BlockGradients, BlockPlan
from critical_weights.scoring.resident import ResidentGradients
from critical_weights.scoring.seam import Run
from tiny_models import EAGER, NAMES, exact_norms, tiny_model, tiny_texts

TEXTS = tiny_texts(6, 3)
WANTED = ("grad", "grad_sq", "grad_abs", "grad_sq_token")


def _matrices(model: PreTrainedModel) -> set[str]:
    return {name for name, p in model.named_parameters() if p.dim() >= 2}


ENGINES: dict[str, Callable[[PreTrainedModel], Run]] = {
    "resident": lambda model: ResidentGradients(model, TEXTS, WANTED, _matrices(model), 25, by_text=True),
    "blocks": lambda model: BlockGradients(model, TEXTS, WANTED, _matrices(model), BlockPlan(25, by_text=True)),
    "chunks": lambda model: BlockGradients(
        model, TEXTS, WANTED, _matrices(model), BlockPlan(25, chunk_rows=10, keep_logits=False, by_text=True)
    ),
}


@contextmanager
def _first_position_apart() -> Iterator[None]:
    """Have every Linear-like module and embedding use a copy of its weight that gets no gradient at position 0."""
    kinds = (nn.Linear, Conv1D, FalconLinear, nn.Embedding)
    before = [kind.forward for kind in kinds]

    def apart(forward: Callable[[nn.Module, Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
        def run(module: nn.Module, x: Tensor) -> Tensor:
            if x.dim() != (2 if isinstance(module, nn.Embedding) else 3):
                return forward(module, x)
            frozen = nn.utils.stateless._reparametrize_module(module, {"weight": module.weight.detach()})
            with frozen:
                first = forward(module, x[:, :1])
            return torch.cat([first, forward(module, x[:, 1:])], 1)

        return run

    for kind, forward in zip(kinds, before, strict=True):
        kind.forward = apart(forward)
    try:
        yield
    finally:
        for kind, forward in zip(kinds, before, strict=True):
            kind.forward = forward


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_single_weights_are_those_of_plain_autograd(name: str, engine: str) -> None:
    torch.set_num_threads(1)
    model = tiny_model(name)
    with exact_norms(model):
        whole = brute_force.text_gradients(model, TEXTS)
        with _first_position_apart():
            rest = brute_force.text_gradients(model, TEXTS)
        seen = 0
        starts: dict[str, int] = {}
        for item in ENGINES[engine](model):
            if item.texts is None:
                continue
            start = starts.get(item.name, 0)
            starts[item.name] = start + item.weight.numel()
            index = start + torch.randperm(item.weight.numel(), generator=torch.Generator().manual_seed(seen))[:40]
            got, first = item.texts.at(index)
            want = torch.stack([own[item.name].reshape(-1)[index] for own in whole], 1)
            without = torch.stack([own[item.name].reshape(-1)[index] for own in rest], 1)
            scale = max(float(own[item.name].abs().max()) for own in whole)
            tolerance = 1e-6 if name in EAGER else 1e-9
            torch.testing.assert_close(got, want, rtol=0, atol=tolerance * scale)
            torch.testing.assert_close(got - first, without, rtol=0, atol=tolerance * scale)
            for statistic, values in item.texts.statistics(got).items():
                local = index - start
                torch.testing.assert_close(
                    values, item.statistics[statistic].reshape(-1)[local], rtol=1e-6, atol=tolerance * scale
                )
            seen += 1
    assert seen >= 2 * model.config.num_hidden_layers + 1
