"""Scores with and without the first position, against loops over the candidates."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from critical_weights.errors import StoreError
from critical_weights.overlap.groups import LADDER
from critical_weights.structure.first_position import NAMED, first_position_table
from critical_weights.tables.schema import read_table
from critical_weights.tables.structure import FIRST_POSITION
from script_call import call_script
from synthetic_stores import VOCABULARY, default_specs, facts_of, random_scores, write_store, write_study

SPECS = default_specs()
FACTS = facts_of(SPECS)


def add_variant(path, kept=25, seed=0, names=None):
    """Give each tensor's first candidates a made-up score without position 0, mostly smaller; return all of them."""
    rng = np.random.default_rng(seed)
    made = {}
    with h5py.File(path, "r+") as file:
        for name, group in file["tensors"].items():
            if names is None or name in names:
                top = group["top_score"][:kept]
                group["top_without_first"] = (top * rng.choice([0, 0.1, 0.5, 1, 1.3], len(top))).astype(np.float32)
                made[name] = group["top_without_first"][:]
    return made


def store_with_variant(tmp_path, *, kept=25, candidates=30, zeros=0.0, names=None):
    scores = random_scores(SPECS, seed=2, zeros=zeros)
    path = write_store(tmp_path / "s.h5", SPECS, scores, candidates=candidates, dense=False)
    return path, scores, add_variant(path, kept, names=names)


def figures(table, scope, quantity, **more):
    part = table[(table["scope"] == scope) & (table["quantity"] == quantity)]
    for column, value in more.items():
        part = part[part[column] == value]
    return part


def slow_entries(scores, made):
    """Return (score, variant, tensor, index tuple, place in the model, flat index) of every candidate kept."""
    entries = []
    for place, spec in enumerate(SPECS):
        if spec.name in made:
            flat = scores[spec.name].ravel()
            order = sorted(range(len(flat)), key=lambda i, flat=flat: (-flat[i], i))
            for i, variant in zip(order, made[spec.name], strict=False):
                at = dict(zip(spec.axes, (int(x) for x in np.unravel_index(i, spec.shape)), strict=True))
                entries.append((float(flat[i]), float(variant), spec.name, at, place, i))
    return entries


def first(entries, which, k):
    ranked = sorted(entries, key=lambda e: (-e[which], entries.index(e)))
    return ranked[:k]


def test_figures_are_those_of_loops(tmp_path):
    path, scores, made = store_with_variant(tmp_path)
    table = first_position_table([path], FACTS, VOCABULARY)
    everything = slow_entries(scores, made)
    groups = [("all", "all", everything)] + [
        ("tensor", name, [e for e in everything if e[2] == name]) for name in made
    ]  # fmt: skip
    for scope, name, own in groups:
        rest = max(
            sorted((float(v) for v in scores[tensor].ravel()), reverse=True)[len(made[tensor]) - 1]
            for tensor in {e[2] for e in own}
        )
        ks = [k for k in LADDER if k <= 25]
        found = figures(table, scope, "overlap", name=name)
        assert list(found["k"]) == ks == [10]
        for k, value in zip(found["k"], found["value"], strict=True):
            by_full, by_variant = (first(own, which, k) for which in (0, 1))
            assert value == sum(e in by_variant for e in by_full) / k
            sure = figures(table, scope, "kth_over_rest", name=name, k=k)["value"]
            assert sure.item() == pytest.approx(by_variant[-1][1] / rest)
        share = figures(table, scope, "position_0_share", name=name).iloc[0]
        assert share["value"] == pytest.approx(1 - sum(e[1] for e in own) / sum(e[0] for e in own))
        assert share["n"] == len(own)
    components = {spec.component: {s.name for s in SPECS if s.component == spec.component} for spec in SPECS}
    assert list(figures(table, "component", "position_0_share")["name"]) == list(
        dict.fromkeys(spec.component for spec in SPECS if spec.analysed)
    )
    for name in figures(table, "component", "position_0_share")["name"]:
        own = [e for e in everything if e[2] in components[name]]
        share = figures(table, "component", "position_0_share", name=name)["value"].item()
        assert share == pytest.approx(1 - sum(e[1] for e in own) / sum(e[0] for e in own))


def test_lines_and_tokens_that_fall_most_are_those_of_loops(tmp_path):
    path, scores, made = store_with_variant(tmp_path)
    table = first_position_table([path], FACTS, VOCABULARY)
    sums = {}
    for full, variant, name, at, *_ in slow_entries(scores, made):
        for line in ("row", "col"):
            key = (name, at.get("expert"), line, at[line])
            before = sums.get(key, (0, 0, 0))
            sums[key] = (before[0] + full, before[1] + variant, before[2] + 1)
    of_tokens = {key: v for key, v in sums.items() if "embed" in key[0] or "lm_head" in key[0]}
    of_tokens = {key: v for key, v in of_tokens.items() if key[2] == "row"}
    for scope, own in (("line", sums), ("token", of_tokens)):
        ranked = sorted((v[0] - v[1] for v in own.values()), reverse=True)[:NAMED]
        found = figures(table, scope, "fall")
        assert found["value"].tolist() == pytest.approx([fall for fall in ranked if fall > 0])
        shares = figures(table, scope, "position_0_share")["value"]
        for row, share in zip(found.to_dict("records"), shares, strict=True):
            key = (row["name"], None if pd.isna(row["expert"]) else row["expert"], row["line"], row["index"])
            full, variant, n = own[key]
            assert (row["value"], row["n"]) == (pytest.approx(full - variant), n)
            assert share == pytest.approx((full - variant) / full)
            assert row["token"] == (VOCABULARY[row["index"]] if key in of_tokens else "")


