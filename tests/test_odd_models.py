"""Models that are not what the fast ways take for granted: refused with a line, or scored as they are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from brute_activations import input_statistics
from brute_force import gradient_statistics
from comparison import relative_errors
from critical_weights.errors import ModelError
from critical_weights.evaluation.damage import Evaluation
from critical_weights.model.facts import describe_tensors
from critical_weights.scoring.batches import pack, turn_of
from critical_weights.scoring.block_plan import BlockPlan
from critical_weights.scoring.causal import check_causal
from critical_weights.scoring.engine import Placed, start_run
from critical_weights.scoring.stack import Stack
from odd_models import odd_model
from tiny_models import tiny_model

TEXTS = [[7, 3, 9, 11, 40, 2, 8, 30, 31, 6, 12, 50], [3, 9, 4], [13, 14, 22, 9, 2, 1], [33, 7, 41, 9, 8, 28, 3]]
CPU = torch.device("cpu")


def statistics(model: torch.nn.Module, family: str, placement: str, tokens: int = 40) -> dict[str, dict]:
    """Return statistic -> tensor -> values of a run."""
    analysed = {tensor["name"] for tensor in describe_tensors(model) if tensor["analysed"]}
    placed = Placed(placement, BlockPlan(batch_tokens=tokens))
    found: dict[str, dict[str, list[torch.Tensor]]] = {}
    for item in start_run(family, model, TEXTS, analysed, placed, seed=0, probes=2):
        for statistic, values in item.statistics.items():
            found.setdefault(statistic, {}).setdefault(item.name, []).append(values.detach())
    return {statistic: {name: torch.cat(v) for name, v in own.items()} for statistic, own in found.items()}


@pytest.mark.parametrize(
    "kind, why",
    [("zamba2", "blocks 1 and 3 share"), ("hrm_text", "do not each run once"), ("rwkv", "cannot be run block by block"),
     ("gemma3n_text", "reads what weights outside the blocks made")],
)  # fmt: skip
@pytest.mark.parametrize("family", ["gradient", "curvature"])
def test_a_model_that_is_more_than_its_blocks_is_refused_there(kind: str, why: str, family: str) -> None:
    with pytest.raises(ModelError, match=why) as refused:
        statistics(odd_model(kind), family, "blocks")
    assert "placement: resident" in str(refused.value)


def test_activations_alone_go_block_by_block_where_keys_are_handed_on() -> None:
    model = odd_model("gemma3n_text")
    whole, parts = (statistics(model, "forward", placement) for placement in ("resident", "blocks"))
    errors = relative_errors(parts["input_sq"], whole["input_sq"])
    assert max(errors.values()) < 1e-9
    assert len(errors) > 20


def test_keys_and_values_left_for_later_blocks_are_noticed_as_they_are_left() -> None:
    model = odd_model("gemma3n_text").requires_grad_(False)
    stack = Stack(model)
    batch = pack(TEXTS[:1], 1)[0]
    stack.learn(batch)
    hidden, calls = stack.calls(batch)

    def run() -> None:
        states = hidden
        for block, call in enumerate(calls):
            states = stack.run_block(block, call, states)

    with pytest.raises(ModelError, match="leaves keys and values for later ones"):
        run()


@pytest.mark.parametrize("kind", ["zamba2", "hrm_text", "rwkv", "gemma3n_text"])
def test_their_damage_is_that_of_whole_runs(kind: str) -> None:
    """Two conditions one after the other: what the first one left must not be in the second."""
    model = odd_model(kind).requires_grad_(False)
    evaluation = Evaluation(model, TEXTS, CPU, 1 << 30)
    matrices = [name for name, parameter in model.named_parameters() if parameter.dim() == 2]
    handed_on = ("2.self_attn.q_proj.weight", "1.self_attn.v_proj.weight")  # Gemma-3n's block 2 reads block 1's values
    names = [name for name in matrices if name.endswith(handed_on)] or [n for n in matrices if ".1." in n][:4]
    assert len(names) > 1
    for name in [*names, *reversed(names)]:
        parameter = model.get_parameter(name)
        before = parameter.clone()
        parameter.mul_(3.0)
        found = evaluation.measure([name]).change
        true = [loss(model, ids) - base for ids, base in zip(TEXTS, evaluation.loss, strict=True)]
        parameter.copy_(before)
        assert found == pytest.approx(true, abs=1e-8)


def loss(model: torch.nn.Module, ids: Sequence[int]) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))


def test_a_model_that_sees_later_tokens_is_refused() -> None:
    encoder = odd_model("bert")
    with pytest.raises(ModelError, match="BertLMHeadModel sees later tokens"):
        check_causal(encoder, TEXTS)
    with pytest.raises(ModelError, match="sees later tokens"):
        Stack(encoder).learn(pack(TEXTS, 100)[-1])
    both = odd_model("gemma3_text", use_bidirectional_attention=True)
    with pytest.raises(ModelError, match="sees later tokens"):
        check_causal(both, TEXTS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gemma2", "bloom"])
def test_causal_models_pass(name: str, dtype: torch.dtype) -> None:
    model = tiny_model(name, dtype)
    for texts in (TEXTS, [[3, 4]], [[5, 5]]):
        check_causal(model, texts)
        Stack(model).learn(pack(texts, 100)[-1])


def test_positions_that_begin_behind_the_padding_are_the_models_own() -> None:
    model = odd_model("roberta").requires_grad_(True)
    found = statistics(model, "gradient", "resident")
    expected = gradient_statistics(model, TEXTS)
    live = {n for n, v in expected["grad"].items() if v.norm() > 1e-9}
    assert len(live) > 30
    errors = relative_errors({n: found["grad"][n] for n in live}, {n: expected["grad"][n] for n in live})
    assert max(errors.values()) < 1e-9


@pytest.mark.parametrize("placement", ["resident", "blocks"])
def test_short_texts_beside_long_ones_keep_their_own_rotation(placement: str) -> None:
    """Phi-3's longrope takes other frequencies for a batch with a text of more than 8 tokens."""
    model = odd_model("phi3").requires_grad_(True)
    assert turn_of(model.config) == 8
    assert turn_of(tiny_model("llama").config) is None
    found, expected = statistics(model, "gradient", placement), gradient_statistics(model, TEXTS)
    assert max(relative_errors(found["grad"], expected["grad"]).values()) < 1e-9
    batches = pack(TEXTS, 40, apart=8)
    assert [batch.lengths for batch in batches] == [(12,), (7, 6, 3)]


def test_an_embedding_that_is_scaled_in_place_is_caught() -> None:
    model = odd_model("ctrl").requires_grad_(True)
    found, expected = statistics(model, "gradient", "resident"), gradient_statistics(model, TEXTS)
    errors = relative_errors(found["grad_sq"], {name: expected["grad_sq"][name] for name in found["grad_sq"]})
    assert max(errors.values()) < 1e-9
    assert "transformer.w.weight" in errors


def test_a_weight_used_twice_a_text_has_the_mean_over_both_uses() -> None:
    model = odd_model("gemma3n_text")
    found = statistics(model, "forward", "resident")["input_abs"]
    expected = input_statistics(model, TEXTS)["input_abs"]
    twice = [name for name in found if "modality_router" in name]
    assert len(twice) == 4
    for name in twice:
        assert torch.allclose(found[name].expand_as(expected[name]), expected[name], rtol=1e-9)
