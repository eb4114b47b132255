"""Sensitivity by part, against sums over every score; heads against what a model's attention does with them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from critical_weights.errors import StoreError
from critical_weights.model.facts import describe_tensors
from critical_weights.model.sizes import sizes_of
from critical_weights.structure import sensitivity_table as module
from critical_weights.structure.attention_heads import Heads, heads_of
from critical_weights.structure.sensitivity_table import sensitivity_table
from critical_weights.structure.tensor_roles import ATTENTION_OUT
from critical_weights.tables.schema import read_table
from critical_weights.tables.structure import SENSITIVITY
from script_call import call_script
from synthetic_stores import (
    MODEL_SHA256,
    TensorSpec,
    default_specs,
    facts_of,
    random_scores,
    write_store,
    write_study,
)
from tiny_models import NAMES, tiny_model


def model_facts(model):
    """Return the facts of a model as far as parts of tensors need them."""
    tensors = describe_tensors(model)
    analysed = [tensor for tensor in tensors if tensor["analysed"]]
    return {"model": "tiny", "model_type": model.config.model_type, **sizes_of(model.config), "tensors": tensors,
            "sha256": MODEL_SHA256,
            "analysed": {"n_weights": sum(tensor["numel"] for tensor in analysed)}}  # fmt: skip


def specs_of(facts):
    keys = ("name", "shape", "layer", "component", "kind", "axes", "analysed")
    return [TensorSpec(**{key: tensor[key] for key in keys} | {"shape": tuple(tensor["shape"])}) for tensor in
            facts["tensors"]]  # fmt: skip


def inputs_of_output(model, ids):
    """Return the first block's input of its attention's output projection: (tokens, heads x size)."""
    facts = describe_tensors(model)
    out = next(t["name"] for t in facts if t["layer"] == 0 and t["component"] in ATTENTION_OUT and t["kind"] != "bias")
    seen = []
    handle = dict(model.named_modules())[out.removesuffix(".weight")].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0][0].clone())
    )
    with torch.no_grad():
        model(ids)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", NAMES)
def test_heads_are_those_that_the_models_attention_computes(name):
    # Other weights of one head of q, k or v change what that head puts out (that of its query heads, for k and v).
    model = tiny_model(name)
    facts = model_facts(model)
    ids = torch.arange(6)[None]
    before = inputs_of_output(model, ids)
    found = {}
    for tensor in facts["tensors"]:
        heads = heads_of(tensor, facts)
        assert not isinstance(heads, str), heads
        if heads is not None and tensor["layer"] == 0:
            found |= {(part, tensor["name"]): heads for part in set(heads.part.tolist())}
    assert sorted(part for part, _ in found) == ["k", "o", "q", "v"]
    out = next(heads for (part, _), heads in found.items() if part == "o")
    assert out.axis == "col"
    parameters = dict(model.named_parameters())
    for (part, tensor_name), heads in found.items():
        if part == "o":
            continue
        rows_first = next(t for t in facts["tensors"] if t["name"] == tensor_name)["axes"][0] == "row"
        own = heads.head[heads.part == part]
        queries = len(set(out.head.tolist())) // len(set(own.tolist()))
        for head in sorted(set(own.tolist())):
            weight = parameters[tensor_name]
            kept = weight.detach().clone()
            lines = torch.as_tensor((heads.part == part) & (heads.head == head))
            noise = torch.randn(kept.shape, generator=torch.Generator().manual_seed(head), dtype=kept.dtype)
            noise = noise * (lines[:, None] if rows_first else lines[None])
            with torch.no_grad():
                weight += noise
            after = inputs_of_output(model, ids)
            with torch.no_grad():
                weight.copy_(kept)
            changed = {int(h) for h in out.head[(before != after).any(0).numpy()]}
            if name == "olmo2" and part in ("q", "k"):  # its norm is over all heads of q, or of k, together
                assert set(range(head * queries, (head + 1) * queries)) <= changed
            else:
                assert changed == set(range(head * queries, (head + 1) * queries))


def slow_sums(spec, scores, row, heads):
    """Return sum, maximum and number of the scores of the weights that a row of the table is about."""
    values = []
    for place in np.ndindex(spec.shape):
        at = dict(zip(spec.axes, place, strict=True))
        own = pd.isna(row["expert"]) or at["expert"] == row["expert"]
        if row["scope"] == "group":
            own = own and at["col"] // 5 == row["index"]
        if row["scope"] == "head":
            line = at[heads.axis]
            own = own and (heads.part[line], heads.head[line]) == (row["part"], row["index"])
        if own:
            values.append(float(scores[place]))
    return [sum(values), max(values), len(values)]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "mixtral", "phi3", "falcon"])
def test_sums_are_those_over_every_score(tmp_path, monkeypatch, name):
    monkeypatch.setattr(module, "GROUP", 5)  # none of the tiny widths is a multiple of it
    facts = model_facts(tiny_model(name))
    specs = specs_of(facts)
    scores = random_scores(specs, seed=3)
    table = sensitivity_table([write_store(tmp_path / "s.h5", specs, scores, candidates=2, dense=False)], facts)
    by_name = {spec.name: spec for spec in specs}
    total, n = (sum(float(f(values.astype(float))) for values in scores.values()) for f in (np.sum, np.size))
    seen = set()
    for row in table.to_dict("records"):
        seen.add(row["scope"])
        if row["scope"] == "block":
            layer = None if pd.isna(row["layer"]) else row["layer"]
            parts = [scores[s.name] for s in specs if s.analysed and s.layer == layer]
            expected = [
                sum(v.astype(float).sum() for v in parts),
                max(v.max() for v in parts),
                sum(map(np.size, parts)),
            ]
        else:
            spec, tensor = by_name[row["tensor"]], next(t for t in facts["tensors"] if t["name"] == row["tensor"])
            if row["scope"] == "group":
                columns = spec.shape[spec.axes.index("col")]
                assert (row["start"], row["stop"]) == (5 * row["index"], min(5 * row["index"] + 5, columns))
            expected = slow_sums(spec, scores[spec.name], row, heads_of(tensor, facts))
        assert [row["sum"], row["max"], row["weights"]] == pytest.approx(expected, rel=1e-6)
        assert row["mean"] == row["sum"] / row["weights"]
        assert [row["share"], row["weight_share"]] == pytest.approx([expected[0] / total, expected[2] / n], rel=1e-6)
    assert seen == {"tensor", "block", "head", "group"} | ({"expert"} if name == "mixtral" else set())
    assert_partitions(table)


def assert_partitions(table):
    """Whatever a tensor is cut into adds up to it."""
    tensors = table[table["scope"] == "tensor"].set_index("tensor")
    assert table.loc[table["scope"] == "block", "sum"].sum() == pytest.approx(tensors["sum"].sum())
    for scope in ("expert", "head", "group"):
        for name, part in table[table["scope"] == scope].groupby("tensor"):
            assert part["sum"].sum() == pytest.approx(tensors.loc[name, "sum"], rel=1e-6)
            assert part["max"].max() == pytest.approx(tensors.loc[name, "max"])
            assert part["weights"].sum() == tensors.loc[name, "weights"]


@pytest.mark.parametrize(
    "change, words",
    [({"n_heads": None, "n_kv_heads": None}, "name no number of heads"),
     ({"model_type": "new"}, "in what order new stores q, k and v is not known"),
     ({"n_heads": 5, "n_kv_heads": 5, "head_dim": 4}, "48 rows are not 5 heads of 4")],
)  # fmt: skip
def test_heads_that_cannot_be_told_apart_are_one_row_that_says_so(tmp_path, change, words):
    facts = model_facts(tiny_model("gpt2")) | change
    specs = specs_of(facts)
    scores = random_scores(specs)
    table = sensitivity_table([write_store(tmp_path / "s.h5", specs, scores, candidates=2)], facts)
    fused = table[(table["scope"] == "head") & (table["component"] == "c_attn")]
    assert len(fused) == 2
    assert fused["note"].str.contains(f"not split: .*{words}").all()
    assert fused["index"].isna().all()
    assert_partitions(table)


def test_a_matrix_whose_rows_are_no_whole_heads_is_not_split():
    tensor = {"component": "q_proj", "axes": ["row", "col"], "shape": [15, 16]}
    assert heads_of(tensor, {"n_heads": 4, "hidden_size": 16, "model_type": "x"}) == "15 rows are not 4 heads of 4"
    assert heads_of({**tensor, "component": "up_proj"}, {}) is None
    assert heads_of({**tensor, "component": "q_proj_bias", "axes": ["row"]}, {}) is None
    good = heads_of({**tensor, "shape": [16, 16]}, {"n_heads": 4, "hidden_size": 16, "model_type": "x"})
    assert isinstance(good, Heads)


def test_the_stage_covers_every_store_and_vectors_and_scores_of_0(tmp_path):
    folder = write_study(tmp_path, dense=False)
    specs = [*default_specs()[:1], TensorSpec("norm.weight", (6,), 0, "norm", "norm", ("row",))]
    (folder / "zero").mkdir()
    zeros = {spec.name: np.zeros(spec.shape, np.float32) for spec in specs}
    stores = sorted((folder / "scores").glob("*.h5"))
    out = folder / "sensitivity_table.csv"
    args = ("--facts", folder / "model.json", "--output", out)
    assert call_script("sensitivity_table", "--stores", *stores, *args) == 0
    table = read_table(out, SENSITIVITY)
    assert list(table["metric"].drop_duplicates()) == ["grad_squared", "grad_x_weight", "magnitude"]
    for _, part in table.groupby("metric"):
        assert part.loc[part["scope"] == "tensor", "share"].sum() == pytest.approx(1)
        assert part.loc[part["scope"] == "block", "weight_share"].sum() == pytest.approx(1)
    table = sensitivity_table([write_store(tmp_path / "z.h5", specs, zeros)], facts_of(specs))
    assert table["share"].isna().all()
    assert (table["sum"] == 0).all()
    assert set(table.loc[table["tensor"] == "norm.weight", "scope"]) == {"tensor"}


def test_groups_are_128_columns_and_the_last_is_what_is_left(tmp_path):
    specs = [TensorSpec("a.weight", (2, 300), None, "a", "linear", ("row", "col"))]
    store = write_store(tmp_path / "s.h5", specs, random_scores(specs))
    table = sensitivity_table([store], facts_of(specs))
    groups = table[table["scope"] == "group"]
    assert list(zip(groups["start"], groups["stop"], groups["weights"], strict=True)) == [
        (a, b, 2 * (b - a)) for a, b in pairwise((0, 128, 256, 300))
    ]


def test_two_stores_of_one_metric_are_refused(tmp_path):
    specs = default_specs()
    stores = [write_store(tmp_path / f"{n}.h5", specs, random_scores(specs, n)) for n in range(2)]
    for two in (stores, stores[:1] * 2):
        with pytest.raises(StoreError, match=f"grad_squared is given twice; got {two[0]} and {two[1]}"):
            sensitivity_table(two, facts_of(specs))


def test_a_store_of_another_model_of_the_same_shapes_is_refused(tmp_path):
    specs = default_specs()
    other = write_store(tmp_path / "s.h5", specs, random_scores(specs), model="0" * 64)
    with pytest.raises(StoreError, match="made with another model_sha256"):
        sensitivity_table([other], facts_of(specs))
