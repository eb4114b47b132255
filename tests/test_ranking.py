from __future__ import annotations

import json
import logging
import subprocess
import sys
from ast import literal_eval

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from critical_weights.errors import RankingError, StoreError
from critical_weights.ranking.addresses import address_columns
from critical_weights.ranking.ranking import rank, read_ranking
from critical_weights.store.read import open_store
from critical_weights.tables.schema import TOP_WEIGHTS, write_table
from script_call import call_script
from synthetic_stores import (
    VOCABULARY,
    TensorSpec,
    default_specs,
    facts_of,
    matrix_specs,
    random_scores,
    weights_of,
    write_store,
    write_study,
)

SPECS = default_specs()
MODES = ["perlayer", "perblock", "global"]


def slow_rank(specs, scores, mode, k):
    """Sort every weight as a tuple: (-score, tensor order, flat index)."""
    groups: dict[object, list[tuple[float, int, int]]] = {}
    for position, spec in enumerate(specs):
        if spec.name in scores:
            key = {"perlayer": spec.name, "perblock": spec.layer, "global": "all"}[mode]
            flat = scores[spec.name].ravel().tolist()
            groups.setdefault(key, []).extend((-score, position, index) for index, score in enumerate(flat))
    selected = sorted(entry for group in groups.values() for entry in sorted(group)[:k])
    return [
        (specs[position].name, tuple(int(i) for i in np.unravel_index(index, specs[position].shape)), -score)
        for score, position, index in selected
    ]


def as_tuples(frame):
    columns = (frame["parameter"], map(literal_eval, frame["indices"]), frame["sensitivity_score"].astype(float))
    return list(zip(*columns, strict=True))


def rank_in(path, mode, k, specs=SPECS, vocabulary=VOCABULARY):
    with open_store(path) as store:
        return rank(store, facts_of(specs), vocabulary, mode, k)


@pytest.mark.parametrize("candidates", [5, 1000], ids=["dense beyond 5 candidates", "all candidates"])
@pytest.mark.parametrize("k", [1, 4, 30, 1000])
@pytest.mark.parametrize("mode", MODES)
def test_ranking_is_the_full_sort(tmp_path, mode, k, candidates):
    scores = random_scores(SPECS, seed=3)
    path = write_store(tmp_path / "s.h5", SPECS, scores, candidates=candidates, dense=candidates < 1000)
    frame = rank_in(path, mode, k)
    assert as_tuples(frame) == slow_rank(SPECS, scores, mode, k)
    assert list(frame["rank"]) == list(range(1, len(frame) + 1))
    assert (frame.groupby("parameter").cumcount() + 1 == frame["rank_in_tensor"]).all()


@settings(max_examples=25, deadline=None)
@given(
    values=arrays(np.float32, 24, elements=st.sampled_from([0.0, 1e-45, 1.0, 1.0000001, 1e30])),
    k=st.integers(1, 30),
    mode=st.sampled_from(MODES),
    candidates=st.integers(1, 12),
)
def test_ranking_is_the_full_sort_whatever_the_ties(tmp_path_factory, values, k, mode, candidates):
    specs = [*matrix_specs(5, (2, 2)), TensorSpec("head", (4,), None, "head", "other", ("row",))]
    scores = {s.name: part.reshape(s.shape) for s, part in zip(specs, np.split(values, 6), strict=True)}
    path = write_store(tmp_path_factory.mktemp("ties") / "s.h5", specs, scores, candidates=candidates)
    assert as_tuples(rank_in(path, mode, k, specs)) == slow_rank(specs, scores, mode, k)


def test_ranking_is_the_full_sort_over_many_tensors(tmp_path):
    specs = matrix_specs(30, (2, 3))
    scores = random_scores(specs, seed=8, ties=1.0)
    path = write_store(tmp_path / "s.h5", specs, scores, candidates=3, dense=False)
    for k in (1, 2, 3):
        assert as_tuples(rank_in(path, "global", k, specs)) == slow_rank(specs, scores, "global", k)


