"""Damage against plain runs of the model; prefix reuse against full evaluation; bootstrap against a plain loop."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from critical_weights.errors import ModelError
from critical_weights.evaluation.bootstrap import intervals, per_token
from critical_weights.evaluation.damage import Evaluation
from critical_weights.evaluation.gradients_at import gradients_at
from critical_weights.evaluation.prefix import IDS
from critical_weights.interventions.apply import applied
from critical_weights.scoring.loss import text_loss
from critical_weights.stability.resampling import bootstrap_multiplicities
from tiny_models import EAGER, NAMES, VOCABULARY, tiny_model, tiny_texts

CPU = torch.device("cpu")
TEXTS = tiny_texts(7, seed=3)
SPARE = 1 << 30


def log_probabilities(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """Return (T_s, vocabulary) of one text, run alone."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].double().log_softmax(-1)


def plain_damage(base: list[torch.Tensor], model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return the slow twin: each text alone, every figure from its definition."""
    found = {"change": [], "agreed": [], "divergence": []}
    for ids, before in zip(TEXTS, base, strict=True):
        after, targets = log_probabilities(model, ids), torch.tensor(ids[1:])[:, None]
        found["change"].append(float((before - after).gather(1, targets).sum()))
        found["agreed"].append(int((before.argmax(1) == after.argmax(1)).sum()))
        found["divergence"].append(float((before.exp() * (before - after)).sum()))
    return {key: np.array(values) for key, values in found.items()}


def one_of_each(model: torch.nn.Module) -> dict[str, dict[str, np.ndarray]]:
    """Return sets to change: one tensor of each block, each tensor outside, and a set over several places."""
    names = [name for name, parameter in model.named_parameters() if parameter.numel() > 8]
    sets = {name: {name: np.array([0, 5])} for name in names}
    return sets | {"all": {name: np.array([1]) for name in names}}


@pytest.mark.parametrize("name", NAMES)
def test_prefix_reuse_equals_full_evaluation(name: str) -> None:
    """For every tensor of every architecture: the kept prefix gives what running everything and plain runs give."""
    model = tiny_model(name)
    # A softmax in float32 may round otherwise in a batch than by itself; the sum over a text carries that on.
    allowed = 1e-5 if name in EAGER else 1e-10
    kept, full = (Evaluation(model, TEXTS, CPU, spare) for spare in (SPARE, 0))
    assert kept._runs.keeps
    assert not full._runs.keeps
    base = [log_probabilities(model, ids) for ids in TEXTS]
    starts = set()
    for places in one_of_each(model).values():
        with applied(model, places, "scale", 3.0):
            damages = [evaluation.measure(places) for evaluation in (kept, full)]
            plain = plain_damage(base, model)
        starts.add(damages[0].start)
        assert damages[1].start == IDS
        assert np.allclose(damages[0].change, damages[1].change, rtol=0, atol=1e-10)
        for damage in damages:
            assert np.allclose(damage.change, plain["change"], rtol=0, atol=allowed)
            assert (damage.agreed == plain["agreed"]).all()
        assert np.allclose(damages[0].divergence, plain["divergence"], rtol=0, atol=allowed)
        assert np.isnan(damages[1].divergence).all()
    blocks = len(kept._runs._stack)
    assert starts == {IDS, *range(blocks + 1)}


def test_changes_far_below_the_loss_keep_their_digits() -> None:
    """A change of 1e-9 nats is had to six digits, where the difference of two losses has three."""
    model = tiny_model("llama")
    evaluation = Evaluation(model, TEXTS, CPU, SPARE)
    places = {"lm_head.weight": np.array([100])}
    with applied(model, places, "scale", 1 + 1e-9) as done:
        change = evaluation.measure(places).change.sum()
        step = float(done.change["lm_head.weight"][0])
    (g, _) = gradients_at(model, TEXTS, places, CPU)["lm_head.weight"]
    assert abs(change / (g[0] * step * evaluation.predicted.sum()) - 1) < 1e-5


def test_an_unchanged_model_has_no_damage() -> None:
    """Nothing changed: exactly 0, all predictions agree; the losses are the model's own."""
    model = tiny_model("llama")
    evaluation = Evaluation(model, TEXTS, CPU, SPARE)
    damage = evaluation.measure([])
    assert (damage.change == 0).all()
    assert (damage.divergence == 0).all()
    assert (damage.agreed == evaluation.predicted).all()
    losses = [float(text_loss(model, torch.tensor([ids])).detach()) for ids in TEXTS]
    assert np.allclose(evaluation.loss, losses, atol=1e-10)


def test_an_unchanged_model_without_a_finite_loss_is_refused() -> None:
    """One text is enough: against its loss no damage could be told."""
    model = tiny_model("llama", torch.float32)
    with torch.no_grad():
        model.get_parameter("model.embed_tokens.weight")[TEXTS[3][-2]] = math.inf
    with pytest.raises(ModelError, match="no finite loss on every evaluation text"):
        Evaluation(model, TEXTS, CPU, SPARE)


def test_outcomes_are_counted_not_raised() -> None:
    """NaN, infinite and uniform outputs are told apart, text by text."""
    model = tiny_model("llama", torch.float32)
    evaluation = Evaluation(model, TEXTS, CPU, SPARE)
    head, texts = model.get_parameter("lm_head.weight"), len(TEXTS)
    everything = {"lm_head.weight": np.arange(head.numel())}
    with applied(model, everything, "zero"):
        damage = evaluation.measure(everything)
        assert (damage.nan.sum(), damage.inf.sum(), damage.collapsed.sum()) == (0, 0, texts)
        assert np.allclose(evaluation.loss + damage.change, evaluation.predicted * math.log(VOCABULARY), rtol=1e-5)
    saved = head.detach().clone()
    with torch.no_grad():
        head[3] = math.nan
        damage = evaluation.measure(["lm_head.weight"])
        assert (damage.nan.sum(), damage.inf.sum()) == (texts, 0)
        head.copy_(saved)
        head[3] *= 3e38
        damage = evaluation.measure(["lm_head.weight"])
        assert damage.inf.sum() > 0
        assert damage.nan.sum() == 0
        head.copy_(saved)
    assert (evaluation.measure(["lm_head.weight"]).change == 0).all()


def test_a_text_has_collapsed_when_more_than_half_of_its_predictions_are_uniform() -> None:
    """The first three are, of five, six and seven: half is not enough."""
    model = tiny_model("llama")
    evaluation = Evaluation(model, [list(range(1, n + 2)) for n in (5, 6, 7)], CPU, SPARE)
    assert evaluation.predicted.tolist() == [5, 6, 7]

    def three_uniform(_module: torch.nn.Module, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(logits[:, :3]), 1000 * logits[:, 3:]], 1)

    with model.lm_head.register_forward_hook(three_uniform):
        damage = evaluation.measure(["lm_head.weight"])
    assert damage.collapsed.tolist() == [True, False, False]


