"""Where selected weights lie: what is planted is named, chance is what chance gives, a slow twin counts the same."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from math import comb

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from critical_weights.errors import RankingError, StoreError
from critical_weights.model.facts import describe_tensors
from critical_weights.structure.recurring import _any_holds, tail
from critical_weights.structure.selections import KS, Selection, selections_of
from critical_weights.structure.structure import structure_of_lists, structure_table
from critical_weights.structure.tensor_roles import neurons_of, residual_axis
from critical_weights.tables.schema import read_table, write_table
from critical_weights.tables.structure import STRUCTURE, TOKENS
from script_call import call_script
from synthetic_stores import TensorSpec, default_specs, facts_of, random_scores, tokens_of, write_store, write_study

HIDDEN, INNER, BLOCKS, TOKENS_KNOWN = 8, 12, 4, 13
MATRIX = ("row", "col")


def llama_specs(hidden=HIDDEN, inner=INNER, blocks=BLOCKS, vocabulary=TOKENS_KNOWN):
    """Return the tensors of a Llama: with a norm in front of each block."""
    specs = [TensorSpec("model.embed_tokens.weight", (vocabulary, hidden), None, "embed_tokens", "embedding", MATRIX)]
    for layer in range(blocks):
        for part, component, shape in (
            ("self_attn", "q_proj", (hidden, hidden)), ("self_attn", "o_proj", (hidden, hidden)),
            ("mlp", "gate_proj", (inner, hidden)), ("mlp", "up_proj", (inner, hidden)),
            ("mlp", "down_proj", (hidden, inner)),
        ):  # fmt: skip
            name = f"model.layers.{layer}.{part}.{component}.weight"
            specs.append(TensorSpec(name, shape, layer, component, "linear", MATRIX))
        norm = f"model.layers.{layer}.input_layernorm.weight"
        specs.append(TensorSpec(norm, (hidden,), layer, "input_layernorm", "norm", ("row",), analysed=False))
    return [*specs, TensorSpec("lm_head.weight", (vocabulary, hidden), None, "lm_head", "linear", MATRIX)]


def facts(specs, **more):
    return facts_of(specs) | {"hidden_size": HIDDEN, "n_layers": BLOCKS, "model_type": "llama", "head_dim": None} | more


LLAMA = facts(llama_specs())


def weights_at(places):
    """Return a list from (tensor name, index tuple), best first."""
    return pd.DataFrame(
        {
            "parameter": [name for name, _ in places],
            "indices": [str(tuple(int(i) for i in index)) for _, index in places],
            "sensitivity_score": np.arange(len(places), 0, -1, dtype=np.float32),
        }
    )


def random_list(own_facts, n, seed):
    """Return a list of n different analysed weights, drawn at random over all of them."""
    rng = np.random.default_rng(seed)
    tensors = [tensor for tensor in own_facts["tensors"] if tensor["analysed"]]
    ends = np.cumsum([tensor["numel"] for tensor in tensors])
    flat = rng.choice(ends[-1], n, replace=False)
    owner = np.searchsorted(ends, flat, side="right")
    places = []
    for number, index in zip(owner, flat, strict=True):
        tensor = tensors[number]
        inner = index - (ends[number - 1] if number else 0)
        places.append((tensor["name"], np.unravel_index(inner, tensor["shape"])))
    return weights_at(places)


def q(layer, part="self_attn.q_proj"):
    return f"model.layers.{layer}.{part}.weight"


def figures(table, scope, quantity, **more):
    part = table[(table["scope"] == scope) & (table["quantity"] == quantity)]
    for column, value in more.items():
        part = part[part[column] == value]
    return part


def figure(table, scope, quantity, **more):
    part = figures(table, scope, quantity, **more)
    assert len(part) == 1, part
    return part.iloc[0]


def describe(places, own_facts=LLAMA):
    return structure_of_lists({"a": weights_at(places)}, own_facts)


@pytest.mark.parametrize("line, at", [("row", lambda i: (5, i)), ("col", lambda i: (i, 5))])
def test_a_planted_line_is_named_and_stands_far_above_chance(line, at):
    places = [(q(1), at(i)) for i in range(7)] + [(q(1), (0, 0)), (q(2), (3, 3)), (q(2), (4, 4))]
    table = describe(places)
    first = figure(table, "tensor", "line_1", name=q(1))
    assert (first["line"], first["index"], first["layer"]) == (line, 5, 1)
    assert (first["value"], first["n"], first["unit"]) == (7 / 8, 8, "fraction of n")
    assert first["p"] < 1e-4
    assert first["expected"] < 0.5
    assert figure(table, "tensor", "lines_to_cover", name=q(1))["value"] == 2
    assert figure(table, "tensor", "half_lines", name=q(1))["value"] == 1
    assert len(figures(table, "tensor", "line_1", name=q(2))) == 0  # no line has two weights
    pooled = figure(table, "all", "best_1_share")
    assert (pooled["value"], pooled["n"]) == (8 / 10, 10)
    assert pooled["expected"] < 0.6


def test_a_line_of_a_conv1d_or_an_expert_is_named_by_its_meaning():
    specs = default_specs()
    own = facts_of(specs)
    conv, experts = "model.layers.0.mlp.c_fc.weight", "model.layers.1.mlp.experts.down_proj"
    places = [(conv, (i, 7)) for i in range(5)] + [(experts, (2, 4, i)) for i in range(4)] + [(experts, (1, 4, 0))]
    table = structure_of_lists({"a": weights_at(places)}, own)
    line = figure(table, "tensor", "line_1", name=conv)
    assert (line["line"], line["index"]) == ("row", 7)  # stored (in, out): the second index is the output
    assert pd.isna(line["expert"])
    line = figure(table, "tensor", "line_1", name=experts)
    assert (line["line"], line["index"], line["expert"], line["value"]) == ("row", 4, 2, 4 / 5)
    assert figure(table, "tensor", "rows_hit", name=experts)["value"] == 2  # row 4 of two experts is two rows


def test_a_planted_residual_channel_is_found_across_blocks_and_outside_them():
    writers = [(q(b, "mlp.down_proj"), (3, b)) for b in range(BLOCKS)]
    readers = [(q(b, "mlp.up_proj"), (b + 1, 3)) for b in range(BLOCKS)]
    outside = [("model.embed_tokens.weight", (9, 3)), ("lm_head.weight", (4, 3)), ("lm_head.weight", (4, 5))]
    other = [
        *((q(0), (i, 6)) for i in range(8)),
        (q(1, "self_attn.o_proj"), (6, 3)),
    ]  # row 3 of q and column 3 of o are no channel
    table = describe(writers + readers + outside + other)
    hit = figures(table, "residual", "blocks_hit")
    assert list(zip(hit["index"], hit["value"], strict=True)) == [(3, 4), (6, 2)]
    assert hit["p"].iloc[0] < 0.2 < hit["p"].iloc[1]
    # Hit in more blocks comes first, though the other one has more weights.
    assert figure(table, "residual", "weights", index=3)["value"] == 8
    assert figure(table, "residual", "weights", index=6)["value"] == 9
    assert figure(table, "residual", "outside_hit", index=3)["value"] == 2
    assert figure(table, "residual", "outside_hit", index=6)["value"] == 0
    assert (hit["n"] == 17).all()


def test_half_of_three_blocks_is_two():
    own = facts(llama_specs(blocks=3), n_layers=3)
    table = describe([(q(0), (0, 3)), (q(1), (0, 3)), (q(2), (0, 4))], own)
    assert figure(table, "residual", "channels_in_half")["value"] == 1


def test_a_planted_neuron_is_found_in_the_tensors_of_its_block():
    places = [(q(2, "mlp.gate_proj"), (11, 0)), (q(2, "mlp.up_proj"), (11, 1)), (q(2, "mlp.down_proj"), (2, 11)),
              (q(2, "mlp.down_proj"), (3, 11)), (q(1, "mlp.down_proj"), (11 % HIDDEN, 5)), (q(0), (1, 1))]  # fmt: skip
    table = describe(places)
    hit = figure(table, "neuron", "tensors_hit")
    assert (hit["layer"], hit["index"], hit["value"], hit["n"]) == (2, 11, 3, 5)
    assert hit["p"] < 0.05
    assert figure(table, "neuron", "weights")["value"] == 4
    assert figure(table, "neuron", "neurons_hit")["value"] == 2


@pytest.mark.parametrize("model_type, rows", [("phi3", (4, 4 + INNER)), ("gpt_oss", (8, 9)), ("else", None)])
def test_gate_and_up_in_one_tensor_are_the_same_neuron_where_their_order_is_known(model_type, rows):
    shape = (2, 2 * INNER, HIDDEN)
    fused = TensorSpec("model.layers.0.mlp.experts.gate_up_proj", shape, 0, "gate_up_proj", "experts",
                       ("expert", "row", "col"))  # fmt: skip
    down = TensorSpec("model.layers.0.mlp.experts.down_proj", (2, HIDDEN, INNER), 0, "down_proj", "experts",
                      ("expert", "row", "col"))  # fmt: skip
    own = facts([fused, down], model_type=model_type, n_layers=1)
    places = [(fused.name, (1, row, 0)) for row in rows or (4,)] + [(down.name, (1, 0, 4)), (down.name, (0, 0, 4))]
    table = structure_of_lists({"a": weights_at(places)}, own)
    hit = figures(table, "neuron", "tensors_hit")
    if rows is None:
        assert hit.empty
        return
    assert hit[["layer", "expert", "index", "value"]].to_numpy().tolist() == [[0, 1, 4, 2]]
    assert figure(table, "neuron", "weights")["value"] == 3


def mixture_specs(hidden, experts, inner, shared):
    """Return the MLP tensors of a block with a stack of experts and a shared expert, as of Qwen2MoE."""
    stack, block = ("expert", *MATRIX), "model.layers.0.mlp"
    return [
        TensorSpec(f"{block}.experts.gate_up_proj", (experts, 2 * inner, hidden), 0, "gate_up_proj", "experts", stack),
        TensorSpec(f"{block}.experts.down_proj", (experts, hidden, inner), 0, "experts.down_proj", "experts", stack),
        TensorSpec(f"{block}.shared_expert.gate_proj.weight", (shared, hidden), 0, "gate_proj", "linear", MATRIX),
        TensorSpec(f"{block}.shared_expert.up_proj.weight", (shared, hidden), 0, "up_proj", "linear", MATRIX),
        TensorSpec(
            f"{block}.shared_expert.down_proj.weight", (hidden, shared), 0, "shared_expert.down_proj", "linear", MATRIX
        ),
    ]


def test_neurons_of_experts_and_a_shared_expert_are_as_often_hit_as_chance_says():
    specs, counts = mixture_specs(hidden=64, experts=32, inner=16, shared=64), (8, 8, 12, 12, 12)
    own = facts(specs, hidden_size=64, model_type="qwen2_moe", n_layers=1)
    rng = np.random.default_rng(0)
    drawn, significant = [], []
    for _ in range(100):
        places = [(spec.name, np.unravel_index(i, spec.shape)) for spec, n in zip(specs, counts, strict=True)
                  for i in rng.choice(np.prod(spec.shape), n, replace=False)]  # fmt: skip
        table = describe(places, own)
        totals = [figure(table, "neuron", quantity) for quantity in ("neurons_hit", "neurons_hit_twice")]
        drawn.append([total["value"] for total in totals])
        for quantity in ("tensors_hit", "weights"):
            significant.append((figures(table, "neuron", quantity)["p"] <= 0.05).any())
    spread = np.std(drawn, axis=0) / len(drawn) ** 0.5
    assert (abs(np.mean(drawn, axis=0) - [total["expected"] for total in totals]) < 4 * spread).all()
    assert np.mean(significant) <= 0.05


def test_neurons_of_the_same_number_in_separate_mlps_are_different_neurons():
    names = [f"model.layers.0.mlp.{part}" for part in ("experts.0", "experts.1", "shared_expert")]
    specs = [
        TensorSpec(f"{name}.{part}.weight", shape, 0, f"{name.rpartition('.')[2]}.{part}", "linear", MATRIX)
        for name in names
        for part, shape in (("up_proj", (INNER, HIDDEN)), ("down_proj", (HIDDEN, INNER)))
    ]
    own = facts(specs, model_type="deepseek_v3", n_layers=1)
    places = [(f"{name}.up_proj.weight", (1, 3)) for name in names]
    assert figure(describe(places, own), "neuron", "neurons_hit")["value"] == 3
    assert figures(describe(places, own), "neuron", "tensors_hit").empty
    table = describe([*places, *((f"{name}.down_proj.weight", (2, 1)) for name in names[1:])], own)
    hit = figures(table, "neuron", "tensors_hit")
    assert hit[["name", "index", "value"]].to_numpy().tolist() == [[names[1], 1, 2], [names[2], 1, 2]]
    assert hit["expert"].fillna(-1).tolist() == [1, -1]
    assert hit["expected"].tolist() == [pytest.approx(2 / INNER)] * 2


@pytest.mark.parametrize(
    "kind, settings, roles",
    [("qwen2_moe", {"num_experts": 4, "moe_intermediate_size": 6, "shared_expert_intermediate_size": 10},
      {"mlp.experts.gate_up_proj": ("col", "row"), "mlp.experts.down_proj": ("row", "col"),
       "mlp.shared_expert.up_proj.weight": ("col", "row"), "mlp.shared_expert.down_proj.weight": ("row", "col"),
       "mlp.gate.weight": (None, None)}),
     ("starcoder2", {}, {"mlp.c_fc.weight": ("col", "row"), "mlp.c_proj.weight": ("row", "col"),
                         "self_attn.o_proj.weight": ("row", None)}),
     ("mpt", {}, {"attn.Wqkv.weight": ("col", None), "ffn.down_proj.weight": ("row", "col")}),
     ("gptj", {}, {"mlp.fc_in.weight": ("col", "row"), "mlp.fc_out.weight": ("row", "col")})],
)  # fmt: skip
def test_roles_are_told_of_the_very_facts_of_a_model(kind, settings, roles):
    """Where tensors of one block end alike, or one stands alone, the facts name the component otherwise."""
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 2, "vocab_size": 13, "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes | settings))
    tensors = describe_tensors(model)
    for name, (residual, hidden) in roles.items():
        tensor = next(tensor for tensor in tensors if tensor["name"].endswith(f".1.{name}"))
        found = neurons_of(tensor, {"model_type": kind})
        assert (residual_axis(tensor, {"hidden_size": 8}), found and found[0]) == (residual, hidden), name


def slow_structure(frame, own_facts):
    """Count with loops and sets what the table says of places."""
    tensors = {tensor["name"]: tensor for tensor in own_facts["tensors"]}
    weights = []
    for name, text, score in zip(*(frame[key] for key in ("parameter", "indices", "sensitivity_score")), strict=True):
        if score > 0:
            index = [int(word) for word in text.strip("()").split(",") if word.strip()]
            weights.append((tensors[name], dict(zip(tensors[name]["axes"], index, strict=True))))
    found = {"channels": defaultdict(set), "neurons": defaultdict(set), "shares": defaultdict(float)}
    rows, cols = defaultdict(set), defaultdict(set)
    for tensor, at in weights:
        component, layer = tensor["component"], tensor["layer"]
        if "col" in at:
            rows[tensor["name"]].add((at.get("expert"), at["row"]))
            cols[tensor["name"]].add((at.get("expert"), at["col"]))
        found["shares"][component] += 1 / len(weights)
        found["shares"][layer] += 1 / len(weights)
        if layer is not None:
            if component in ("o_proj", "down_proj"):
                found["channels"][at["row"]].add(layer)
            elif component in ("q_proj", "gate_proj", "up_proj"):
                found["channels"][at["col"]].add(layer)
            if component in ("gate_proj", "up_proj"):
                found["neurons"][layer, at["row"]].add(component)
            elif component == "down_proj":
                found["neurons"][layer, at["col"]].add(component)
    return found, rows, cols, weights


@pytest.mark.parametrize("n, seed", [(5, 0), (40, 1), (300, 2)])
def test_all_places_are_those_that_loops_count(n, seed):
    frame = random_list(LLAMA, n, seed)
    frame.loc[frame.index[-2:], "sensitivity_score"] = 0
    table = structure_of_lists({"a": frame}, LLAMA)
    found, rows, cols, weights = slow_structure(frame, LLAMA)
    assert figure(table, "all", "selected")["value"] == n - 2
    assert figure(table, "all", "zero_scores")["value"] == 2
    for name in rows:
        own = [tensor for tensor, _ in weights if tensor["name"] == name]
        assert figure(table, "tensor", "selected", name=name)["value"] == len(own)
        if len(own) > 1:
            assert figure(table, "tensor", "rows_hit", name=name)["value"] == len(rows[name])
            assert figure(table, "tensor", "cols_hit", name=name)["value"] == len(cols[name])
    for row in figures(table, "component", "selected_share").to_dict("records"):
        assert row["value"] == pytest.approx(found["shares"].get(row["name"], 0.0))
    for row in figures(table, "layer", "selected_share").to_dict("records"):
        layer = None if pd.isna(row["layer"]) else row["layer"]
        assert row["value"] == pytest.approx(found["shares"].get(layer, 0.0))
        assert row["name"] == ("outside" if layer is None else "all")
    depths = [tensor["layer"] / (BLOCKS - 1) for tensor, _ in weights if tensor["layer"] is not None]
    assert figure(table, "all", "mean_depth")["value"] == pytest.approx(np.mean(depths))
    assert figure(table, "residual", "channels_hit")["value"] == len(found["channels"])
    half = sum(len(blocks) >= BLOCKS / 2 for blocks in found["channels"].values())
    assert figure(table, "residual", "channels_in_half")["value"] == half
    for row in figures(table, "residual", "blocks_hit").to_dict("records"):
        assert row["value"] == len(found["channels"][row["index"]])
    assert figure(table, "neuron", "neurons_hit")["value"] == len(found["neurons"])
    twice = sum(len(parts) > 1 for parts in found["neurons"].values())
    assert figure(table, "neuron", "neurons_hit_twice")["value"] == twice
    for row in figures(table, "neuron", "tensors_hit").to_dict("records"):
        assert row["value"] == len(found["neurons"][row["layer"], row["index"]])


def test_expected_is_the_mean_over_random_placements_of_as_many_weights_in_each_tensor():
    parts = ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")
    counts = {q(b, part): b + 1 for b in (1, 2) for part in parts}
    shapes = {tensor["name"]: tensor["shape"] for tensor in LLAMA["tensors"]}
    rng = np.random.default_rng(7)
    scopes = {"rows_hit": "all", "cols_hit": "all", "lines_to_cover": "all", "best_1_share": "all",
              "channels_hit": "residual", "channels_in_half": "residual", "neurons_hit": "neuron",
              "neurons_hit_twice": "neuron"}  # fmt: skip
    drawn, expected = [], None
    for _ in range(60):
        places = []
        for name, n in counts.items():
            flat = rng.choice(int(np.prod(shapes[name])), n, replace=False)
            places += [(name, np.unravel_index(i, shapes[name])) for i in flat]
        table = describe(places)
        drawn.append([figure(table, scope, quantity)["value"] for quantity, scope in scopes.items()])
        expected = [figure(table, scope, quantity)["expected"] for quantity, scope in scopes.items()]
    spread = np.std(drawn, axis=0) / len(drawn) ** 0.5
    spread[2:4] += np.std(drawn, axis=0)[2:4] / 20**0.5  # these are means of 20 draws themselves
    assert (abs(np.mean(drawn, axis=0) - expected) < 4 * spread).all()


def test_shares_stand_beside_the_models_and_p_is_hypergeometric():
    table = describe([(q(3), (0, i)) for i in range(4)] + [("lm_head.weight", (0, 0))])
    total = LLAMA["analysed"]["n_weights"]
    row = figure(table, "component", "selected_share", name="q_proj")
    assert (row["value"], row["expected"]) == (0.8, pytest.approx(BLOCKS * HIDDEN**2 / total))
    own, n = BLOCKS * HIDDEN**2, 5
    draws = np.random.default_rng(0).hypergeometric(own, total - own, n, 200_000)
    assert row["p"] == pytest.approx((draws >= 4).mean(), abs=4e-3)
    assert figure(table, "layer", "selected_share", layer=3)["depth"] == 1
    assert figure(table, "component", "selected_share", name="up_proj")["p"] == 1
    assert figure(table, "all", "mean_depth")[["value", "n"]].tolist() == [1, 4]
    assert figure(table, "all", "mean_depth")["expected"] == pytest.approx(0.5)


def test_the_order_of_rows_changes_nothing():
    frame = random_list(LLAMA, 120, 3)
    turned = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(structure_of_lists({"a": frame}, LLAMA), structure_of_lists({"a": turned}, LLAMA))


def test_nothing_selected_is_one_row_and_survives_the_file(tmp_path):
    table = structure_of_lists({"none": weights_at([]), "one": weights_at([(q(0), (0, 0))])}, LLAMA)
    none = table[table["selection"] == "none"]
    assert none[["quantity", "value", "n", "mode", "k"]].to_numpy().tolist() == [["selected", 0, 0, "list", 0]]
    write_table(table, tmp_path / "s.csv", STRUCTURE)
    pd.testing.assert_frame_equal(read_table(tmp_path / "s.csv", STRUCTURE), table)
    assert len(structure_of_lists({}, LLAMA)) == 0
    assert len(structure_of_lists({}, None)) == 0


def test_vectors_have_no_lines_and_a_model_without_blocks_or_known_parts_no_channels():
    specs = [TensorSpec("thing.weight", (5, 6), None, "thing", "other", MATRIX),
             TensorSpec("other.weight", (5,), None, "other", "other", ("row",))]  # fmt: skip
    own = facts(specs, n_layers=None)
    table = structure_of_lists({"a": weights_at([("thing.weight", (1, 2)), ("other.weight", (3,))])}, own)
    assert set(table["scope"]) == {"all", "component", "layer", "tensor"}
    assert set(figures(table, "layer", "selected_share")["name"]) == {"outside"}
    assert figures(table, "tensor", "rows_hit").empty
    assert figure(table, "tensor", "selected", name="other.weight")["value"] == 1


def test_without_facts_names_tell_what_they_can():
    places = [(q(b, "mlp.down_proj"), (3, b)) for b in range(3)] + [("transformer.h.2.attn.c_attn.weight", (3, 1))]
    places += [("transformer.h.2.attn.c_attn.weight", (i, 1)) for i in range(4, 7)] + [("lm_head.weight", (1, 3))]
    table = structure_of_lists({"a": weights_at(places)}, None)
    assert figure(table, "residual", "blocks_hit")[["index", "value"]].tolist() == [3, 3]
    line = figure(table, "tensor", "line_1")  # GPT-2 stores (in, out)
    assert (line["name"], line["line"], line["index"]) == (places[3][0], "row", 1)
    assert line["value"] == 1
    assert table["expected"].isna().all()
    assert table["p"].isna().all()
    assert table["depth"].isna().all()
    assert set(figures(table, "component", "selected_share")["name"]) == {"down_proj", "c_attn", "lm_head"}
    assert "neuron" not in set(table["scope"])


@pytest.mark.parametrize(
    "places, message",
    [([("no.weight", (1, 1))], "a names no.weight, which the model's facts do not have"),
     ([(q(0), (1, HIDDEN))], "a has an index tuple that does not fit .*q_proj.* expected within"),
     ([(q(0), (1, -1))], "does not fit"),
     ([(q(0), (1,)), (q(0), (1, 2, 3))], "does not fit")],
)  # fmt: skip
def test_places_that_do_not_exist_are_refused(places, message):
    with pytest.raises(RankingError, match=message):
        describe(places)


@pytest.mark.parametrize("score", [-1.0, float("nan")])
def test_scores_that_cannot_be_are_refused(score):
    frame = weights_at([(q(0), (1, 1)), (q(0), (1, 2))])
    frame.loc[1, "sensitivity_score"] = score
    with pytest.raises(RankingError, match=r"1 of [0-9]+ rows of .* have a score that is below 0 or no number, first"):
        structure_of_lists({"a": frame}, LLAMA)


def test_selections_by_tensor_or_block_get_no_shares_of_components():
    frame = weights_at([(q(0), (1, 1)), (q(0), (1, 2))])
    for mode, shown in (("perlayer", False), ("perblock", False), ("global", True)):
        table = structure_table([Selection("x", "wanda", mode, 2, frame)], LLAMA)
        assert ("component" in set(table["scope"])) is shown
        assert table[["selection", "metric", "mode", "k"]].drop_duplicates().to_numpy().tolist() == [
            ["x", "wanda", mode, 2]
        ]


def test_the_first_weights_of_a_store_are_those_of_a_full_sort(tmp_path):
    specs = llama_specs(hidden=16, inner=40, vocabulary=100)
    scores = random_scores(specs, seed=4, zeros=0)
    store = write_store(tmp_path / "s.h5", specs, scores, candidates=1000, dense=False)
    found = {s.label: s.frame for s in selections_of([], [store], facts_of(specs))}
    assert list(found) == ["gradsq_global_k100", "gradsq_global_k1000"]  # 10000 exceeds the candidates
    every = [
        (-float(value), place, i, spec.name)
        for place, spec in enumerate(spec for spec in specs if spec.analysed)
        for i, value in enumerate(scores[spec.name].ravel())
    ]
    shapes = {spec.name: spec.shape for spec in specs}
    for label, k in zip(found, KS, strict=False):
        places = [
            (name, str(tuple(int(x) for x in np.unravel_index(i, shapes[name])))) for *_, i, name in sorted(every)
        ]
        assert list(zip(found[label]["parameter"], found[label]["indices"], strict=True)) == places[:k]


def test_chance_counts_the_tensors_that_the_metric_scores(tmp_path):
    """Of a metric that scores two of many tensors, nothing that it selects in them is above chance for that alone."""
    specs = llama_specs()
    kept = [spec for spec in specs if spec.name in (q(0), q(3, "mlp.up_proj"))]
    folder = tmp_path / "p2" / "tiny"
    store = write_store(folder / "scores" / "wanda.h5", kept, random_scores(kept, zeros=0), metric="wanda")
    (folder / "model.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    (folder / "tokens.json").write_text(json.dumps(tokens_of(specs)), encoding="utf-8")
    run = folder / "wanda_global_k10" / "top_weights.csv"
    args = ("--facts", folder / "model.json", "--tokens", folder / "tokens.json", "--mode", "global", "--k", 10)
    assert call_script("rank", "--store", store, *args, "--output", run) == 0
    selections = selections_of([run], [store], LLAMA)
    assert [own.label for own in selections] == ["wanda_global_k10", *(f"wanda_global_k{k}" for k in KS)]
    assert {own.scored for own in selections} == {frozenset(spec.name for spec in kept)}
    table = structure_table(selections[:1], LLAMA)
    total, own = HIDDEN * HIDDEN + INNER * HIDDEN, HIDDEN * HIDDEN
    components = figures(table, "component", "selected_share").set_index("name")
    assert components["expected"].to_dict() == {"q_proj": own / total, "up_proj": 1 - own / total}
    held = round(components.loc["q_proj", "value"] * 10)
    exact = sum(comb(own, x) * comb(total - own, 10 - x) for x in range(held, 11)) / comb(total, 10)
    assert components.loc["q_proj", "p"] == pytest.approx(exact)
    assert figures(table, "layer", "selected_share")["layer"].tolist() == [0, 3]
    assert figure(table, "tensor", "selected", name=q(0))["expected"] == pytest.approx(10 * own / total)
    assert figure(table, "all", "mean_depth")["expected"] == pytest.approx(1 - own / total)


def test_a_ranking_whose_store_is_not_given_stands_beside_all_analysed_weights(tmp_path):
    folder = write_study(tmp_path, candidates=400, dense=True)
    run = folder / "gradsq_global_k100" / "top_weights.csv"
    args = ("--facts", folder / "model.json", "--tokens", folder / "tokens.json", "--mode", "global", "--k", 100)
    assert call_script("rank", "--store", folder / "scores/gradsq.h5", *args, "--output", run) == 0
    (own,) = (
        s for s in selections_of([run], [folder / "scores/mag.h5"], facts_of(default_specs())) if "gradsq" in s.label
    )
    assert own.scored is None


def test_stores_of_one_metric_or_of_another_model_are_refused(tmp_path):
    specs = default_specs()
    path = write_store(tmp_path / "s.h5", specs, random_scores(specs))
    with pytest.raises(StoreError, match="grad_squared is given twice"):
        list(selections_of([], [path, path], facts_of(specs)))
    other = write_store(tmp_path / "o.h5", specs, random_scores(specs), model="0" * 64)
    with pytest.raises(StoreError, match="made with another model_sha256"):
        list(selections_of([], [other], facts_of(specs)))


def test_the_stage_describes_runs_and_first_weights_once(tmp_path):
    folder = write_study(tmp_path, candidates=400, dense=True)
    args = ("--facts", folder / "model.json", "--tokens", folder / "tokens.json")
    runs = []
    for mode, k in (("global", 100), ("perlayer", 5)):
        runs.append(folder / f"gradsq_{mode}_k{k}" / "top_weights.csv")
        store = folder / "scores/gradsq.h5"
        assert call_script("rank", "--store", store, *args, "--mode", mode, "--k", k, "--output", runs[-1]) == 0
    stores = sorted((folder / "scores").glob("*.h5"))
    out = ("--output", folder / "structure.csv", "--tokens-output", folder / "tokens.csv")
    assert call_script("structure", "--rankings", *runs, "--stores", *stores, *args, *out) == 0
    table, tokens = read_table(folder / "structure.csv", STRUCTURE), read_table(folder / "tokens.csv", TOKENS)
    labels = ["gradsq_global_k100", "gradsq_perlayer_k5", *(f"{m}_global_k{k}" for m in ("gradsq", "gradxw", "mag")
              for k in KS if (m, k) != ("gradsq", 100))]  # fmt: skip
    assert list(table["selection"].drop_duplicates()) == labels
    assert list(tokens["selection"].drop_duplicates()) == labels
    assert len(figures(table, "all", "selected")) == len(labels)
    assert figures(table, "all", "selected", selection="gradsq_perlayer_k5")["value"].iloc[0] == 30


def test_two_lists_of_the_size_of_llama_8b_take_about_a_second():
    specs = llama_specs(hidden=4096, inner=14336, blocks=44, vocabulary=128256)
    own = facts(specs, hidden_size=4096, n_layers=44)
    names = [spec.name for spec in specs if spec.analysed]
    rng = np.random.default_rng(0)
    lists = {
        label: weights_at([(name, (rng.integers(4096), rng.integers(0, 4096))) for name in names for _ in range(100)])
        for label in "ab"
    }
    start = time.process_time()
    table = structure_of_lists(lists, own)
    assert time.process_time() - start < 10  # some 1 s on one free core
    assert len(figures(table, "tensor", "selected")) == 2 * len(names)


def test_the_bound_on_the_weights_of_a_line_holds_and_is_near():
    # Two tensors of 6 x 8 and 4 x 8 weights with 9 and 5 of them selected, 8 columns: exact, by counting.
    def column(rows, n):
        return [comb(rows, x) * comb(7 * rows, n - x) / comb(8 * rows, n) for x in range(rows + 1)]

    exact = np.convolve(column(6, 9), column(4, 5))
    for value in range(1, 10):
        bound = _any_holds([(8, 14)], value)
        assert min(1, 8 * exact[value:].sum()) <= bound + 1e-12
        if value in (6, 7, 8):
            assert bound < 200 * 8 * exact[value:].sum()
    assert _any_holds([(8, 14)], 1) == 1
    assert _any_holds([(8, 14), (9, 0)], 8) == _any_holds([(8, 14)], 8)
    assert _any_holds([(8, 14), (8, 14)], 8) == pytest.approx(2 * _any_holds([(8, 14)], 8))
    assert _any_holds([], 3) is None


def test_the_chance_of_a_channel_in_many_blocks_is_that_of_its_blocks():
    table = describe([(q(b), (b, 3)) for b in range(BLOCKS)])
    row = figure(table, "residual", "blocks_hit")
    assert row["expected"] == pytest.approx(BLOCKS / HIDDEN)
    assert row["p"] == pytest.approx(HIDDEN * tail([1 / HIDDEN] * BLOCKS)[BLOCKS])