def test_rows_columns_and_experts_follow_the_axes(tmp_path):
    frame = rank_in(write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS)), "perlayer", 20)
    for spec in SPECS:
        for row in frame[frame["parameter"] == spec.name].itertuples():
            place = dict(zip(spec.axes, literal_eval(row.indices), strict=True))
            assert (row.row, row.col) == (place["row"], place["col"])
            assert row.expert == place["expert"] if "expert" in place else row.expert is pd.NA
            assert row.layer == spec.layer if spec.layer is not None else row.layer is pd.NA
            assert row.component == spec.component


def test_tokens_stand_beside_rows_of_embedding_and_head_only(tmp_path):
    positions = TensorSpec("wpe.weight", (13, 2), None, "wpe", "embedding", ("row", "col"))
    same_size = TensorSpec("model.layers.1.mlp.up_proj.weight", (13, 2), 1, "up_proj", "linear", ("row", "col"))
    specs = [*SPECS, positions, same_size]
    path = write_store(tmp_path / "s.h5", specs, random_scores(specs))
    frame = rank_in(path, "perlayer", 1000, specs, VOCABULARY[:12])  # the model's last row pads the vocabulary
    named = frame["component"].isin(["embed_tokens", "lm_head"])
    assert (frame.loc[~named, "token"] == "").all()
    tokens = [*VOCABULARY[:12], ""]
    assert list(frame.loc[named, "token"]) == [tokens[row] for row in frame.loc[named, "row"]]


def test_a_flat_index_beyond_two_to_the_31_keeps_its_place():
    tensor = {"shape": [525_000, 60_000], "axes": ["row", "col"]}
    columns = address_columns(tensor, np.array([524_999 * 60_000 + 59_998], np.int64))
    assert list(columns["indices"]) == ["(524999, 59998)"]
    assert (columns["row"][0], columns["col"][0]) == (524_999, 59_998)


def test_one_dimensional_tensors_have_index_tuples_of_one():
    columns = address_columns({"shape": [7], "axes": ["row"]}, np.array([5]))
    assert list(columns["indices"]) == ["(5,)"]
    assert columns["col"][0] is pd.NA


def test_a_written_ranking_reads_back_the_same_in_any_order_of_rows(tmp_path):
    scores = random_scores(SPECS, seed=5)
    scores["lm_head.weight"].ravel()[:4] = [1e-45, 3.4028235e38, 0.1, 1.17549435e-38]
    path = write_store(tmp_path / "s.h5", SPECS, scores, metric="grad_x_weight", candidates=80)
    frame = rank_in(path, "perlayer", 80)
    assert set(frame["token"]) == {*VOCABULARY, ""}
    write_table(frame, tmp_path / "top_weights.csv", TOP_WEIGHTS)
    pd.testing.assert_frame_equal(read_ranking(tmp_path / "top_weights.csv"), frame, check_exact=True)
    shuffled = frame.sample(frac=1, random_state=1)
    write_table(shuffled, tmp_path / "shuffled.csv", TOP_WEIGHTS)
    assert not shuffled.equals(frame)
    pd.testing.assert_frame_equal(read_ranking(tmp_path / "shuffled.csv"), frame, check_exact=True)


def test_values_beyond_the_candidates_are_empty_and_it_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS), metric="grad_x_weight", candidates=5)
    frame = rank_in(path, "perlayer", 8)
    weights, gradients = weights_of(SPECS), weights_of(SPECS, seed=1)
    for row in frame.itertuples():
        place = literal_eval(row.indices)
        kept = row.rank_in_tensor <= 5
        assert row.weight == weights[row.parameter][place] if kept else np.isnan(row.weight)
        assert row.gradient == gradients[row.parameter][place] if kept else np.isnan(row.gradient)
    assert "empty in 18 of 48 rows" in caplog.text
    assert "candidates: 8 would fill them" in caplog.text
    rank_in(path, "perlayer", 5000)
    assert "candidates: 78 would fill them" in caplog.text  # what the largest tensor has


