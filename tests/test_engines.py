"""The fast engines against the plain one: same statistics, to rounding, whatever the architecture and the packing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.falcon.modeling_falcon import FalconLinear

from comparison import relative_errors
from critical_weights.scoring.accumulate import add_linear, add_tied
from critical_weights.scoring.batches import pack
from critical_weights.scoring.blockwise import BlockGradients, BlockPlan
from critical_weights.scoring.engine import StaticRun
from critical_weights.scoring.plain import gather_plain
from critical_weights.scoring.resident import ResidentGradients
from critical_weights.scoring.seam import Run
from critical_weights.scoring.sums import Sums
from critical_weights.scoring.uses import find_uses, is_linear
from critical_weights.scoring.weights import ResidentWeights, StreamedWeights, empty_model
from tiny_models import EAGER, NAMES, exact_norms, tiny_model, tiny_texts

STATISTICS = ("grad", "grad_sq", "grad_abs", "grad_sq_token")
TEXTS = tiny_texts(7, 0)

Gathered = dict[str, dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def collect(run: Run) -> Gathered:
    """Return statistic -> tensor -> values, slabs put together."""
    slabs: dict[str, dict[str, list[Tensor]]] = {}
    for item in run:
        for statistic, values in item.statistics.items():
            slabs.setdefault(statistic, {}).setdefault(item.name, []).append(values)
    return {statistic: {name: torch.cat(v) for name, v in own.items()} for statistic, own in slabs.items()}


def every(model: PreTrainedModel) -> set[str]:
    return {name for name, _ in model.named_parameters()}


def largest_error(got: Gathered, want: Gathered) -> float:
    """Return the largest norm-relative error of a tensor; gradients that are 0 up to rounding are left out."""
    assert set(got) == set(want)
    scale = max(float(torch.linalg.norm(v)) for v in want["grad"].values())
    live = {n for n, v in want["grad"].items() if torch.linalg.norm(v) > 1e-12 * scale}
    assert len(live) > len(want["grad"]) // 2
    return max(
        max(relative_errors({n: got[s][n] for n in live}, {n: want[s][n] for n in live}).values()) for s in STATISTICS
    )


def resident(model: PreTrainedModel, texts: list[list[int]], tokens: int = 30) -> ResidentGradients:
    return ResidentGradients(model, texts, STATISTICS, every(model), tokens)


def blocks(model: PreTrainedModel, texts: list[list[int]], plan: BlockPlan | None = None) -> BlockGradients:
    return BlockGradients(model, texts, STATISTICS, every(model), plan or BlockPlan(30))


ENGINES: dict[str, Callable[[PreTrainedModel, list[list[int]]], Run]] = {
    "resident": resident,
    "blocks": blocks,
    "chunks": lambda model, texts: blocks(model, texts, BlockPlan(30, chunk_rows=10, keep_logits=False)),
}


@pytest.mark.parametrize("name", ["llama", "llama_tied"])
def test_weights_alone_are_read_in_slabs_where_a_tensor_is_large(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedding and head row by row, as they would be of a real model; every other tensor whole, all in order."""
    model = tiny_model(name)
    monkeypatch.setattr("critical_weights.scoring.engine.SLAB_WEIGHTS", 40)
    items = list(StaticRun(model, ResidentWeights(model)))
    parameters = dict(model.named_parameters())
    slabs = {name: [item.weight for item in items if item.name == name] for name in parameters}
    assert list(dict.fromkeys(item.name for item in items)) == list(parameters)
    for own, parameter in parameters.items():
        outside = own in ("model.embed_tokens.weight", "lm_head.weight")
        assert len(slabs[own]) == (-(-parameter.shape[0] // (40 // parameter.shape[1])) if outside else 1)
        assert torch.equal(torch.cat(slabs[own]), parameter)


@pytest.mark.parametrize("band", [1 << 19, 14])
@pytest.mark.parametrize("wanted", [c for n in (1, 2, 4) for c in combinations(STATISTICS, n)], ids="+".join)
def test_any_choice_of_statistics_has_the_sums_of_each(
    wanted: tuple[str, ...], band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a matrix, and of one that is embedding and head, in one band of rows or several: text by text as defined."""
    monkeypatch.setattr("critical_weights.scoring.bands.BAND_ELEMENTS", band)
    generator = torch.Generator().manual_seed(0)
    lengths, predicted = (5, 3, 4), (4, 2, 3)
    left, right, delta = (torch.randn(3, 5, n, generator=generator, dtype=torch.float64) for n in (6, 7, 7))
    ids = torch.tensor([[9, 4, 9, 3, 8], [5, 5, 6, 0, 0], [2, 11, 8, 3, 0]])  # rows 3 to 8 are these sums'
    matrices = [left[s, :n].T @ right[s, :n] for s, n in enumerate(lengths)]
    both = [m.clone() for m in matrices]
    for s, n in enumerate(lengths):
        for position in range(n):
            if 3 <= ids[s, position] < 9:
                both[s][ids[s, position] - 3] += delta[s, position]
    for tied in (False, True):
        sums = Sums.zeros((6, 7), wanted, torch.float64, left.device)
        if tied:
            add_tied(sums, (left, right), (ids, delta), lengths, predicted, first_row=3)
        else:
            add_linear(sums, left, right, lengths, predicted)
        texts = list(zip(both if tied else matrices, predicted, strict=True))
        expected = {
            "grad": sum(g for g, _ in texts),
            "grad_sq": sum((g / t) ** 2 for g, t in texts),
            "grad_abs": sum(g.abs() / t for g, t in texts),
            "grad_sq_token": sum(g**2 for g, _ in texts),
        }
        assert tuple(sums.tensors) == wanted
        for name, total in sums.tensors.items():
            assert torch.allclose(total, expected[name], rtol=1e-13, atol=1e-13), (name, tied)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_engine_agrees_with_plain_autograd(name: str, engine: str) -> None:
    model = tiny_model(name)
    with exact_norms(model):
        twin = gather_plain(model, TEXTS, "gradient")
        want = collect(twin)
        run = ENGINES[engine](model, TEXTS)
        error = largest_error(collect(run), want)
    print(f"{name} {engine} {error:.1e}")
    eager = name in EAGER  # its softmax rounds to float32, on some processors otherwise in a batch than by itself
    assert error < (1e-6 if eager else 1e-9)
    assert run.summary.corpus_loss == pytest.approx(twin.summary.corpus_loss, rel=1e-8 if eager else 1e-12)
    assert (run.summary.n_texts, run.summary.n_predicted) == (twin.summary.n_texts, twin.summary.n_predicted)


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2", "mixtral", "gemma2", "phi3"])
def test_streamed_weights_give_the_same(name: str, tmp_path: Path) -> None:
    """Weights read from sharded safetensors block by block; Mixtral's experts lie there one by one."""
    model = tiny_model(name)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    want = collect(gather_plain(model, TEXTS, "gradient"))
    empty = empty_model(tmp_path, torch.float64)
    assert all(p.is_meta for p in empty.parameters())
    cpu = torch.device("cpu")
    plan = BlockPlan(30, chunk_rows=10, keep_logits=False)
    weights = StreamedWeights(empty, tmp_path, cpu)
    run = BlockGradients(empty, TEXTS, STATISTICS, every(model), plan, weights, cpu)
    got = collect(run)
    assert all(p.is_meta for p in empty.parameters())
    assert largest_error(got, want) < 1e-6  # transformers' norms compute in float32


@pytest.mark.parametrize("engine", ENGINES)
def test_packing_and_order_change_nothing(engine: str) -> None:
    model = tiny_model("llama")
    with exact_norms(model):
        want = collect(ENGINES[engine](model, TEXTS))
        assert largest_error(collect(ENGINES[engine](model, TEXTS[::-1])), want) < 1e-12
        for tokens in (1, 13, 1000):
            assert largest_error(collect(blocks(model, TEXTS, BlockPlan(tokens))), want) < 1e-12
            assert largest_error(collect(resident(model, TEXTS, tokens)), want) < 1e-12


@pytest.mark.parametrize("engine", ENGINES)
def test_two_runs_are_bitwise_equal(engine: str) -> None:
    model = tiny_model("gpt2")
    first, second = (collect(ENGINES[engine](model, TEXTS)) for _ in range(2))
    assert all(torch.equal(first[s][n], second[s][n]) for s in first for n in first[s])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_model_is_left_as_it_was(engine: str) -> None:
    model = tiny_model("qwen2")
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    collect(ENGINES[engine](model, TEXTS))
    assert all(torch.equal(p, before[n]) and p.requires_grad and p.grad is None for n, p in model.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_float32_is_near_float64() -> None:
    want = collect(gather_plain(tiny_model("llama"), TEXTS, "gradient"))
    model = tiny_model("llama", dtype=torch.float32)
    for engine in ENGINES.values():
        got = {s: {n: v.double() for n, v in own.items()} for s, own in collect(engine(model, TEXTS)).items()}
        assert largest_error(got, want) < 1e-5


class _Scaled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1.001


class _Detached(nn.Linear):
    """The same output, but no gradient of the weight."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.detach().T + (0 if self.bias is None else self.bias) + 0 * self.weight.sum()


class _Adapted(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.adapter(x)


class _ForgetsBias(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


class _Transposed(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(0, 1)


class _Inherits(nn.Linear):
    pass


@pytest.mark.parametrize(
    "kind, expected",
    [(FalconLinear, True), (_Inherits, True)]
    + [(kind, False) for kind in (_Scaled, _Detached, _Adapted, _ForgetsBias, _Transposed)],
)
def test_only_what_does_as_a_linear_is_taken_for_one(kind: type[nn.Linear], expected: bool) -> None:
    state = torch.random.get_rng_state()
    assert is_linear(kind) is expected
    assert torch.equal(torch.random.get_rng_state(), state)


def test_falcons_own_linear_is_caught() -> None:
    """Its exactness is that of the other architectures, above; here, that nothing of it is left to plain autograd."""
    model = tiny_model("falcon")
    uses, rest = find_uses(model, pack(TEXTS, 30)[0])
    assert rest == []
    own = [use for use in uses if type(use.module) is FalconLinear]
    assert {use.kind for use in own} == {"linear", "bias"}
    assert len(own) == 2 * 4 * model.config.num_hidden_layers


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_the_sum_alone_takes_another_way_and_is_the_same(name: str) -> None:
    """Where no per-text statistic is wanted, one product over all texts serves; a tied pair's included."""
    model = tiny_model(name)
    want = collect(gather_plain(model, TEXTS, "gradient"))["grad"]
    got = collect(ResidentGradients(model, TEXTS, ["grad"], every(model), 30))["grad"]
    assert max(relative_errors(got, want).values()) < 1e-6
