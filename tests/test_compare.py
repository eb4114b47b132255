from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

from critical_weights import config as configs
from critical_weights.compare.compare import compare_overlap, read_lists
from critical_weights.compare.config import compared_sources, comparison_errors, comparisons, facts_file
from critical_weights.compare.known_facts import KNOWN_SIZES, known_facts
from critical_weights.compare.lists import labels_of
from critical_weights.compare.ranked import rank_rows
from critical_weights.compare.shapes import read_shapes, shapes_of_facts
from critical_weights.errors import ConfigError, RankingError
from critical_weights.model.facts import describe_tensors
from critical_weights.overlap.lines import overlap_of_lists
from critical_weights.overlap.ranked_lists import list_of_candidates
from critical_weights.tables.schema import OVERLAP, read_table
from critical_weights.targets import target_files
from script_call import call_script
from synthetic_stores import default_specs, facts_of, random_scores

SPECS = default_specs()
SHAPES = shapes_of_facts(facts_of(SPECS))
ROOT = Path(__file__).resolve().parents[1]
LLAMA = known_facts("llama31_8b")


def rows_of(scores, kept):
    """Return the first ``kept`` weights of each tensor as rows of a list, in tensor order."""
    rows = []
    for name, values in scores.items():
        for flat in np.argsort(-values.ravel(), kind="stable")[:kept]:
            index = tuple(int(i) for i in np.unravel_index(flat, values.shape))
            rows.append((name, str(index), float(values.ravel()[flat]), "older"))
    return pd.DataFrame(rows, columns=["parameter", "indices", "sensitivity_score", "layer_group"])


