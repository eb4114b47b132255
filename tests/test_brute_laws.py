"""The conservation laws hold on exact gradients, and a lost tensor breaks just its own."""

from __future__ import annotations

import pytest

from brute_force import (
    gradient_statistics,
    weights,
)
from brute_laws import llama_laws
from tiny_models import exact_norms, tiny_model, tiny_texts

TEXTS = tiny_texts(5, seed=1)


def test_llama_laws_hold_in_float64() -> None:
    model = tiny_model("llama", rms_norm_eps=0.0)
    with exact_norms(model):
        gradient = gradient_statistics(model, TEXTS)["grad"]
        errors = llama_laws(model, {name: g * weights(model)[name].detach() for name, g in gradient.items()})
    print({law: f"{error:.1e}" for law, error in errors.items()})
    assert len(errors) == 7
    assert max(errors.values()) <= 1e-12


def test_llama_laws_hold_with_the_models_own_norms() -> None:
    """Float32 and the epsilon inside transformers' norms touch only the law that goes through them."""
    model = tiny_model("llama")
    gradient = gradient_statistics(model, TEXTS)["grad"]
    errors = llama_laws(model, {name: g * weights(model)[name].detach() for name, g in gradient.items()})
    print({law: f"{error:.1e}" for law, error in errors.items()})
    assert errors.pop("residual writers = 0") <= 1e-6
    assert max(errors.values()) <= 1e-12


@pytest.mark.parametrize(
    "tensor, broken",
    [
        ("mlp.down_proj", {"up = down", "residual writers = 0"}),
        ("self_attn.o_proj", {"v = o", "residual writers = 0"}),
        ("self_attn.k_proj", {"q = k", "input norm = q + k + v"}),
        ("mlp.gate_proj", {"post norm = gate + up"}),
        ("input_layernorm", {"input norm = q + k + v"}),
    ],
)
def test_a_lost_tensor_breaks_its_laws(tensor: str, broken: set[str]) -> None:
    model = tiny_model("llama")
    gradient = gradient_statistics(model, TEXTS)["grad"]
    a = {name: g * weights(model)[name].detach() for name, g in gradient.items()}
    a[f"model.layers.1.{tensor}.weight"] = a[f"model.layers.1.{tensor}.weight"] * 0.5
    assert {law for law, error in llama_laws(model, a).items() if error > 1e-6} == broken