def test_metrics_without_a_gradient_leave_it_empty(tmp_path):
    frame = rank_in(write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS), metric="magnitude"), "global", 9)
    assert frame["gradient"].isna().all()
    assert frame["weight"].notna().all()


def test_groups_smaller_than_k_are_taken_whole_and_counted_in_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    frame = rank_in(write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS)), "perlayer", 50)
    assert len(frame) == 50 + 36 + 48 + 36 + 50 + 50
    assert "3 groups have fewer than 50 weights and are taken whole (model.layers.0.self_attn.q_proj.weight: 36)" in (
        caplog.text
    )


def test_the_blocks_and_all_that_lies_outside_them_are_one_group_each(tmp_path):
    frame = rank_in(write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS)), "perblock", 7)
    assert frame["layer"].astype("string").fillna("outside").value_counts().to_dict() == {"0": 7, "1": 7, "outside": 7}


def test_tensors_that_are_not_analysed_are_not_ranked(tmp_path):
    everything = [TensorSpec(**{**vars(spec), "analysed": True}) for spec in SPECS]
    path = write_store(tmp_path / "s.h5", everything, random_scores(everything))
    assert "model.layers.0.input_layernorm.weight" in set(rank_in(path, "perlayer", 2, everything)["parameter"])
    assert "model.layers.0.input_layernorm.weight" not in set(rank_in(path, "perlayer", 2)["parameter"])


@pytest.mark.parametrize("k, needed", [(40, 40), (500, 78)])
def test_a_k_beyond_the_candidates_names_the_candidates_that_it_needs(tmp_path, k, needed):
    path = write_store(tmp_path / "gradsq.h5", SPECS, random_scores(SPECS), candidates=39, dense=False)
    with pytest.raises(RankingError, match=rf"k = {k} reaches beyond the 39 .* candidates: {needed} .* up to 39"):
        rank_in(path, "global", k)
    assert len(rank_in(path, "global", 39)) == 39


def test_dense_scores_of_some_tensors_do_not_answer_for_the_others(tmp_path):
    dense = [spec.name for spec in SPECS if spec.name != "model.layers.0.mlp.c_fc.weight"]
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS), candidates=39, dense=dense)
    with pytest.raises(RankingError, match=r"39 candidates kept of model\.layers\.0\.mlp\.c_fc\.weight, and"):
        rank_in(path, "perlayer", 41)


def test_an_unknown_mode_is_answered_with_near_names(tmp_path):
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS))
    with pytest.raises(RankingError, match=r"unknown mode 'per_layer'.*Did you mean perlayer"):
        rank_in(path, "per_layer", 3)


@pytest.mark.parametrize(
    "change, message",
    [({"name": "other.weight"}, "lm_head.weight; got shape .13, 6.; expected no such tensor"),
     ({"shape": (6, 13)}, "lm_head.weight; got shape .13, 6.; expected shape .6, 13.")],
)  # fmt: skip
def test_facts_of_another_model_are_refused(tmp_path, change, message):
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS))
    other = [*SPECS[:-1], TensorSpec(**{**vars(SPECS[-1]), **change})]
    with pytest.raises(StoreError, match=message):
        rank_in(path, "global", 3, other)


def test_a_store_without_any_analysed_tensor_is_refused(tmp_path):
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS))
    facts = facts_of([TensorSpec(**{**vars(spec), "analysed": False}) for spec in SPECS])
    with open_store(path) as store, pytest.raises(StoreError, match="holds no analysed tensor of tiny"):
        rank(store, facts, VOCABULARY, "global", 3)


