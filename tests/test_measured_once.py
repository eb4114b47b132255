"""Conditions that leave the weights at the same values share one run, and others do not."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch

from critical_weights.evaluation.damage import Damage, Evaluation
from critical_weights.interventions.apply import applied
from critical_weights.validation.measured_once import MeasuredOnce
from tiny_models import tiny_model, tiny_texts

PROJ, SAME_SHAPE = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
PLACES = {PROJ: np.array([3, 17, 40]), "lm_head.weight": np.array([0, 9])}
SHUFFLED = dict(reversed(PLACES.items()))
OTHERS = {
    "other weights": {PROJ: np.array([3, 17, 41]), "lm_head.weight": np.array([0, 9])},
    "other tensor": {SAME_SHAPE: np.array([3, 17, 40]), "lm_head.weight": np.array([0, 9])},
    "fewer weights": {PROJ: np.array([3, 17, 40])},
}
SPARE = 1 << 28


@pytest.fixture
def model() -> torch.nn.Module:
    """A float64 Llama in which one selected weight of the head is zero from the start."""
    model = tiny_model("llama")
    with torch.no_grad():
        model.get_parameter("lm_head.weight").view(-1)[9] = 0.0
    return model


@pytest.fixture
def evaluation(model: torch.nn.Module) -> Evaluation:
    return Evaluation(model, tiny_texts(4), torch.device("cpu"), SPARE)


def measured(once: MeasuredOnce, model: torch.nn.Module, places: dict, change: str, strength: float | None) -> Damage:
    with applied(model, places, change, strength) as done:
        return once(places, done)


@pytest.mark.parametrize("factor, twin", [(0.0, "zero"), (-1.0, "sign_flip")])
@pytest.mark.parametrize("places", [PLACES, SHUFFLED], ids=["in order", "shuffled"])
def test_equal_changes_are_run_once_and_give_what_a_run_gives(
    factor: float, twin: str, places: dict, model: torch.nn.Module, evaluation: Evaluation
) -> None:
    once = MeasuredOnce(evaluation)
    first = measured(once, model, PLACES, twin, None)
    second = measured(once, model, places, "scale", factor)
    assert second is first
    assert once.spared == 1
    with applied(model, PLACES, "scale", factor):
        own = evaluation.measure(PLACES)
    assert np.abs(own.change).min() > 0
    for shared, run in zip(astuple(second), astuple(own), strict=True):
        np.testing.assert_array_equal(shared, run)


def test_no_change_is_the_unchanged_model(model: torch.nn.Module, evaluation: Evaluation) -> None:
    once = MeasuredOnce(evaluation)
    assert measured(once, model, PLACES, "scale", 1.0) is once.unchanged
    assert (once.unchanged.change == 0).all()


@pytest.mark.parametrize("other", OTHERS)
def test_other_weights_are_run(other: str, model: torch.nn.Module, evaluation: Evaluation) -> None:
    once = MeasuredOnce(evaluation)
    first = measured(once, model, PLACES, "zero", None)
    second = measured(once, model, OTHERS[other], "zero", None)
    assert once.spared == 0
    assert (first.change != second.change).any()


def test_other_values_are_run(model: torch.nn.Module, evaluation: Evaluation) -> None:
    once = MeasuredOnce(evaluation)
    every = [measured(once, model, PLACES, "scale", factor).change for factor in (0.5, 0.9, -1.0)]
    assert once.spared == 0
    assert len({change.tobytes() for change in every}) == 3
