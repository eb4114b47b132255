"""Every metric of the library, by the plain engine, against its slow twin in float64; run with -s for the errors."""

from __future__ import annotations

import random
from functools import cache

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from brute_force import corpus_loss, gradient_statistics, hessian_columns, hutchinson, predicted, scores, weights
from comparison import largest_error, relative_errors
from critical_weights.metrics import METRICS, STATISTICS
from critical_weights.scoring.activations import WITHOUT_FIRST
from critical_weights.scoring.plain import gather_plain
from critical_weights.scoring.probes import rademacher
from tiny_models import EAGER, MICRO, MICRO_GPT2, NAMES, exact_norms, tiny_model, tiny_texts

TEXTS = tiny_texts(4, seed=7)
PROBES = 3
SEED = 11
# OPT adds a key bias to every key: every score of a query moves alike, and softmax does not see it.
VANISHING = {"opt": ["model.decoder.layers.0.self_attn.k_proj.bias", "model.decoder.layers.1.self_attn.k_proj.bias"]}


@cache
def _model(name: str) -> PreTrainedModel:
    return tiny_model(name)


def _engine_scores(metric: str, model: PreTrainedModel, texts: list[list[int]], **settings: int) -> dict[str, Tensor]:
    """Every tensor's scores, in the weight's shape; the curvature probes move every tensor."""
    definition = METRICS[metric]
    settings = {"seed": SEED, "probes": PROBES, **settings}
    run = gather_plain(model, texts, definition.family, analysed=set(weights(model)), **settings)
    found = {}
    for item in run:
        if all(need in item.statistics for need in definition.needs):
            found[item.name] = definition.score(item.weight, item.statistics).expand(item.weight.shape)
    assert set(run.summary.missing) == set(weights(model)) - set(found)
    return found


def _probes(model: PreTrainedModel, n: int = PROBES) -> list[dict[str, Tensor]]:
    return [
        {name: rademacher(SEED, probe, name, w.shape, w.dtype) for name, w in weights(model).items()}
        for probe in range(n)
    ]


def _vanishing(metric: str, name: str, want: dict[str, Tensor]) -> list[str]:
    if metric == "obd_hutch":  # a tensor of a few weights can be clipped as a whole
        return VANISHING.get(name, []) + [n for n, t in want.items() if t.numel() <= 8 and not t.any()]
    return [] if metric in ("magnitude", "act_mag", "wanda") else VANISHING.get(name, [])


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("name", NAMES)
def test_engine_agrees_with_the_twin(name: str, metric: str) -> None:
    model = _model(name)
    got = _engine_scores(metric, model, TEXTS)
    want = scores(metric, model, TEXTS, _probes(model))
    error = largest_error(got, want, _vanishing(metric, name, want))
    print(f"{name:12s} {metric:16s} {error:.1e}")
    assert error <= (1e-6 if name in EAGER else 1e-9)


@pytest.mark.parametrize("name", ["llama_tied", "gpt2", "gpt_neox", "mixtral"])
def test_signed_statistics_agree_with_the_twin(name: str) -> None:
    """A score forgets the sign that the store keeps beside it."""
    model = _model(name)
    want = {"grad": gradient_statistics(model, TEXTS)["grad"]}
    want["hessian_diag"], want["hessian_stderr"] = hutchinson(model, TEXTS, _probes(model))
    items = list(gather_plain(model, TEXTS, "gradient"))
    items += gather_plain(model, TEXTS, "curvature", seed=SEED, probes=PROBES, analysed=set(weights(model)))
    for statistic, expected in want.items():
        got = {item.name: item.statistics[statistic] for item in items if statistic in item.statistics}
        assert min(t.min() for t in got.values()) < 0 or statistic == "hessian_stderr"
        assert largest_error(got, expected) <= 1e-9, statistic


@pytest.mark.parametrize("metric", list(METRICS))
def test_scores_are_finite_and_not_negative(metric: str) -> None:
    for tensor in _engine_scores(metric, _model("llama"), TEXTS).values():
        assert tensor.isfinite().all()
        assert (tensor >= 0).all()


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("name", ["llama_tied", "gpt2"])
def test_order_of_the_texts_changes_nothing(name: str, metric: str) -> None:
    shuffled = list(TEXTS)
    random.Random(1).shuffle(shuffled)
    assert shuffled != TEXTS
    model = _model(name)
    assert largest_error(_engine_scores(metric, model, shuffled), _engine_scores(metric, model, TEXTS)) < 1e-12


@pytest.mark.parametrize("metric", list(METRICS))
def test_the_corpus_twice_changes_nothing(metric: str) -> None:
    model = _model("llama")
    twice, once = (_engine_scores(metric, model, texts) for texts in (TEXTS + TEXTS, TEXTS))
    assert largest_error(twice, once) < 1e-12