def test_where_every_weight_is_kept_nothing_can_enter(tmp_path):
    path, scores, made = store_with_variant(tmp_path, kept=1000, candidates=1000)
    table = first_position_table([path], FACTS, VOCABULARY)
    assert figures(table, "all", "kth_over_rest").empty
    above = sum((variant > 0).sum() for variant in made.values())
    assert list(figures(table, "all", "overlap")["k"]) == [k for k in LADDER if k <= above] == [10, 30, 100]
    assert figures(table, "all", "overlap")["n"].iloc[0] == sum(values.size for values in scores.values())
    ks = [k for k in LADDER if k <= (made["lm_head.weight"] > 0).sum()]
    assert list(figures(table, "tensor", "overlap", name="lm_head.weight")["k"]) == ks != []


def test_scores_of_0_are_no_agreement(tmp_path):
    path, scores, made = store_with_variant(tmp_path, kept=1000, candidates=1000, zeros=0.8)
    table = first_position_table([path], FACTS, VOCABULARY)
    for name, values in scores.items():
        ks = [k for k in LADDER if k <= min((values > 0).sum(), (made[name] > 0).sum())]
        assert list(figures(table, "tensor", "overlap", name=name)["k"]) == ks


def test_all_the_candidates_of_a_tensor_are_no_agreement(tmp_path):
    path, *_ = store_with_variant(tmp_path, kept=10, candidates=1000)
    with h5py.File(path, "r+") as file:
        for group in file["tensors"].values():
            group["top_without_first"][:] = group["top_score"][:10]
    table = first_position_table([path], FACTS, VOCABULARY)
    assert figures(table, "tensor", "overlap").empty
    assert list(figures(table, "all", "overlap")["k"]) == [10]


@pytest.mark.parametrize("kept", [25, 1000])
def test_where_position_0_is_all_there_is_no_agreement_is_told(tmp_path, kept):
    """As of texts of two tokens: only position 0 has a target, and every score without it is 0."""
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS, seed=2, zeros=0), candidates=kept, dense=False)
    with h5py.File(path, "r+") as file:
        for group in file["tensors"].values():
            group["top_without_first"] = np.zeros_like(group["top_score"][:kept])
    table = first_position_table([path], FACTS, VOCABULARY)
    assert figures(table, "tensor", "overlap").empty
    assert figures(table, "all", "overlap").empty
    assert (table.loc[table["quantity"] == "position_0_share", "value"] == 1).all()


def test_stores_of_one_metric_or_of_another_model_are_refused(tmp_path):
    scores = random_scores(SPECS)
    path = write_store(tmp_path / "s.h5", SPECS, scores)
    with pytest.raises(StoreError, match="grad_squared is given twice"):
        first_position_table([path, path], FACTS, VOCABULARY)
    other = write_store(tmp_path / "o.h5", SPECS, scores, model="0" * 64)
    with pytest.raises(StoreError, match="made with another model_sha256"):
        first_position_table([other], FACTS, VOCABULARY)


def test_a_variant_that_is_the_score_changes_nothing(tmp_path):
    scores = random_scores(SPECS, seed=2, zeros=0)
    path = write_store(tmp_path / "s.h5", SPECS, scores, candidates=30, dense=False)
    with h5py.File(path, "r+") as file:
        for group in file["tensors"].values():
            group["top_without_first"] = group["top_score"][:25]
    table = first_position_table([path], FACTS, VOCABULARY)
    assert (table.loc[table["quantity"] == "overlap", "value"] == 1).all()
    assert (table.loc[table["quantity"] == "position_0_share", "value"] == 0).all()
    assert set(table["scope"]) == {"all", "component", "tensor"}


def test_what_is_not_kept_is_said_with_the_reason(tmp_path):
    folder = write_study(tmp_path, dense=False)
    add_variant(folder / "scores/gradsq.h5", names=["lm_head.weight"])
    stores = sorted((folder / "scores").glob("*.h5"))
    out = folder / "first_position.csv"
    args = ("--facts", folder / "model.json", "--tokens", folder / "tokens.json", "--output", out)
    assert call_script("first_position", "--stores", *stores, *args) == 0
    table = read_table(out, FIRST_POSITION)
    missing = table[table["quantity"] == "not_available"]
    assert missing["value"].isna().all()
    assert (missing["n"] == 0).all()
    whole = missing[missing["scope"] == "all"].set_index("metric")["note"]
    assert whole.to_dict() == {"magnitude": "the metric reads no text",
                               "grad_x_weight": "the store keeps no scores without the first position"}  # fmt: skip
    tensors = missing[missing["scope"] == "tensor"]
    assert set(tensors["metric"]) == {"grad_squared"}
    assert len(tensors) == sum(spec.analysed for spec in SPECS) - 1
    assert not figures(table, "tensor", "position_0_share", name="lm_head.weight").empty
