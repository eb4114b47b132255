"""The twin of the activation statistics: hand counts, axes, ties, experts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from brute_activations import input_statistics
from brute_force import (
    gradient_statistics,
    weights,
)
from comparison import largest_error
from tiny_models import tiny_model, tiny_texts

TEXTS = tiny_texts(5, seed=1)


def test_input_statistics_of_the_first_projection_from_its_definition() -> None:
    model = tiny_model("llama")
    block = model.model.layers[0]
    inputs = [block.input_layernorm(model.model.embed_tokens(torch.tensor(text))).detach() for text in TEXTS]
    everything = torch.cat(inputs)
    assert len(everything) == sum(len(text) for text in TEXTS)  # the last position of each text counts
    stats = input_statistics(model, TEXTS)
    name = "model.layers.0.self_attn.q_proj.weight"
    got = {stat: stats[stat][name] for stat in stats}
    mean_abs = everything.abs().mean(0).repeat(16, 1)
    mean_sq = (torch.stack([x.pow(2).sum(0) for x in inputs]).mean(0)).repeat(16, 1)
    assert largest_error(got, {"input_abs": mean_abs, "input_sq": mean_sq}) < 1e-14


def test_conv1d_input_runs_along_the_first_axis() -> None:
    stats = input_statistics(tiny_model("gpt2"), TEXTS)["input_abs"]
    up, down = (stats[f"transformer.h.0.mlp.{part}.weight"] for part in ("c_fc", "c_proj"))
    assert up.shape == (16, 24)
    assert down.shape == (24, 16)
    for x in (up, down):
        assert torch.equal(x, x[:, :1].expand_as(x))
        assert len(x[:, 0].unique()) == len(x)


def test_embeddings_count_tokens_and_positions() -> None:
    texts = [[5, 6], [5, 7, 5, 8]]
    stats = input_statistics(tiny_model("gpt2"), texts)
    tokens, positions = (stats["input_abs"][f"transformer.{table}.weight"][:, 0] for table in ("wte", "wpe"))
    assert tokens[[5, 6, 7, 8]].tolist() == pytest.approx([3 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert tokens.sum() == pytest.approx(1)
    assert positions[:5].tolist() == pytest.approx([2 / 6, 2 / 6, 1 / 6, 1 / 6, 0])
    assert stats["input_sq"]["transformer.wte.weight"][5, 0] == pytest.approx(3 / 2)  # over texts, not tokens
    opt = input_statistics(tiny_model("opt"), texts)["input_abs"]["model.decoder.embed_positions.weight"][:, 0]
    assert opt[:7].tolist() == pytest.approx([0, 0, 2 / 6, 2 / 6, 1 / 6, 1 / 6, 0])


def test_a_tied_tensor_takes_its_embedding_use() -> None:
    got = input_statistics(tiny_model("qwen2"), TEXTS)["input_abs"]
    assert "lm_head.weight" not in got
    share = sum(text.count(TEXTS[1][0]) for text in TEXTS) / sum(len(text) for text in TEXTS)
    assert got["model.embed_tokens.weight"][TEXTS[1][0]].tolist() == pytest.approx([share] * 16)


def test_expert_means_are_over_the_tokens_routed_to_it() -> None:
    """Against a model with one expert for all tokens, and against the routed sums of all experts together."""
    single = tiny_model("mixtral", num_local_experts=1, num_experts_per_tok=1)
    stats = input_statistics(single, TEXTS)["input_abs"]
    inputs: list[Tensor] = []
    handle = single.model.layers[0].mlp.register_forward_pre_hook(lambda _, args: inputs.append(args[0][0]))
    with torch.no_grad():
        for text in TEXTS:
            single(input_ids=torch.tensor([text]))
    handle.remove()
    want = torch.cat(inputs).abs().mean(0).expand(1, 48, 16)
    assert largest_error({"x": stats["model.layers.0.mlp.experts.gate_up_proj"]}, {"x": want}) < 1e-14

    model = tiny_model("mixtral")
    stats = input_statistics(model, TEXTS)
    routed = stats["input_sq"]["model.layers.0.mlp.experts.gate_up_proj"][:, 0].sum(0)
    all_tokens = stats["input_sq"]["model.layers.0.mlp.gate.weight"][0]
    assert largest_error({"x": routed}, {"x": 2 * all_tokens}) < 1e-14  # each token goes to two experts


def test_an_expert_that_saw_no_token_has_zeros() -> None:
    model, tensor = tiny_model("mixtral"), "model.layers.0.mlp.experts.down_proj"
    seen = (input_statistics(model, [TEXTS[0]])["input_abs"][tensor].flatten(1) > 0).any(1)
    moved = (gradient_statistics(model, [TEXTS[0]])["grad"][tensor].flatten(1) != 0).any(1)
    assert seen.any()
    assert not seen.all()
    assert not moved[~seen].any()


def test_norms_and_biases_have_no_input() -> None:
    model = tiny_model("qwen3")
    assert set(input_statistics(model, TEXTS)["input_abs"]) == {n for n, w in weights(model).items() if w.ndim > 1}