def test_an_analysed_tensor_without_scores_is_told_with_its_reason(tmp_path, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    scores = random_scores(SPECS)
    del scores["lm_head.weight"]
    path = write_store(tmp_path / "s.h5", SPECS, scores)
    with h5py.File(path, "r+") as file:
        file.attrs["skipped"] = '{"lm_head.weight": "it has no input"}'
    assert "lm_head.weight" not in set(rank_in(path, "perlayer", 2)["parameter"])
    assert "lm_head.weight has no grad_squared scores: it has no input" in caplog.text


def test_dense_scores_that_contradict_the_candidates_are_refused(tmp_path):
    path = write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS), candidates=5)
    with h5py.File(path, "r+") as file:
        scores = file["tensors/lm_head.weight/scores"]
        scores[...] = scores[...][::-1]
    with pytest.raises(StoreError, match=r"dense scores and candidates of lm_head\.weight differ"):
        rank_in(path, "perlayer", 6)


@pytest.mark.parametrize(
    "damage, message",
    [(lambda f: f.assign(rank=f["rank"] + 1), "ranks are not 1 to 9"),
     (lambda f: f.assign(sensitivity_score=f["sensitivity_score"][::-1].to_numpy()), "by score descending"),
     (lambda f: pd.concat([f, f.tail(1).assign(rank=10)]), "names the weight .* twice"),
     (lambda f: f.head(0), "selects no weight")],
    ids=["ranks", "scores", "twice", "empty"],
)  # fmt: skip
def test_a_damaged_ranking_is_refused(tmp_path, damage, message):
    frame = rank_in(write_store(tmp_path / "s.h5", SPECS, random_scores(SPECS)), "global", 9)
    write_table(damage(frame), tmp_path / "t.csv", TOP_WEIGHTS)
    with pytest.raises(RankingError, match=message):
        read_ranking(tmp_path / "t.csv")


def test_the_script_writes_the_ranking_and_refuses_scores_of_another_model(tmp_path, capsys):
    folder = write_study(tmp_path, metrics=["grad_squared"])
    output = folder / "top_weights.csv"
    arguments = ["--store", folder / "scores/gradsq.h5", "--facts", folder / "model.json", "--tokens",
                 folder / "tokens.json", "--mode", "perblock", "--output", output]  # fmt: skip
    assert call_script("rank", *arguments, "--k", "3") == 0
    assert as_tuples(read_ranking(output)) == slow_rank(SPECS, random_scores(SPECS), "perblock", 3)
    assert call_script("rank", *arguments, "--k", "03") == 1
    assert "got '03'" in capsys.readouterr().err
    (folder / "model.json").write_text((folder / "model.json").read_text().replace("5e5e", "77"))
    assert call_script("rank", *arguments, "--k", "3") == 1
    assert "was made with another model_sha256" in capsys.readouterr().err


def test_the_script_refuses_scores_of_other_texts_or_of_another_metric(tmp_path, capsys):
    folder = write_study(tmp_path, metrics=["magnitude", "grad_squared"])

    def ranked(metric, *more):
        files = ["--facts", folder / "model.json", "--tokens", folder / "tokens.json", "--output", folder / "out.csv"]
        store = folder / f"scores/{metric}.h5"
        return call_script("rank", "--store", store, *files, "--mode", "global", "--k", "3", *more)

    assert ranked("gradsq", "--metric", "gradsq") == 0
    (folder / "out.csv").unlink()
    assert ranked("gradsq", "--metric", "obd") == 1
    assert "was made with another metric; got grad_squared; expected obd." in capsys.readouterr().err
    tokens = json.loads((folder / "tokens.json").read_text())
    (folder / "tokens.json").write_text(json.dumps(tokens | {"calibration": [[0, 1]]}))
    assert ranked("gradsq") == 1
    assert "was made with another calibration_sha256" in capsys.readouterr().err
    assert not (folder / "out.csv").exists()
    assert ranked("mag", "--metric", "mag") == 0  # magnitudes fit any texts


def test_nothing_between_the_store_and_the_tables_imports_torch():
    names = ("ranking.ranking", "ranking.selection_stats", "overlap.overlap", "concentration.concentration")
    modules = ", ".join(f"critical_weights.{name}" for name in names)
    code = f"import sys, {modules}; assert not {{'torch', 'transformers'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
