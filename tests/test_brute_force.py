"""The twins of loss, gradients and metrics: finite differences, hand counts, invariances."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import PreTrainedModel

from brute_force import (
    corpus_loss,
    finite_difference,
    full_sort,
    gradient_statistics,
    hessian_vector_product,
    scores,
    text_gradients,
    text_loss,
    weights,
)
from comparison import largest_error, relative_errors
from tiny_models import EAGER, NAMES, exact_norms, random_signs, tiny_model, tiny_texts

TEXTS = tiny_texts(5, seed=1)


def test_text_loss_is_the_librarys_mean_times_its_positions() -> None:
    for name in ("llama", "gpt2", "opt", "mixtral", "bloom"):
        model = tiny_model(name)
        for text in TEXTS:
            ids = torch.tensor([text])
            own = text_loss(model, text).item()
            mean = model(input_ids=ids, labels=ids).loss.item()
            assert own == pytest.approx(mean * (len(text) - 1), rel=1e-6), name  # transformers' loss is in float32
            assert text_loss(model, text).dtype == torch.float64


def test_corpus_loss_weighs_tokens_not_texts() -> None:
    model = tiny_model("llama")
    losses = [text_loss(model, text).item() for text in TEXTS]
    positions = [len(text) - 1 for text in TEXTS]
    assert corpus_loss(model, TEXTS).item() == pytest.approx(sum(losses) / sum(positions), rel=1e-14)
    by_text = sum(loss / t for loss, t in zip(losses, positions, strict=True)) / len(TEXTS)
    assert corpus_loss(model, TEXTS).item() != pytest.approx(by_text, rel=1e-3)


def test_a_text_of_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="1 tokens predicts nothing"):
        text_loss(tiny_model("llama"), [3])


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama"])
def test_gradient_is_the_finite_difference(name: str) -> None:
    """Along a random direction in each tensor, which every entry has a part in, and for single weights."""
    model = tiny_model(name)
    with exact_norms(model):
        _check_finite_differences(model, [TEXTS[0], TEXTS[2]])


def _check_finite_differences(model: PreTrainedModel, texts: list[list[int]]) -> None:
    gradient = gradient_statistics(model, texts)["grad"]
    generator, rng = torch.Generator().manual_seed(3), random.Random(3)
    errors = {}
    for name, tensor in weights(model).items():
        direction = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        unit = torch.zeros_like(tensor)
        unit.view(-1)[rng.randrange(tensor.numel())] = 1.0
        for change in (direction / direction.norm(), unit):
            difference = (gradient[name] * change).sum().item() - finite_difference(model, texts, {name: change})
            errors[name] = max(errors.get(name, 0.0), abs(difference) / gradient[name].norm().item())
    print(f"gradient against finite differences: {max(errors.values()):.1e}")
    assert max(errors.values()) < 1e-9


def test_the_token_that_a_model_pads_with_has_its_gradient() -> None:
    """In a text it is a token like any other; torch.nn.Embedding's own backward gives it 0."""
    model, text, name = tiny_model("phi3", pad_token_id=1), [5, 1, 7, 9], "model.embed_tokens.weight"
    change = torch.zeros_like(weights(model)[name])
    change[1] = 0.25
    with exact_norms(model):
        gradient = (gradient_statistics(model, [text])["grad"][name] * change).sum().item()
        assert gradient == pytest.approx(finite_difference(model, [text], {name: change}), rel=1e-9)
    assert gradient != 0
    assert model.get_input_embeddings().padding_idx == 1


def test_finite_difference_leaves_the_weights_bit_equal() -> None:
    model = tiny_model("gpt2")
    before = {name: tensor.detach().clone() for name, tensor in weights(model).items()}
    finite_difference(model, TEXTS[:1], before)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())


@pytest.mark.parametrize("name", NAMES)
def test_mean_gradient_is_the_gradient_of_the_corpus_loss(name: str) -> None:
    model = tiny_model(name)
    with exact_norms(model):
        together = torch.autograd.grad(corpus_loss(model, TEXTS), list(weights(model).values()))
        want = dict(zip(weights(model), together, strict=True))
        got = gradient_statistics(model, TEXTS)["grad"]
    vanishing = [n for n in want if name == "opt" and n.endswith("k_proj.bias")]  # a constant added to every score
    in_float32 = (*EAGER, "mixtral")  # softmax of the attention, of the router
    assert largest_error(got, want, vanishing) < (1e-6 if name in in_float32 else 1e-12)


