"""Curvature block by block against plain autograd's Hessian-vector products: same probes, same estimates."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from brute_force import hutchinson, weights
from comparison import relative_errors
from critical_weights.scoring import differentials
from critical_weights.scoring.block_curvature import BlockCurvature
from critical_weights.scoring.blockwise import BlockPlan
from critical_weights.scoring.engine import Placed, start_run
from critical_weights.scoring.plain import gather_plain
from critical_weights.scoring.probes import rademacher, rademacher_rows
from critical_weights.scoring.seam import Run
from critical_weights.scoring.weights import ResidentWeights, StreamedWeights, Weights, empty_model
from tiny_models import NAMES, VOCABULARY, exact_norms, tiny_model, tiny_texts

TEXTS = tiny_texts(5, 3)
SEED, PROBES = 4, 3
CPU = torch.device("cpu")
CHUNKS = BlockPlan(30, chunk_rows=10, keep_logits=False)

Gathered = dict[str, dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def collect(run: Run) -> Gathered:
    """Return statistic -> tensor -> values, slabs put together; ``weight`` stands beside the statistics."""
    slabs: dict[str, dict[str, list[Tensor]]] = {}
    for item in run:
        for statistic, values in {**item.statistics, "weight": item.weight}.items():
            slabs.setdefault(statistic, {}).setdefault(item.name, []).append(values)
    return {statistic: {name: torch.cat(v) for name, v in own.items()} for statistic, own in slabs.items()}


def every(model: PreTrainedModel) -> set[str]:
    return {name for name, _ in model.named_parameters()}


def block_run(
    model: PreTrainedModel,
    texts: Sequence[Sequence[int]] = TEXTS,
    plan: BlockPlan = CHUNKS,
    analysed: Collection[str] | None = None,
    read: Weights | None = None,
    probes: int = PROBES,
) -> BlockCurvature:
    names = every(model) if analysed is None else analysed
    read = read or ResidentWeights(model)
    return BlockCurvature(model, texts, plan, read, CPU, names, seed=SEED, probes=probes)


def largest_error(got: Gathered, want: Gathered) -> float:
    """Return the largest norm-relative error of a tensor; estimates that are 0 up to rounding are left out."""
    assert set(got) == set(want)
    scale = max(float(torch.linalg.norm(v)) for v in want["hessian_diag"].values())
    live = {n for n, v in want["hessian_diag"].items() if torch.linalg.norm(v) > 1e-12 * scale}
    assert len(live) > len(want["hessian_diag"]) // 2
    assert all(torch.equal(v, want["weight"][n]) for n, v in got["weight"].items())
    errors = {}
    for s in ("hessian_diag", "hessian_stderr"):
        assert set(got[s]) == set(want[s])
        found = relative_errors({n: got[s][n] for n in live}, {n: want[s][n] for n in live})
        errors |= {f"{s} {n}": e for n, e in found.items()}
    worst = max(errors, key=errors.get)
    print(f"{worst}: {errors[worst]:.1e}")
    return errors[worst]


@contextmanager
def all_float64(model: PreTrainedModel, patch: pytest.MonkeyPatch) -> Generator[None]:
    """Compute everything in float64: norms, routers and eager attention otherwise round to float32 on the way.

    A product that is had in another order then differs by 1e-7, whatever the method.
    """
    narrow, softmax = Tensor.float, functional.softmax
    with exact_norms(model), patch.context() as inside:
        inside.setattr(Tensor, "float", lambda t: t if t.dtype == torch.float64 else narrow(t))
        inside.setattr(functional, "softmax", lambda x, dim=None, dtype=None: softmax(x, dim))
        yield


def plain(model: PreTrainedModel, analysed: Collection[str] | None = None, probes: int = PROBES) -> Run:
    names = every(model) if analysed is None else analysed
    return gather_plain(model, TEXTS, "curvature", seed=SEED, probes=probes, analysed=names)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_agree_with_plain_autograd(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(name)
    with all_float64(model, monkeypatch):
        twin = plain(model)
        want = collect(twin)
        run = block_run(model)
        got = collect(run)
        kept = collect(block_run(model, plan=BlockPlan(1000)))  # all logits at once, kept
    assert largest_error(got, want) < 1e-12
    assert largest_error(kept, want) < 1e-12
    assert run.summary.corpus_loss == pytest.approx(twin.summary.corpus_loss, rel=1e-12)
    assert (run.summary.n_texts, run.summary.n_predicted) == (twin.summary.n_texts, twin.summary.n_predicted)
    assert run.summary.missing == twin.summary.missing == {}


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_blocks_agree_with_one_product_a_text(name: str) -> None:
    """The slowest twin: the derivative of each text's gradient, by itself."""
    model = tiny_model(name)
    probes = [{n: rademacher(SEED, k, n, p.shape, p.dtype) for n, p in weights(model).items()} for k in range(PROBES)]
    with exact_norms(model):
        want = dict(zip(("hessian_diag", "hessian_stderr"), hutchinson(model, TEXTS, probes), strict=True))
        got = collect(block_run(model))
    assert largest_error(got, {**want, "weight": got["weight"]}) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_as_transformers_computes_it(name: str) -> None:
    """Without the patches, where some architectures round to float32 on the way."""
    model = tiny_model(name)
    assert largest_error(collect(block_run(model)), collect(plain(model))) < 1e-5