def write(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def two_lists(folder, kept=15):
    a, b = random_scores(SPECS, seed=1, zeros=0), random_scores(SPECS, seed=2, zeros=0)
    return a, b, [write(folder / f"{label}.csv", rows_of(s, kept)) for label, s in (("a", a), ("b", b))]


def overlap(paths, shapes):
    return compare_overlap(*read_lists(paths, shapes))


def llama_list(seed):
    """Return 100 weights of each of the 226 tensors of Llama-3.1-8B, the rows in tensor order, with many ties."""
    rng, common = np.random.default_rng(seed), np.random.default_rng(99)
    parts = []
    for tensor in LLAMA["tensors"]:
        if tensor["analysed"]:
            flat = [common.integers(0, tensor["numel"], 30), rng.integers(0, tensor["numel"], 99)]
            row, col = np.divmod(rng.permutation(np.unique(np.concatenate(flat)))[:100], tensor["shape"][1])
            score = np.sort(rng.lognormal(-9, 2, 100) * (4e4 if tensor["name"] == "lm_head.weight" else 1))[::-1]
            parts.append(pd.DataFrame({
                "parameter": tensor["name"], "indices": [f"({r}, {c})" for r, c in zip(row, col, strict=True)],
                "sensitivity_score": score.astype(np.float16), "layer_group": "x"}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_lists_as_long_as_real_ones_give_the_same_in_any_row_order_and_say_up_to_which_k(tmp_path, capfd):
    outputs, seconds = [], []
    for order in ("tensor", "random", "score"):
        paths = []
        for seed, label in ((1, "a"), (2, "b")):
            frame = llama_list(seed)
            if order == "random":
                frame = frame.sample(frac=1, random_state=seed)
            if order == "score":
                frame = frame.sort_values("sensitivity_score", ascending=False)
            paths.append(write(tmp_path / order / f"{label}.csv", frame))
        out = tmp_path / order
        start = time.process_time()
        assert call_script("compare", "--lists", *paths, "--shape", "llama31_8b",
                           "--overlap", out / "overlap.csv", "--structure", out / "structure.csv") == 0  # fmt: skip
        seconds.append(time.process_time() - start)
        outputs.append([(out / name).read_bytes() for name in ("overlap.csv", "structure.csv")])
    assert outputs[0] == outputs[1] == outputs[2]
    assert min(seconds) < 5
    told = capfd.readouterr().err
    table = read_table(tmp_path / "tensor/overlap.csv", OVERLAP)
    whole = table[(table["scope"] == "global") & (table["k"] != "all")]
    ks = []
    for seed, label in ((1, "a"), (2, "b")):
        frame = llama_list(seed)
        floor = frame.groupby("parameter")["sensitivity_score"].min().max()
        ks.append(int((frame["sensitivity_score"] > floor).sum()))
        assert (
            f"WARNING: {label} cannot answer every question over all tensors: surely exact up to K = {ks[-1]} of"
            in told
        )
    assert list(whole["complete"]) == [int(k) <= min(ks) for k in whole["k"]]
    assert 2 <= whole["complete"].sum() < len(whole)
    within = table[table["scope"] == "tensor"]
    assert within["tensor"].nunique() == 226
    assert (within.loc[within["k"].isin(["10", "30"]), "complete"]).all()
    row = table[(table["scope"] == "global") & (table["k"] == "10")].iloc[0]
    assert row["expected"] == pytest.approx(100 / 8_029_995_008)


def test_lists_are_compared_like_the_candidates_that_they_hold(tmp_path):
    a, b, paths = two_lists(tmp_path)
    table = overlap(paths, SHAPES)
    lists = {}
    for label, scores in (("a", a), ("b", b)):
        orders = {name: np.argsort(-values.ravel(), kind="stable")[:15] for name, values in scores.items()}
        parts = [(order, scores[name].ravel()[order], scores[name].size) for name, order in orders.items()]
        lists[label] = list_of_candidates(tuple(scores), parts)
    same = overlap_of_lists(lists, {n: v.size for n, v in a.items()}, SHAPES.tensors)
    weights = table["scope"].isin(["global", "pooled", "tensor"])
    pd.testing.assert_frame_equal(table[weights], same[weights])
    # Of lines one place less may be sure: which of two equal weights another program names first is not known.
    counts = ["scope", "tensor", "k", "shared", "share", "jaccard"]
    pd.testing.assert_frame_equal(table[counts], same[counts])
    assert not (table["complete"] & ~same["complete"]).any()


def test_where_one_tensor_runs_out_k_ends_one_before_if_it_holds_all_the_first(tmp_path):
    # As with Llama-3.1-8B's grad_squared: all 100 of one tensor lead, and 99 is the last K that no tie can change.
    rows = [("s", f"({i}, 0)", 1000 - i) for i in range(100)] + [("t", f"({i}, 0)", 500 - i) for i in range(100)]
    frame = pd.DataFrame(rows, columns=["parameter", "indices", "sensitivity_score"])
    lists, shapes = read_lists([write(tmp_path / "a.csv", frame), write(tmp_path / "b.csv", frame)])
    found = rank_rows(lists["a"], shapes, {"s", "t"})
    assert (found.cut, found.k, found.global_k, found.ends) == ("tensor", 100, 99, "s")


def test_without_a_model_the_shared_weights_are_the_same_and_chance_is_empty(tmp_path, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    paths = two_lists(tmp_path)[2]
    table, known = overlap(paths, None), overlap(paths, SHAPES)
    assert set(table["scope"]) == {"global", "pooled", "tensor"}
    known = known[known["scope"].isin(["global", "pooled", "tensor"])]
    keys = ["scope", "tensor", "k"]
    columns = [*keys, "shared", "share", "jaccard"]
    pd.testing.assert_frame_equal(
        table[columns].sort_values(keys, ignore_index=True), known[columns].sort_values(keys, ignore_index=True)
    )
    assert table[["expected", "p"]].isna().all(axis=None)
    assert "without chance levels" in caplog.text


def test_a_list_that_holds_a_whole_model_answers_everything(tmp_path, caplog):
    table = overlap(two_lists(tmp_path, kept=1000)[2], SHAPES)
    assert table["complete"].all()
    assert "WARNING" not in caplog.text


@pytest.mark.parametrize("mode, complete", [("global", True), ("perlayer", False), ("perblock", False)])
def test_the_name_of_a_run_folder_says_how_its_ranking_was_cut(tmp_path, mode, complete):
    a, b = random_scores(SPECS, seed=1, zeros=0), random_scores(SPECS, seed=2, zeros=0)
    paths = []
    for label, scores in (("a", a), ("b", b)):
        frame = rows_of(scores, 1000).sort_values("sensitivity_score", ascending=False, kind="stable")
        layer = frame["parameter"].str.extract(r"layers\.(\d)")[0].fillna("outside")
        group = {"global": np.zeros(len(frame)), "perlayer": frame["parameter"], "perblock": layer}[mode]
        frame = frame.groupby(np.asarray(group), sort=False).head(12)
        paths.append(write(tmp_path / f"{label}/gradsq_{mode}_k12/top_weights.csv", frame))
    table = overlap(paths, SHAPES)
    whole = table[table["scope"] == "global"].set_index("k")["complete"]
    assert whole["10"]
    assert bool(whole["all"]) is complete
    assert list(dict.fromkeys(table["a"])) == ["a/gradsq_" + mode + "_k12/top_weights"]
    lists, _ = read_lists(paths, SHAPES)
    found = rank_rows(next(iter(lists.values())), SHAPES, set())
    above = sorted((s for values in a.values() for s in values.ravel()), reverse=True)[: found.global_k]
    np.testing.assert_array_equal(found.ranked.score[: found.global_k].astype(np.float32), above)


def test_a_list_of_unknown_cut_claims_nothing_over_all_tensors_and_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "critical_weights")
    a, b, _ = two_lists(tmp_path)
    paths = [write(tmp_path / f"{label}.csv", rows_of(s, 1000).nlargest(20, "sensitivity_score"))
             for label, s in (("c", a), ("d", b))]  # fmt: skip
    table = overlap(paths, SHAPES)
    assert not table.loc[table["scope"] == "global", "complete"].any()
    assert "how it was cut is not known" in caplog.text
    assert "exact up to K = 0 of its 20 weights" in caplog.text
    assert (table.loc[(table["scope"] == "global") & (table["k"] == "10"), "shared"] == shared_first(a, b, 10)).all()


def shared_first(a, b, k):
    first = []
    for scores in (a, b):
        entries = sorted((-float(s), p, i) for p, v in enumerate(scores.values()) for i, s in enumerate(v.ravel()))
        first.append({entry[1:] for entry in entries[:k]})
    return len(first[0] & first[1])


GOOD = rows_of(random_scores(SPECS, seed=1, zeros=0), 5)
FIRST = GOOD["parameter"][0]


def at(column, row, value):
    return GOOD.assign(**{column: GOOD[column].astype(object).where(GOOD.index != row, value)})


@pytest.mark.parametrize(
    "frame, words",
    [
        (GOOD.drop(columns="indices"), ["has no column indices", "got parameter, sensitivity_score"]),
        (GOOD.rename(columns={"sensitivity_score": "sensitivity_scores"}),
         ["has no column sensitivity_score", "Did you mean sensitivity_scores?"]),
        (GOOD.iloc[:0], ["lists no weight"]),
        (at("sensitivity_score", 3, np.nan), ["1 of 30 rows", "no finite number", "first row 5 ('')"]),
        (at("sensitivity_score", 3, "inf"), ["1 of 30 rows", "no finite number", "('inf')"]),
        (at("sensitivity_score", 3, "high"), ["1 of 30 rows", "no finite number", "('high')"]),
        (at("parameter", 2, ""), ["1 of 30 rows", "no tensor name", "first row 4"]),
        (at("indices", 3, "(1, -2)"), ["1 of 30 rows", "no tuple of whole numbers", "('(1, -2)')"]),
        (at("indices", 3, "(1, 2.5)"), ["no tuple of whole numbers"]),
        (at("indices", 3, "(1, \u0663)"), ["1 of 30 rows", "no tuple of whole numbers"]),
        (at("indices", 3, "(1,\u20032)"), ["1 of 30 rows", "no tuple of whole numbers"]),
        (at("indices", 3, "(1,)"), ["1 of 30 rows", "fewer indices than others of the same tensor"]),
        (pd.concat([GOOD, GOOD.iloc[[4, 4, 9]]]), ["3 of 33 rows", "an earlier row names already", "first row 32"]),
        (at("parameter", 3, "model.layers.0.self_attn.q_prj.weight"),
         ["names 1 of 7 tensors (1 of 30 rows) that tiny has not", "Did you mean model.layers.0.self_attn.q_proj"]),
        (at("indices", 3, "(13, 0)"), ["1 of 30 rows", "lie outside their tensor", f"first {FIRST} (13, 0)",
                                       "expected indices in shape [13, 6]"]),
        (GOOD.assign(indices=[f"({i}, 0, 0)" if p == FIRST else t for i, (p, t) in
                              enumerate(zip(GOOD["parameter"], GOOD["indices"], strict=True))]),
         ["have 3 indices", "expected 2, as tiny has it in shape [13, 6]"]),
    ],
)  # fmt: skip
def test_a_defective_list_is_told_with_its_counts_and_nothing_is_computed(tmp_path, frame, words):
    good, bad = write(tmp_path / "good.csv", GOOD), write(tmp_path / "bad.csv", frame)
    with pytest.raises(RankingError) as caught:
        read_lists([good, bad], SHAPES)
    for word in ["bad.csv", *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_empty_missing_or_no_text_are_told(tmp_path, capfd):
    good, bad = write(tmp_path / "good.csv", GOOD), tmp_path / "bad.csv"
    outputs = ["--overlap", tmp_path / "o.csv", "--structure", tmp_path / "s.csv"]
    assert call_script("compare", "--lists", good, bad, *outputs) == 1
    assert "there is no list" in capfd.readouterr().err
    for content, word in ((b"", "is empty"), (b"\xff\xfe\x00bad", "cannot be read as a CSV")):
        bad.write_bytes(content)
        assert call_script("compare", "--lists", good, bad, *outputs) == 1
        assert word in capfd.readouterr().err
    assert not (tmp_path / "o.csv").exists()


def test_a_column_twice_is_not_guessed(tmp_path):
    file = tmp_path / "twice.csv"
    twice = GOOD.assign(again=GOOD["sensitivity_score"]).rename(columns={"again": "sensitivity_score"})
    write(file, twice)
    with pytest.raises(RankingError, match="has more than one column sensitivity_score"):
        read_lists([file, write(tmp_path / "good.csv", GOOD)], SHAPES)


def test_an_output_never_takes_the_place_of_an_input(tmp_path, capfd):
    good, other = write(tmp_path / "a.csv", GOOD), write(tmp_path / "b.csv", GOOD)
    kept = good.read_bytes()
    for outputs in ((good, tmp_path / "s.csv"), (tmp_path / "o.csv", good), (tmp_path / "o.csv",) * 2):
        given = ["--overlap", outputs[0], "--structure", tmp_path / "x" / ".." / outputs[1].name]
        assert call_script("compare", "--lists", good, other, *given) == 1
        assert "is named twice" in capfd.readouterr().err
    assert good.read_bytes() == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_lists_of_different_models_are_refused_and_unequal_tensors_told(tmp_path, caplog):
    good = write(tmp_path / "a.csv", GOOD)
    other = write(tmp_path / "b.csv", GOOD.assign(parameter="transformer." + GOOD["parameter"]))
    with pytest.raises(RankingError, match=r"a and b have no tensor in common: a names 6 .* b names 6"):
        read_lists([good, other])
    deeper = write(tmp_path / "c.csv", GOOD.assign(indices=GOOD["indices"].str.replace(")", ", 0)")))
    with pytest.raises(RankingError, match=r"are lists of different models: weights of .* 2 indices .* 3 in the other"):
        read_lists([good, deeper])
    fewer = write(tmp_path / "d.csv", GOOD[GOOD["parameter"] != FIRST])
    table = overlap([good, fewer], SHAPES)
    assert "name different tensors: 5 in both, 1 only in a, 0 only in d" in caplog.text
    assert FIRST not in set(table["tensor"])
    whole = table[(table["scope"] == "global") & (table["k"] == "all")].iloc[0]
    assert (whole["shared"], whole["share"]) == (25, 1)


def test_lists_that_share_no_weight_are_told(tmp_path, caplog):
    frame = pd.DataFrame({"parameter": "t", "indices": [f"({i}, 0)" for i in range(6)], "sensitivity_score": 1.0})
    paths = [write(tmp_path / "a.csv", frame[:3]), write(tmp_path / "b.csv", frame[3:])]
    table = overlap(paths, None)
    assert (table["shared"] == 0).all()
    assert "WARNING: a and b share no weight at all" in caplog.text


def test_indices_may_be_written_in_several_ways_and_a_tied_name_means_its_tensor(tmp_path):
    facts = facts_of(SPECS)
    facts["tensors"][0]["tied_to"] = ["tied.weight"]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    plain = write(tmp_path / "a.csv", GOOD)
    spelled = GOOD.assign(indices=GOOD["indices"].str.replace("(", "[").str.replace(")", "]").str.replace(" ", ""),
                          parameter=GOOD["parameter"].replace(FIRST, "tied.weight"))  # fmt: skip
    table = overlap([plain, write(tmp_path / "b.csv", spelled)], read_shapes(path))
    assert (table["share"] == 1).all()
    both = pd.concat([GOOD, spelled[spelled["parameter"] == "tied.weight"]])
    with pytest.raises(RankingError, match=r"names tied.weight beside model.embed_tokens.weight, which are one tied"):
        read_lists([plain, write(tmp_path / "c.csv", both)], read_shapes(path))
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(RankingError, match="holds no facts of a model"):
        read_shapes(tmp_path / "other.json")


def test_labels_are_the_shortest_ends_of_paths_that_differ():
    assert labels_of(["x/a.csv", "y/b.csv"]) == ["a", "b"]
    assert labels_of(["p/run/top.csv", "q/run/top.csv"]) == ["p/run/top", "q/run/top"]
    assert labels_of(["x/a.csv", "x/a.tsv"]) == ["a.csv", "a.tsv"]
    with pytest.raises(RankingError, match=r"x/\./a\.csv is named twice"):
        labels_of(["x/a.csv", "x/./a.csv"])


@pytest.mark.parametrize("name, made", [
    ("llama31_8b", LlamaConfig(vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32,
                               num_attention_heads=32, num_key_value_heads=8)),
    ("mistral_7b", MistralConfig(vocab_size=32_000, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32,
                                 num_attention_heads=32, num_key_value_heads=8, head_dim=128)),
    ("tinyllama_1_1b", LlamaConfig(vocab_size=32_000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
                                   num_attention_heads=32, num_key_value_heads=4)),
])  # fmt: skip
def test_known_facts_are_those_of_the_model_built_from_its_config(name, made):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(made)
    assert known_facts(name)["tensors"] == describe_tensors(model)
    with pytest.raises(RankingError, match="unknown shape of the model 'gpt2'"):
        known_facts("gpt2")


def test_the_sizes_of_llama_are_the_published_ones():
    assert (LLAMA["n_tensors"], LLAMA["n_weights"]) == (291, 8_030_261_248)
    assert LLAMA["analysed"] == {"n_tensors": 226, "n_weights": 8_029_995_008, "include_1d": False}


def laid_over(own):
    return configs.merge(configs.read_config(ROOT / "config" / "config.yaml"), {"compare": own})


@pytest.mark.parametrize(
    "entry, words",
    [({"s": ["a.csv"]}, ["compare.s", "['a.csv']", "2 or more in the list"]),
     ({"s": "a.csv"}, ["compare.s", "'a.csv'"]),
     ({"s": {"lists": ["a", "b"], "modle": "gpt2"}}, ["unknown key 'modle' in compare.s", "model"]),
     ({"s": ["a", 3]}, ["compare.s[1]", "3", "a text"]), ({"S!": ["a", "b"]}, ["'S!'"]),
     ({"s": {"model": "gpt2"}}, ["compare.s lacks 'lists'"])],
)  # fmt: skip
def test_mistakes_in_the_config_are_told(entry, words):
    (error,) = configs.config_errors(laid_over(entry))
    assert all(word in str(error) for word in words)


def test_comparisons_of_the_config(tmp_path):
    lists = [str(write(tmp_path / f"{label}.csv", GOOD)) for label in "ab"]
    own = {"study": lists, "known": {"lists": lists, "model": "llama31_8b"}, "mine": {"lists": lists, "model": "gpt2"}}
    config = configs.complete(laid_over(own))
    assert configs.config_errors(laid_over(own)) == comparison_errors(config) == []
    found = comparisons(config)
    assert (found["study"].lists, found["study"].model) == (tuple(lists), None)
    assert facts_file(config, found["known"].model) is None  # its sizes are known
    assert facts_file(config, found["mine"].model) == "results/p1_baseline/gpt2/model.json"
    assert facts_file(config, "bundled") == "results/p1_baseline/bundled/model.json"
    assert target_files("results/compare/study/", config, ()) == [
        "results/compare/study/overlap.csv", "results/compare/study/structure.csv"]  # fmt: skip
    assert target_files("results/compare/known/overlap.csv", config, ()) == ["results/compare/known/overlap.csv"]
    for word, message in (("results/compare/studi", r"unknown comparison 'studi'. Did you mean study\?"),
                          ("results/compare/study/overlp.csv", r"Did you mean overlap\.csv")):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            target_files(word, config, ())
    wrong = laid_over({"s": {"lists": [str(tmp_path / "aa.csv"), "results/p2/top.csv"], "model": "gpt3"}})
    (told,) = map(str, comparison_errors(wrong))
    assert "compare.s.model: unknown model 'gpt3'. Did you mean gpt2" in told


@pytest.mark.parametrize("name", KNOWN_SIZES)
def test_sizes_are_known_of_the_repository_alone_that_the_default_config_has(name):
    """mistralai/Mistral-7B-v0.3 has a vocabulary of its own, whatever a config calls it."""
    default = configs.read_config(ROOT / "config" / "config.yaml")
    assert default["models"][name]["repo"] == KNOWN_SIZES[name].repo
    for entry in ({"source": "hub", "repo": "someone/else"}, {"source": "local", "path": "m"}):
        assert (
            facts_file(configs.merge(default, {"models": {name: entry}}), name)
            == f"results/p1_baseline/{name}/model.json"
        )
    own = {"models": {name: {"dtype": "float32", "revision": "refs/pr/1"}}}
    assert facts_file(configs.merge(default, own), name) is None


def test_what_the_workflow_makes_for_a_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [f"results/p2/{model}/gradsq_global_k9/top_weights.csv" for model in ("gpt2", "bundled")]
    config = configs.complete(laid_over({"x": {"lists": [*made, "a.csv"], "model": "gpt2"}, "y": ["a.csv", "b.csv"]}))
    asked = ["results/compare/x/overlap.csv", "results/compare/y/overlap.csv", "results/p2/gpt2/tokens.json"]
    assert compared_sources(asked, config) == ["results/p1_baseline/gpt2/model.json", *made]
    write(tmp_path / made[0], GOOD)
    assert compared_sources(asked, config) == ["results/p1_baseline/gpt2/model.json", made[1]]
    assert compared_sources(asked[1:], config) == []


def test_the_stage_needs_no_torch():
    program = "import sys; sys.argv[0] = 'x'; import compare; sys.exit('torch' in sys.modules)"
    folder = ROOT / "workflow" / "scripts"
    assert subprocess.run([sys.executable, "-c", program], cwd=folder, check=False).returncode == 0