def test_squares_of_texts_are_not_the_square_of_the_batch() -> None:
    model = tiny_model("llama")
    stats = gradient_statistics(model, TEXTS)
    for stat in ("grad_sq", "grad_sq_token"):
        batch = {name: g**2 for name, g in stats["grad"].items()}
        assert min(relative_errors(batch, stats[stat]).values()) > 0.1, stat
    assert min(relative_errors({n: g.abs() for n, g in stats["grad"].items()}, stats["grad_abs"]).values()) > 0.1


def test_one_text_has_every_square_from_its_gradient() -> None:
    model, text = tiny_model("gpt2"), TEXTS[1]
    stats = gradient_statistics(model, [text])
    g_s = text_gradients(model, [text])[0]
    t_s = len(text) - 1
    assert t_s > 1
    assert largest_error(stats["grad_sq"], {n: (g / t_s) ** 2 for n, g in g_s.items()}) < 1e-15
    assert largest_error(stats["grad_sq_token"], {n: g**2 / t_s for n, g in g_s.items()}) < 1e-15
    assert largest_error(stats["grad_abs"], {n: g.abs() / t_s for n, g in g_s.items()}) < 1e-15


def test_the_corpus_twice_changes_no_statistic() -> None:
    model = tiny_model("llama_tied")
    once, twice = gradient_statistics(model, TEXTS), gradient_statistics(model, TEXTS + TEXTS)
    assert max(largest_error(twice[stat], once[stat]) for stat in once) < 1e-12


def test_a_tied_gradient_is_squared_after_adding_its_uses() -> None:
    tied, untied = tiny_model("llama_tied"), tiny_model("llama")
    with torch.no_grad():
        for name, tensor in weights(untied).items():
            tensor.copy_(weights(tied).get(name, weights(tied)["model.embed_tokens.weight"]))
    apart = text_gradients(untied, TEXTS)
    summed = [g["model.embed_tokens.weight"] + g["lm_head.weight"] for g in apart]
    want = sum((g / (len(text) - 1)) ** 2 for g, text in zip(summed, TEXTS, strict=True)) / len(TEXTS)
    got = gradient_statistics(tied, TEXTS)["grad_sq"]["model.embed_tokens.weight"]
    assert largest_error({"tied": got}, {"tied": want}) < 1e-12


def test_metrics_on_one_text_by_hand() -> None:
    model, text = tiny_model("gpt_neox"), TEXTS[1]
    w = {name: tensor.detach() for name, tensor in weights(model).items()}
    g_s, t_s = text_gradients(model, [text])[0], len(text) - 1
    probes = [random_signs(w, seed) for seed in (0, 1)]
    h = {n: sum(v[n] * hessian_vector_product(model, [text], v)[n] for v in probes) / 2 for n in w}
    want = {
        "magnitude": {n: w[n].abs() for n in w},
        "grad_x_weight": {n: (w[n] * g_s[n] / t_s).abs() for n in w},
        "taylor_abs": {n: (w[n] * g_s[n] / t_s).abs() for n in w},
        "grad_squared": {n: (g_s[n] / t_s) ** 2 for n in w},
        "obd": {n: 0.5 * w[n] ** 2 * g_s[n] ** 2 / t_s for n in w},
        "hutchinson_diag": {n: h[n].abs() for n in w},
        "obd_hutch": {n: (0.5 * h[n] * w[n] ** 2).clamp(min=0) for n in w},
    }
    for metric, expected in want.items():
        assert largest_error(scores(metric, model, [text], probes), expected) < 1e-12, metric
    assert (scores("obd_hutch", model, [text], probes)["lm_head.weight"] == 0).any()  # a saddle is clipped
    with pytest.raises(ValueError, match="no twin for metric gradient"):
        scores("gradient", model, [text])


def test_the_sign_is_dropped_after_the_sum_only_in_grad_x_weight() -> None:
    model = tiny_model("llama")
    after, before = (scores(metric, model, TEXTS) for metric in ("grad_x_weight", "taylor_abs"))
    assert min(relative_errors(after, before).values()) > 0.05


def test_full_sort_orders_ties_by_tensor_then_index() -> None:
    scored = {"b": torch.tensor([[1.0, 3.0], [0.0, 3.0]]), "a": torch.tensor([3.0, 0.0, 5.0])}
    assert full_sort(scored) == [
        (5.0, 1, 2),
        (3.0, 0, 1),
        (3.0, 0, 3),
        (3.0, 1, 0),
        (1.0, 0, 0),
        (0.0, 0, 2),
        (0.0, 1, 1),
    ]