@pytest.mark.parametrize("intervention, spare", [("scale", SPARE), ("scale", 0), ("zero", SPARE)])
def test_a_text_compared_in_pieces_gives_the_same(
    intervention: str, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows of logits at a time, the last piece shorter or not: all sums, counts and outcomes stay."""
    model = tiny_model("llama")
    evaluation = Evaluation(model, TEXTS, CPU, spare)
    everything = {"lm_head.weight": np.arange(model.get_parameter("lm_head.weight").numel())}
    with applied(model, everything, intervention):
        whole = evaluation.measure(everything)
        monkeypatch.setattr("critical_weights.evaluation.damage.ROWS", 2 * VOCABULARY)
        pieces = evaluation.measure(everything)
    assert whole.collapsed.all() == (intervention == "zero")
    assert (evaluation.predicted > 2).any()
    for field in fields(whole):
        assert np.allclose(getattr(pieces, field.name), getattr(whole, field.name), rtol=1e-12, equal_nan=True)


def test_logits_are_kept_where_they_fit_into_a_third() -> None:
    """A byte less than three times what they take, and there is no divergence."""
    model = tiny_model("llama")
    needed = sum(len(ids) - 1 for ids in TEXTS) * VOCABULARY * 8
    for spare, kept in ((3 * needed, True), (3 * needed - 1, False)):
        assert np.isfinite(Evaluation(model, TEXTS, CPU, spare).measure([]).divergence).all() == kept


def test_float32_losses_are_summed_in_float64() -> None:
    """Positions computed in float32, one by one; a float32 sum of them would be another number."""
    model, ids = tiny_model("llama", torch.float32), TEXTS[1]
    evaluation = Evaluation(model, [ids], CPU, 0)
    targets = torch.tensor(ids[1:])[:, None]

    def positions() -> torch.Tensor:
        with torch.no_grad():
            logits = evaluation._runs.logits(0, IDS)[0, :-1]
        return logits.logsumexp(1) - logits.gather(1, targets)[:, 0]

    before = positions()
    assert evaluation.loss[0] == before.double().sum() != before.sum()
    with applied(model, {"lm_head.weight": np.arange(800)}, "scale", 1.5):
        found = evaluation.measure(["lm_head.weight"]).change[0]
        assert found == pytest.approx(float((positions() - before).double().sum()), abs=2e-5)


def test_gradients_at_equal_plain_autograd() -> None:
    """Gradient and Fisher diagonal at selected weights equal those of whole gradients; nothing is left in the model."""
    model = tiny_model("llama_tied")
    places = {"model.embed_tokens.weight": np.array([0, 9, 700]), "model.layers.0.mlp.up_proj.weight": np.array([3])}
    found = gradients_at(model, TEXTS, places, CPU)
    tokens = sum(len(ids) - 1 for ids in TEXTS)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    for name, flat in places.items():
        own = np.zeros((len(TEXTS), len(flat)))
        for s, ids in enumerate(TEXTS):
            loss = text_loss(model, torch.tensor([ids]))
            own[s] = torch.autograd.grad(loss, model.get_parameter(name))[0].reshape(-1)[flat].numpy()
        assert np.allclose(found[name][0], own.sum(0) / tokens, rtol=1e-10, atol=1e-15)
        assert np.allclose(found[name][1], (own**2).sum(0) / tokens, rtol=1e-10, atol=1e-18)


def test_bootstrap_against_a_plain_loop() -> None:
    """Means and quantiles equal those of texts drawn one by one; a text that is not finite is left out, tokens too."""
    rng = np.random.default_rng(0)
    change, predicted = rng.standard_normal((3, 6)), np.array([3, 9, 1, 4, 7, 2])
    change[1, 2], change[2] = np.inf, np.nan
    mean, low, high = intervals(change, predicted, 200, 7)
    for condition in range(2):
        drawn = []
        for times in bootstrap_multiplicities(6, 200, 7):
            texts = [s for s in np.repeat(np.arange(6), times.astype(int)) if np.isfinite(change[condition, s])]
            drawn.append(sum(change[condition, s] for s in texts) / sum(predicted[s] for s in texts))
        kept = np.isfinite(change[condition])
        assert np.isclose(mean[condition], change[condition, kept].sum() / predicted[kept].sum())
        assert np.allclose([low[condition], high[condition]], np.quantile(drawn, [0.025, 0.975]))
    assert np.isnan([mean[2], low[2], high[2]]).all()
    assert per_token(change[:1], predicted, np.ones((1, 6))).shape == (1, 1)


def test_one_text_has_no_interval() -> None:
    """Every draw of it is the same: an interval of no width would tell of certainty."""
    change, predicted = np.array([[1.0, 3.5], [3.0, np.nan], [np.inf, np.nan]]), np.array([2, 4])
    mean, low, high = intervals(change, predicted, 100, 7)
    assert np.allclose(mean[:2], [0.75, 1.5])
    assert low[0] < mean[0] < high[0]
    assert np.isnan([*low[1:], *high[1:], mean[2]]).all()
    assert np.isnan(intervals(change[:1, :1], predicted[:1], 100, 7)[1:]).all()
