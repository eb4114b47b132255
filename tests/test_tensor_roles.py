"""What the names of tensors alone tell, held against the facts of models that have these names."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from critical_weights.model.facts import describe_tensors
from critical_weights.structure.structure import structure_of_lists
from critical_weights.structure.tensor_roles import facts_of_names

KINDS = ("gpt2", "openai-gpt", "starcoder2", "gpt_neo", "gpt_bigcode", "llama", "gpt_neox", "bloom", "gptj", "mpt")
SIZES = {"hidden_size": 8, "n_embd": 8, "intermediate_size": 12, "num_hidden_layers": 2, "n_layer": 2, "n_head": 2,
         "num_layers": 2, "attention_types": [[["global"], 2]], "num_attention_heads": 2, "num_key_value_heads": 2,
         "num_heads": 2, "vocab_size": 13}  # fmt: skip
GUESS = "as GPT-2's Conv1D, which stores (in, out)"


def axes_of(kind: str) -> dict[str, list[str]]:
    """Return the axes of each matrix of an architecture, as its modules have them."""
    known = AutoConfig.for_model(kind).to_dict()
    config = AutoConfig.for_model(kind, **{key: value for key, value in SIZES.items() if key in known})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {t["name"]: t["axes"] for t in describe_tensors(model) if len(t["shape"]) == 2}


def guessed(names: list[str]) -> dict[str, list[str]]:
    tensors = facts_of_names(iter(names), dict.fromkeys(names, 2))["tensors"]
    return {tensor["name"]: tensor["axes"] for tensor in tensors}


@pytest.mark.parametrize("kind", KINDS)
def test_axes_are_guessed_as_the_modules_have_them(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of all but GPTBigCode, whose tensors have GPT-2's names and lie in Linear modules; a guess is told."""
    caplog.set_level(logging.INFO, "critical_weights")
    axes = axes_of(kind)
    wrong = {name for name, found in guessed(list(axes)).items() if found != axes[name]}
    assert bool(wrong) == (kind == "gpt_bigcode")
    assert (GUESS in caplog.text) == (kind in ("gpt2", "openai-gpt", "gpt_bigcode"))
    if GUESS in caplog.text:
        stored = sum(name.split(".")[-2] in ("c_attn", "c_fc", "c_proj") for name in axes)
        assert f"{stored} tensors" in caplog.text


def test_a_shared_column_of_starcoder2_is_no_row() -> None:
    """Its ``c_fc`` is a Linear (out, in): the second index is the input."""
    for name, line in (("model.layers.0.mlp.c_fc.weight", "col"), ("transformer.h.0.mlp.c_fc.weight", "row"),
                       ("h.0.mlp.c_fc.weight", "row")):  # fmt: skip
        frame = pd.DataFrame({"parameter": name, "indices": [f"({i}, 7)" for i in range(5)], "sensitivity_score": 1.0})
        table = structure_of_lists({"list": frame}, None)
        first = table[(table["scope"] == "tensor") & (table["quantity"] == "line_1")]
        assert first[["line", "index"]].to_numpy().tolist() == [[line, 7]]