@pytest.mark.parametrize("metric", list(METRICS))
def test_two_runs_are_bitwise_equal(metric: str) -> None:
    first, second = (_engine_scores(metric, tiny_model("qwen2"), TEXTS) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_tensor_has_a_gradient_the_norms_too() -> None:
    for name in ("llama", "gpt2", "mixtral"):
        model = _model(name)
        names = [item.name for item in gather_plain(model, TEXTS, "gradient") if "grad" in item.statistics]
        assert names == list(weights(model))


def test_the_token_that_a_model_pads_with_has_its_gradient() -> None:
    model, texts = tiny_model("phi3", pad_token_id=1), [[5, 1, 7, 9], [2, 3]]
    for metric in ("grad_x_weight", "grad_squared", "hutchinson_diag"):
        got = _engine_scores(metric, model, texts)
        assert got["model.embed_tokens.weight"][1].any(), metric
        assert largest_error(got, scores(metric, model, texts, _probes(model))) <= 1e-9, metric


def test_statistics_are_those_of_the_family() -> None:
    for family in ("static", "forward", "gradient", "curvature"):
        wanted = {s.name for s in STATISTICS.values() if s.family == family}
        for item in gather_plain(_model("llama"), TEXTS[:2], family, probes=2):
            own = {name.removesuffix(WITHOUT_FIRST) for name in item.statistics}
            assert own in (wanted, set())


def test_summary_counts_texts_and_predicted_tokens() -> None:
    for family in ("forward", "gradient", "curvature"):
        run = gather_plain(_model("gpt2"), TEXTS, family, probes=2)
        assert len(list(run)) == len(weights(_model("gpt2")))
        assert (run.summary.n_texts, run.summary.n_predicted) == (len(TEXTS), predicted(TEXTS))
        assert run.summary.corpus_loss == pytest.approx(corpus_loss(_model("gpt2"), TEXTS).item(), rel=1e-13)


def test_magnitude_needs_no_text() -> None:
    run = gather_plain(_model("llama"), [], "static")
    assert len(list(run)) == len(weights(_model("llama")))
    assert run.summary.corpus_loss is None


def test_train_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="train mode"):
        gather_plain(tiny_model("llama").train(), TEXTS, "gradient")


def test_weights_and_gradients_are_left_as_they_were() -> None:
    model = tiny_model("llama")
    before = {name: w.detach().clone() for name, w in weights(model).items()}
    for family in ("static", "forward", "gradient", "curvature"):
        list(gather_plain(model, TEXTS[:2], family, probes=2))
    assert all(torch.equal(w, before[name]) and w.grad is None for name, w in weights(model).items())


def test_norms_and_biases_are_no_part_of_the_activation_metrics() -> None:
    run = gather_plain(_model("qwen2"), TEXTS, "forward")
    found = {item.name for item in run if item.statistics}
    assert found == {name for name, w in weights(_model("qwen2")).items() if w.ndim == 2}
    assert set(run.summary.missing) == set(weights(_model("qwen2"))) - found
    assert all(run.summary.missing.values())


# Curvature


def test_probes_move_the_analysed_tensors_only() -> None:
    """By default those of two dimensions or more; a probe of them all gives other estimates."""
    model = _model("llama")
    run = gather_plain(model, TEXTS, "curvature", seed=SEED, probes=PROBES)
    got = {item.name: item.statistics["hessian_diag"].abs() for item in run if item.statistics}
    some = [{name: v for name, v in probe.items() if v.ndim >= 2} for probe in _probes(model)]
    assert largest_error(got, scores("hutchinson_diag", model, TEXTS, some)) < 1e-9
    everything = scores("hutchinson_diag", model, TEXTS, _probes(model))
    assert min(relative_errors(got, {name: everything[name] for name in got}).values()) > 1e-3
    assert set(run.summary.missing) == {name for name, w in weights(model).items() if w.ndim == 1}


@pytest.mark.parametrize("name, overrides", [("llama", MICRO), ("gpt2", MICRO_GPT2)])
def test_hutchinson_is_the_diagonal_within_its_standard_error(name: str, overrides: dict[str, int]) -> None:
    model = tiny_model(name, **overrides)
    texts = tiny_texts(2, seed=2, vocab=7, longest=6)
    run = gather_plain(model, texts, "curvature", seed=1, probes=200, analysed=set(weights(model)))
    with exact_norms(model):
        diagonal, _ = hessian_columns(model, texts)
    deviations = []
    for item in run:
        mean, error = item.statistics["hessian_diag"], item.statistics["hessian_stderr"]
        constant = error < 1e-9 * error.max()  # rows of unseen tokens, a key bias: always 0
        assert (mean - diagonal[item.name])[constant].abs().sum() < 1e-12
        deviations.append(((mean - diagonal[item.name]) / error)[~constant])
    z = torch.cat(deviations)
    print(f"{name}: {len(z)} entries, largest deviation {z.abs().max():.2f} standard errors")
    assert len(z) > 150
    assert z.abs().max() < 4.5
    assert 0.5 < z.pow(2).mean() < 2.0  # neither too far off nor a standard error that is too large


def test_rademacher_is_balanced_and_known_by_its_address() -> None:
    shape = (100, 100)
    first = rademacher(0, 0, "a", shape, torch.float64)
    assert first.shape == shape
    assert first.dtype == torch.float64
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(first, rademacher(0, 0, "a", shape, torch.float64))
    others = [rademacher(*address, shape, torch.float64) for address in ((1, 0, "a"), (0, 1, "a"), (0, 0, "b"))]
    for tensor in (first, *(first * other for other in others)):
        assert tensor.mean().abs() < 0.045  # 4.5 standard errors of a mean of 10,000 signs
