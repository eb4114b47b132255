"""The comparison compares: whatever would make it pass for nothing fails."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from comparison import relative_errors


@pytest.mark.parametrize(
    "got, want, message",
    [
        ({}, {}, "nothing to compare"),
        ({}, {"a": torch.ones(2)}, "names differ: .'a'"),
        ({"a": torch.ones(2), "b": torch.ones(2)}, {"a": torch.ones(2)}, "names differ: .'b'"),
        ({"a": torch.ones(1)}, {"a": torch.ones(2)}, "shape .1,., expected .2,."),
        ({"a": torch.ones(2).double()}, {"a": torch.ones(2)}, "dtype torch.float64, expected torch.float32"),
        ({"a": torch.tensor([1.0, float("nan")])}, {"a": torch.ones(2)}, "not finite"),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2)}, "expected values are all zero"),
    ],
)
def test_a_comparison_that_compares_nothing_fails(
    got: dict[str, Tensor], want: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        relative_errors(got, want)


def test_a_comparison_with_itself_fails() -> None:
    same = {"a": torch.ones(2)}
    with pytest.raises(AssertionError, match="compared with itself"):
        relative_errors(same, same)


def test_vanishing_tensors_must_vanish_on_both_sides() -> None:
    want = {"a": torch.ones(2), "noise": torch.full((2,), 1e-17)}
    assert relative_errors({"a": torch.ones(2), "noise": torch.zeros(2)}, want, ["noise"]) == {"a": 0.0, "noise": 0.0}
    with pytest.raises(AssertionError, match=r"noise: norm .* should vanish"):
        relative_errors({"a": torch.ones(2), "noise": torch.ones(2)}, want, ["noise"])
    with pytest.raises(AssertionError, match=r"not compared: .'other'"):
        relative_errors({"a": torch.ones(2), "noise": torch.zeros(2)}, want, ["other"])


def test_an_error_is_relative_to_the_tensors_norm() -> None:
    got, want = {"a": torch.tensor([3.0, 4.5])}, {"a": torch.tensor([3.0, 4.0])}
    assert relative_errors(got, want)["a"] == pytest.approx(0.1)