@pytest.mark.parametrize("name, scale", [("llama", 0.5), ("gemma2", None)])
def test_scaled_and_capped_logits(name: str, scale: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap near the logits makes the second derivative of what shapes them count."""
    model = tiny_model(name, **({"final_logit_softcapping": 1.5} if scale is None else {}))
    if scale is not None:
        model.config.logit_scale, forward = scale, model.forward

        def scaled(*arguments: Any, **keywords: Any) -> Any:
            output = forward(*arguments, **keywords)
            output.logits = output.logits * scale
            return output

        monkeypatch.setattr(model, "forward", scaled)
    with all_float64(model, monkeypatch):
        assert largest_error(collect(block_run(model)), collect(plain(model))) < 1e-12


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("moves", ["both", "weight", "bias"])
def test_a_head_with_a_bias(name: str, moves: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the tiny architectures has one; GPT-2's weight stays tied."""
    model = tiny_model(name)
    torch.manual_seed(1)
    head = torch.nn.Linear(16, VOCABULARY, dtype=torch.float64)
    head.weight = model.lm_head.weight
    model.lm_head = head
    names = {n for n, p in model.named_parameters() if p is head.weight}
    analysed = {"both": every(model), "weight": every(model) - {"lm_head.bias"}, "bias": every(model) - names}[moves]
    with all_float64(model, monkeypatch):
        assert largest_error(collect(block_run(model, analysed=analysed)), collect(plain(model, analysed))) < 1e-12


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2", "mixtral", "gemma2", "opt"])
@pytest.mark.parametrize("probes", [2, 5])
def test_streamed_weights_give_the_same(
    name: str, probes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights read from sharded safetensors block by block; by default matrices alone are moved."""
    model = tiny_model(name)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    analysed = {n for n, p in model.named_parameters() if p.dim() >= 2}
    empty = empty_model(tmp_path, torch.float64)
    with all_float64(model, monkeypatch):
        twin = plain(model, analysed, probes)
        want = collect(twin)
    with all_float64(empty, monkeypatch):
        read = StreamedWeights(empty, tmp_path, CPU)
        run = block_run(empty, read=read, analysed=analysed, probes=probes)
        got = collect(run)
    assert all(p.is_meta for p in empty.parameters())
    assert largest_error(got, want) < 1e-12
    assert run.summary.missing == twin.summary.missing
    assert len(run.summary.missing) == len(every(model) - analysed) > 0


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("part", ["layers.1", "embed", "lm_head", "norm", "nothing"])
def test_probes_that_move_a_part_only(name: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(name)
    words = {"layers.1": ("layers.1.", "h.1."), "embed": ("embed", "wte", "wpe"), "norm": ("norm", "ln_f")}
    analysed = {n for n in every(model) if any(w in n for w in words.get(part, (part,)))}
    run = block_run(model, analysed=analysed)
    with all_float64(model, monkeypatch):
        got = collect(run)
    assert set(got["weight"]) == every(model)
    assert set(run.summary.missing) == every(model) - analysed
    if not analysed:
        assert set(got) == {"weight"}
        return
    with all_float64(model, monkeypatch):
        want = collect(plain(model, analysed))
    assert largest_error(got, want) < 1e-12


def test_packing_order_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gpt2", "mixtral"):
        model = tiny_model(name)
        with all_float64(model, monkeypatch):
            want = collect(block_run(model))
            assert largest_error(collect(block_run(model, TEXTS[::-1])), want) < 1e-12
            for plan in (BlockPlan(1, 1, True), BlockPlan(13, 7, False), BlockPlan(1000, 1000, True)):
                assert largest_error(collect(block_run(model, plan=plan)), want) < 1e-12
            monkeypatch.setattr(differentials, "SHARED_BYTES", 1)
            assert largest_error(collect(block_run(model)), want) < 1e-12
            monkeypatch.undo()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_two_runs_are_bitwise_equal_and_leave_the_model_as_it_was(name: str) -> None:
    model = tiny_model(name)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    first, second = collect(block_run(model)), collect(block_run(model))
    assert all(torch.equal(first[s][n], second[s][n]) for s in first for n in first[s])
    assert all(torch.equal(p, before[n]) and p.requires_grad and p.grad is None for n, p in model.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class LargestCount(TorchDispatchMode):
    """Counts how many memory blocks of a given size are alive at once, at most."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.most = 0
        self._size = size
        self._seen: dict[int, StorageWeakRef] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what it made."""
        out = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes() == self._size:
                reference = StorageWeakRef(tensor.untyped_storage())
                self._seen[reference.cdata] = reference
        self._seen = {key: reference for key, reference in self._seen.items() if not reference.expired()}
        self.most = max(self.most, len(self._seen))
        return out


def test_memory_of_a_block_does_not_grow_with_the_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no memory to share a graph in, the tensors of a matrix's size alive at once are as many for any number."""
    monkeypatch.setattr(differentials, "SHARED_BYTES", 1)
    model = tiny_model("llama", intermediate_size=23)
    size = next(p for n, p in model.named_parameters() if n.endswith("down_proj.weight")).nbytes
    most = []
    for probes in (2, 8):
        with LargestCount(size) as count:
            for _ in block_run(model, probes=probes):
                pass
        most.append(count.most)
    print(f"largest number of matrices alive: {most}")
    assert most[0] == most[1] > 0


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_narrow_types_are_near_float64(dtype: torch.dtype, bound: float) -> None:
    for name in ("llama", "gpt2"):
        model = tiny_model(name, dtype)
        want = collect(plain(model.double()))
        got = collect(block_run(tiny_model(name, dtype)))
        assert {v.dtype for own in got.values() for v in own.values()} == {torch.float32}
        error = max(
            float((got["hessian_diag"][n] - v).norm() / v.norm())
            for n, v in want["hessian_diag"].items()
            if v.dim() > 1
        )
        print(f"{name} {dtype}: {error:.1e}")
        assert error < bound


@pytest.mark.parametrize("placement", ["blocks", "streamed"])
def test_the_engine_serves_curvature_in_every_placement(placement: str, tmp_path: Path) -> None:
    model = tiny_model("llama")
    want = collect(plain(model))
    placed = Placed("blocks", CHUNKS)
    if placement == "streamed":
        model.save_pretrained(tmp_path)
        model = empty_model(tmp_path, torch.float64)
        placed = Placed("streamed", CHUNKS, StreamedWeights(model, tmp_path, CPU), CPU)
    got = collect(start_run("curvature", model, TEXTS, every(model), placed, seed=SEED, probes=PROBES))
    assert largest_error(got, want) < 1e-5


@pytest.mark.parametrize("shape", [(7, 3), (5, 64), (40, 13), (11,), (6, 2, 5)])
def test_rows_of_a_probe_are_the_whole_ones_rows(shape: tuple[int, ...]) -> None:
    whole = rademacher(1, 2, "a", shape, torch.float64)
    digest = hashlib.sha256(b"1/2/a").digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    packed = np.frombuffer(generator.bytes((whole.numel() + 7) // 8), dtype=np.uint8)
    bits = np.unpackbits(packed, count=whole.numel())
    assert torch.equal(whole.flatten(), torch.from_numpy(bits * 2.0 - 1.0))
    for rows in (slice(0, 2), slice(3, 5), slice(4, shape[0])):
        assert torch.equal(rademacher_rows(1, 2, "a", shape, rows, torch.float64), whole[rows])
    some = torch.tensor([0, 1, 4, 2])
    assert torch.equal(rademacher_rows(1, 2, "a", shape, some, torch.float64), whole[some])
