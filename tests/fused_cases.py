"""The GPU kernel against a plain loop over texts; test_fused.py runs this file in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from critical_weights.scoring import fused
from critical_weights.scoring.sums import GRADIENT_STATISTICS, Sums

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TOLERANCE = 1e-5
"""Of the norm. A product in plain TF32 would be off by some 3e-4, a lost position or text by far more."""


def inputs(lengths: Sequence[int], rows: int, columns: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random inputs whose padding is NaN: what is not masked shows."""
    generator = torch.Generator().manual_seed(seed)
    padded = []
    for size in (rows, columns):
        x = torch.randn(len(lengths), max(lengths) + 2, size, generator=generator)
        for s, n in enumerate(lengths):
            x[s, n:] = torch.nan
        padded.append(x.to(device=DEVICE, dtype=dtype))
    return padded[0], padded[1]


def plain(left: Tensor, right: Tensor, lengths: Sequence[int], predicted: Sequence[int]) -> dict[str, Tensor]:
    """Every statistic as its definition has it, in float64."""
    sums = {name: torch.zeros(left.shape[-1], right.shape[-1], dtype=torch.float64) for name in GRADIENT_STATISTICS}
    for s, (n, t) in enumerate(zip(lengths, predicted, strict=True)):
        g = left[s, :n].cpu().double().T @ right[s, :n].cpu().double()
        sums["grad"] += g
        sums["grad_sq"] += (g / t) ** 2
        sums["grad_abs"] += g.abs() / t
        sums["grad_sq_token"] += g**2
    return sums


def assert_close(sums: Sums, want: dict[str, Tensor]) -> None:
    for name, total in sums.tensors.items():
        error = torch.linalg.norm(total.cpu().double() - want[name]) / torch.linalg.norm(want[name])
        assert error < TOLERANCE, f"{name}: {error:.2g}"


def zeros(rows: int, columns: int, wanted: Sequence[str] = GRADIENT_STATISTICS) -> Sums:
    return Sums.zeros((rows, columns), wanted, torch.float32, DEVICE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    "rows, columns, lengths",
    [
        (64, 64, (9, 9)),  # one tile, one step a text
        (70, 45, (37, 33, 16, 1)),  # no multiple of anything, several steps a text
        (1, 3, (2,)),
        (200, 130, (5, 2)),  # several tiles
        (33, 65, (150, 129, 3)),  # steps of 128 positions in bfloat16
    ],
)
def test_kernel_is_the_loop_over_texts(rows: int, columns: int, lengths: tuple[int, ...], dtype: torch.dtype) -> None:
    left, right = inputs(lengths, rows, columns, dtype)
    predicted = [max(n - 1, 1) for n in lengths]
    sums = zeros(rows, columns)
    fused.add_linear_fused(sums, left, right, lengths, predicted)
    assert_close(sums, plain(left, right, lengths, predicted))


def test_two_dtypes_and_two_batches_add_up() -> None:
    """The head's output gradients are float32 beside bfloat16 inputs."""
    sums, want = zeros(40, 24), {name: torch.zeros(40, 24, dtype=torch.float64) for name in GRADIENT_STATISTICS}
    for seed, lengths in enumerate([(20, 7), (33, 3, 3)]):
        left, right = inputs(lengths, 40, 24, torch.float32, seed)[0], inputs(lengths, 40, 24, torch.bfloat16, seed)[1]
        fused.add_linear_fused(sums, left, right, lengths, [n - 1 for n in lengths])
        for name, value in plain(left, right, lengths, [n - 1 for n in lengths]).items():
            want[name] += value
    assert_close(sums, want)


@pytest.mark.parametrize("wanted", [[name] for name in GRADIENT_STATISTICS] + [["grad", "grad_sq_token"]])
def test_only_what_is_wanted_is_summed(wanted: list[str]) -> None:
    left, right = inputs((12, 5), 30, 20, torch.float32)
    sums = zeros(30, 20, wanted)
    fused.add_linear_fused(sums, left, right, (12, 5), (11, 4))
    assert set(sums.tensors) == set(wanted)
    assert_close(sums, plain(left, right, (12, 5), (11, 4)))


def test_inputs_may_lie_any_way_in_memory() -> None:
    lengths, predicted = (18, 6, 4), (17, 5, 3)
    left, right = inputs(lengths, 36, 28, torch.float32)
    ways = [
        (left.transpose(0, 1).contiguous().transpose(0, 1), right),  # positions first
        (left, right.transpose(1, 2).contiguous().transpose(1, 2)),  # last axis apart
        (torch.cat([left, left], -1)[..., 36:], right[:, :18]),  # part of a wider tensor
    ]
    for a, b in ways:
        a = a[:, :18]
        b = b[:, :18]
        assert not (a.is_contiguous() and b.is_contiguous())
        sums = zeros(36, 28)
        fused.add_linear_fused(sums, a, b, lengths, predicted)
        assert_close(sums, plain(left, right, lengths, predicted))


def test_every_tiling_and_step_gives_the_same() -> None:
    lengths, predicted = (70, 40, 2), (69, 39, 1)
    left, right = inputs(lengths, 90, 150, torch.bfloat16)
    want = plain(left, right, lengths, predicted)
    for tiling in fused.TILINGS:
        for block_k in (32, 128):
            sums = zeros(90, 150)
            steps = fused._steps(lengths, predicted, block_k, DEVICE)
            fused._launch(sums.tensors, left, right, steps, block_k, tiling)
            assert_close(sums, want)


def test_again_is_the_same_bit_by_bit() -> None:
    left, right = inputs((30, 20), 40, 40, torch.bfloat16)
    first, second = zeros(40, 40), zeros(40, 40)
    for sums in (first, second):
        fused.add_linear_fused(sums, left, right, (30, 20), (29, 19))
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in GRADIENT_STATISTICS)


def test_sums_that_the_kernel_cannot_take_are_refused() -> None:
    left, right = inputs((4,), 6, 5, torch.float32)
    wrong = Sums({"grad": torch.zeros(5, 6, device=DEVICE).T})
    with pytest.raises(ValueError, match="grad must be contiguous float32"):
        fused.add_linear_fused(wrong, left, right, (4,), (3,))
    with pytest.raises(ValueError, match="do not fit 2 texts"):
        fused.add_linear_fused(zeros(6, 5), left, right, (4, 4), (3, 3))
