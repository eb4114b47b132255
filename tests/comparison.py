"""How two sets of tensors are compared: the error of each tensor relative to its norm, and never nothing at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor


def relative_errors(
    got: Mapping[str, Tensor], want: Mapping[str, Tensor], vanishing: Collection[str] = ()
) -> dict[str, float]:
    """Return norm(got - want) / norm(want) of each tensor.

    Elementwise errors explode at true zeros, so the norm is the tensor's. A comparison that compares nothing fails: it
    is an assertion that there is something to compare, that the two sides are different memory, that names, shapes and
    dtypes agree, that every entry is finite and that no expected norm is zero.

    Args:
        got: what is tested, in the weights' shapes.
        want: the twin's.
        vanishing: tensors whose true value is 0 (a key's bias without RoPE); there both sides must be rounding noise,
            below 1e-12 of the largest norm, and the error is 0.

    """
    assert want, "nothing to compare"
    assert set(got) == set(want), f"names differ: {sorted(set(got) ^ set(want))}"
    assert set(vanishing) <= set(want), f"vanishing tensors that are not compared: {sorted(set(vanishing) - set(want))}"
    largest = max(tensor.norm().item() for tensor in want.values())
    errors = {}
    for name, right in want.items():
        left = got[name]
        assert left.shape == right.shape, f"{name}: shape {tuple(left.shape)}, expected {tuple(right.shape)}"
        assert left.dtype == right.dtype, f"{name}: dtype {left.dtype}, expected {right.dtype}"
        assert left.data_ptr() != right.data_ptr(), f"{name}: compared with itself"
        assert left.isfinite().all(), f"{name}: not finite"
        assert right.isfinite().all(), f"{name}: the expected values are not finite"
        size = right.norm().item()
        if name in vanishing:
            noise = max(size, left.norm().item())
            assert noise <= 1e-12 * largest, f"{name}: norm {noise:.1e} should vanish"
            errors[name] = 0.0
            continue
        assert size > 0, f"{name}: the expected values are all zero"
        errors[name] = (left - right).norm().item() / size
    return errors


def largest_error(got: Mapping[str, Tensor], want: Mapping[str, Tensor], vanishing: Collection[str] = ()) -> float:
    """Return the largest of :func:`relative_errors`."""
    return max(relative_errors(got, want, vanishing).values())
