"""Super weights: planted ones are found, round by round; nothing else is; every weight stays; places are true."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import PreTrainedModel

from critical_weights.errors import ModelError, StoreError
from critical_weights.model.facts import describe_model, describe_tensors
from critical_weights.report.facts_superweights import read_superweights
from critical_weights.scoring.blockwise import BlockPlan
from critical_weights.scoring.engine import Placed
from critical_weights.scoring.peaks import Edit, start_passes, zeroed
from critical_weights.scoring.spikes import Detection, detect
from critical_weights.scoring.weights import StreamedWeights, empty_model
from critical_weights.store.read import open_store
from critical_weights.superweights.join import superweights_table
from critical_weights.superweights.layers import down_projections, flat_index
from critical_weights.superweights.places import PlaceOfWeight, places_of
from critical_weights.superweights.published import PUBLISHED, check_published, published_weights, read_entries
from critical_weights.superweights.record import profile_table, record_of
from critical_weights.superweights.rule import EARLY, LAST, SHARED, LayerPeak, SpikeRule, judge
from critical_weights.tables.schema import read_table, write_table
from critical_weights.tables.superweights import SPIKE_PROFILE, SUPERWEIGHTS
from odd_models import odd_model
from script_call import call_script
from synthetic_stores import MODEL_SHA256, TensorSpec, default_specs, facts_of, random_scores, write_store
from tiny_models import NAMES, save_tiny_folder, tiny_model, tiny_texts

CPU = torch.device("cpu")
RULE = SpikeRule()
BLOCKS = 6
TEXTS = [[0, *ids] for ids in tiny_texts(4, 5)]
"""All begin with token 0, as with a BOS."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def facts_for(model: PreTrainedModel) -> dict[str, Any]:
    config = model.config
    return {
        "model": "tiny", "repo": None, "sha256": "ab", "n_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size, "vocab_size": config.vocab_size, "tensors": describe_tensors(model),
    }  # fmt: skip


def found(model: PreTrainedModel, rounds: int = 8, placed: Placed | None = None) -> Detection:
    return detect(model, TEXTS, facts_for(model), RULE, rounds, placed)


def addresses(detection: Detection) -> list[list[tuple[str, int, int, int]]]:
    return [[(s.kind, s.layer, s.row, s.col) for s in spikes] for spikes in detection.spikes]


def seen_by_mlp(model: PreTrainedModel, layer: int) -> torch.Tensor:
    """Return what the first token brings to a Llama's MLP or a GPT-2's."""
    gpt2 = model.config.model_type == "gpt2"
    mlp = model.transformer.h[layer].mlp if gpt2 else model.model.layers[layer].mlp
    caught: list[torch.Tensor] = []
    handle = mlp.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0][0, 0].clone()))
    with torch.no_grad():
        model(torch.tensor([TEXTS[0]]))
    handle.remove()
    return caught[0]


@torch.no_grad()
def plant(model: PreTrainedModel, layer: int, col: int, weights: dict[int, float], silent: int | None = None) -> None:
    """Plant a super weight in a Llama: one neuron answers to the first token, its weights write to a few rows.

    Args:
        model: a tiny Llama.
        layer: block of the weight.
        col: its neuron.
        weights: row -> value of ``down_proj``.
        silent: a row; the neuron stays silent as long as the residual stream is huge and positive there.

    """
    mlp = model.model.layers[layer].mlp
    direction = seen_by_mlp(model, layer)
    direction = 8 * direction / direction.norm()
    mlp.up_proj.weight[col] = direction
    if silent is not None:
        direction = direction.clone()
        direction[silent] = -30
    mlp.gate_proj.weight[col] = direction
    mlp.down_proj.weight[:, col] *= 0.02
    for row, value in weights.items():
        mlp.down_proj.weight[row, col] = value


def planted(*rows: int) -> PreTrainedModel:
    """Return a Llama with one planted neuron in block 1, column 7, that writes to these rows."""
    model = tiny_model("llama", num_hidden_layers=BLOCKS)
    plant(model, 1, 7, {row: 1.0 - 0.05 * i for i, row in enumerate(rows)})
    return model


def planted_twice() -> PreTrainedModel:
    """Return a Llama whose second super weight (block 3) is silent until the first one (block 1) is removed."""
    model = tiny_model("llama", num_hidden_layers=BLOCKS)
    plant(model, 3, 11, {9: 0.05}, silent=4)
    plant(model, 1, 7, {4: 1.0})
    return model


def bits(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone().view(torch.int64) for name, p in model.named_parameters()}


def same_bits(model: PreTrainedModel, before: dict[str, torch.Tensor]) -> bool:
    now = bits(model)
    no_hooks = not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    return no_hooks and all(torch.equal(now[name], value) for name, value in before.items())


def test_a_planted_weight_is_found_with_its_figures() -> None:
    model = planted(4)
    before = bits(model)
    detection = found(model)
    assert addresses(detection) == [[(EARLY, 1, 4, 7)], []]
    assert detection.complete
    assert (detection.n_texts, detection.n_tokens) == (len(TEXTS), sum(map(len, TEXTS)))
    (spike,) = detection.spikes[0]
    assert (spike.weight, spike.text, spike.position) == (1.0, 0, 0)
    assert spike.output > 50
    assert 0.9 < spike.share < 1.1
    assert spike.share == pytest.approx(spike.input / spike.output)
    assert min(spike.to_median, spike.to_next) > 10
    assert same_bits(model, before)


def test_a_second_weight_shows_only_after_the_first_is_removed() -> None:
    model = planted_twice()
    before = bits(model)
    detection = found(model)
    assert addresses(detection) == [[(EARLY, 1, 4, 7)], [(EARLY, 3, 9, 11)], []]
    assert [s.layer for s in judge(detection.peaks[0], BLOCKS, RULE)] == [1]
    assert detection.complete
    single = found(model, rounds=1)
    assert addresses(single) == [[(EARLY, 1, 4, 7)]]
    assert not single.complete
    assert same_bits(model, before)


def test_one_neuron_with_three_rows_is_found_in_one_round() -> None:
    detection = found(planted(4, 13, 2))
    assert addresses(detection) == [[(EARLY, 1, 4, 7), (EARLY, 1, 13, 7), (EARLY, 1, 2, 7)], []]
    assert [s.weight for s in detection.spikes[0]] == pytest.approx([1.0, 0.95, 0.9])


def test_two_columns_of_one_row_are_found_one_after_the_other() -> None:
    """As in Llama-13B: a weight set to zero leaves its input huge, and must not hide the other column."""
    model = planted(4)
    plant(model, 1, 8, {4: 0.8})
    detection = found(model)
    assert addresses(detection) == [[(EARLY, 1, 4, 7)], [(EARLY, 1, 4, 8)], []]


def test_a_spike_in_the_last_block_is_told_and_left() -> None:
    model = planted(4)
    plant(model, BLOCKS - 1, 5, {6: 1.0})
    detection = found(model)
    assert addresses(detection)[0] == [(EARLY, 1, 4, 7), (LAST, BLOCKS - 1, 6, 5)]
    assert all(s.kind == EARLY for spikes in detection.spikes[1:] for s in spikes)
    assert detection.complete


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_found_in_a_random_model(name: str, seed: int) -> None:
    model = tiny_model(name, seed=seed, num_hidden_layers=4)
    detection = found(model)
    assert not any(detection.spikes)
    if name == "mixtral":
        assert "no position" in detection.missing[0]
        assert not detection.peaks
        return
    largest = [peak.max_output for peak in detection.peaks[0]]
    assert max(largest) / np.median(largest) < RULE.ratio / 1.2
    assert [peak.layer for peak in detection.peaks[0]] == [0, 1, 2, 3]


def test_a_matrix_behind_the_mlp_is_not_its_last_one() -> None:
    """Gemma-3n adds what it reads of each token's own embedding by a ``per_layer_projection``."""
    tensors, missing = down_projections(facts_for(odd_model("gemma3n_text")))
    assert [t["name"] for t in tensors.values()] == [f"model.layers.{n}.mlp.down_proj.weight" for n in range(4)]
    assert not missing


def linear_facts(shapes: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Return the facts of Linear modules in blocks of hidden size 8, by name from the block's number on."""
    tensors = [
        {"name": f"model.layers.{name}.weight", "layer": int(name[0]), "kind": "linear", "shape": shape,
         "axes": ["row", "col"]}
        for name, shape in shapes.items()
    ]  # fmt: skip
    return {"hidden_size": 8, "n_layers": 1 + max(t["layer"] for t in tensors), "tensors": tensors}


@pytest.mark.parametrize("last", ["o_proj", "out_proj"])
def test_the_output_of_a_mixer_is_no_mlp_whatever_the_module_is_called(last: str) -> None:
    """Of hybrids a block may be a Mamba mixer or attention alone, under a name that does not say attention."""
    ends = {f"{block}.mixer.{last}": (8, 16) for block in range(2)}
    why = "no matrix of an MLP has outputs of the hidden size"
    found, missing = down_projections(linear_facts(ends))
    assert (found, missing) == ({}, {0: why, 1: why})
    # As the shared MLP of Granite's hybrid: no table of roles knows its name, and the mixer comes behind it.
    found, missing = down_projections(linear_facts({"0.shared_mlp.output_linear": (8, 12), **ends}))
    assert [t["name"] for t in found.values()] == ["model.layers.0.shared_mlp.output_linear.weight"]
    assert missing == {1: why}


def test_a_block_of_a_hybrid_that_has_no_mlp_has_no_other_matrix_instead() -> None:
    """As in Nemotron-H and Zamba: attention's q has outputs of the hidden size, and so has a matrix behind all."""
    shapes = {
        "0.mixer.up_proj": (32, 8), "0.mixer.down_proj": (8, 32), "1.mixer.q_proj": (8, 8), "1.mixer.o_proj": (8, 8),
        "2.mamba.out_proj": (8, 16), "2.linear": (8, 8), "3.feed_forward.down_proj": (8, 32), "3.linear": (8, 8),
    }  # fmt: skip
    found, missing = down_projections(linear_facts(shapes))
    names = {layer: own["name"].split(".", 3)[3] for layer, own in found.items()}
    assert names == {0: "mixer.down_proj.weight", 3: "feed_forward.down_proj.weight"}
    assert sorted(missing) == [1, 2]
    found, missing = down_projections(facts_for(odd_model("zamba2")))
    assert {t["name"].rsplit(".", 2)[1] for t in found.values()} == {"down_proj"}
    assert sorted([*found, *missing]) == [0, 1, 2, 3]


def test_the_mlp_of_bert_ends_in_a_matrix_that_is_called_as_attention_of_others() -> None:
    """Its ``output.dense`` stands beside ``attention.output.dense``; Pythia has an ``attention.dense``."""
    tensors, missing = down_projections(facts_for(odd_model("roberta")))
    assert [t["name"] for t in tensors.values()] == [f"roberta.encoder.layer.{n}.output.dense.weight" for n in range(4)]
    assert not missing


def test_conv1d_has_rows_and_columns_the_right_way_round() -> None:
    model = tiny_model("gpt2", num_hidden_layers=BLOCKS)
    mlp = model.transformer.h[1].mlp
    direction = seen_by_mlp(model, 1)
    with torch.no_grad():
        mlp.c_fc.weight[:, 20] = 80 * direction / direction.norm()
        mlp.c_proj.weight[20] *= 0.02
        mlp.c_proj.weight[20, 3] = -1.5
    before = bits(model)
    detection = found(model)
    assert addresses(detection) == [[(EARLY, 1, 3, 20)], []]
    assert detection.spikes[0][0].weight == -1.5
    assert detection.spikes[0][0].component == "mlp.c_proj"
    assert same_bits(model, before)
    tensor = next(t for t in facts_for(model)["tensors"] if t["name"] == detection.spikes[0][0].parameter)
    assert flat_index(tensor, 3, 20) == 20 * 16 + 3


def streamed(folder: Path) -> tuple[PreTrainedModel, Placed]:
    model = empty_model(folder, torch.float64)
    return model, Placed("streamed", BlockPlan(30), StreamedWeights(model, folder, CPU), CPU)


def same_peaks(got: list[LayerPeak], want: list[LayerPeak], tolerance: float) -> None:
    whole = ("layer", "component", "parameter", "text", "position", "col", "input_text", "input_position", "input_col")
    for a, b in zip(got, want, strict=True):
        assert [getattr(a, key) for key in whole] == [getattr(b, key) for key in whole]
        for key in ("input", "max_input", "median_input", "median_output", "outputs", "weights"):
            np.testing.assert_allclose(getattr(a, key), getattr(b, key), rtol=tolerance, atol=tolerance)


def test_streamed_and_in_blocks_as_resident(tmp_path: Path) -> None:
    model = planted_twice()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    want = found(model)
    empty, placed = streamed(tmp_path)
    for got in (found(empty, placed=placed), found(model, placed=Placed("blocks", BlockPlan(30)))):
        assert addresses(got) == addresses(want)
        for a, b in zip(got.peaks, want.peaks, strict=True):
            same_peaks(a, b, 1e-12)
    assert all(p.is_meta for p in empty.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixtral"])
def test_peaks_are_those_of_plain_hooks(name: str) -> None:
    """All architectures, in memory and block by block, against hooks that keep everything; with a weight removed."""
    model = tiny_model(name, num_hidden_layers=3)
    tensors, _ = down_projections(facts_for(model))
    assert sorted(tensors) == [0, 1, 2]
    edits = [Edit(tensors[1], 3, 5)]
    for change in ([], edits):
        with zeroed(model, change):
            want = plain_peaks(model, tensors)
        for placed in (Placed(), Placed("blocks")):
            passes = start_passes(model, TEXTS, tensors, placed)
            passes.peaks(edits)
            got = passes.peaks(change)
            for peak, (inputs, outputs, real, weight) in zip(got, want, strict=True):
                rows, columns = np.abs(outputs), np.abs(inputs)
                text, position, row = np.unravel_index(rows.argmax(), rows.shape)
                assert (peak.text, peak.position, peak.row) == (text, position, row)
                np.testing.assert_allclose(peak.outputs, outputs[text, position], rtol=1e-9, atol=1e-12)
                at = columns[text, position].copy()
                if change and peak.layer == 1 and row == 3:
                    at[5] = -1
                assert peak.col == at.argmax()
                assert peak.input == pytest.approx(inputs[text, position, peak.col], rel=1e-9)
                np.testing.assert_array_equal(peak.weights, weight[:, peak.col])
                where = np.unravel_index(columns.argmax(), columns.shape)
                assert (peak.input_text, peak.input_position, peak.input_col) == where
                assert peak.max_input == pytest.approx(columns[real].max(), rel=1e-9)
                assert peak.median_input == pytest.approx(np.median(columns[real].max(-1)), rel=1e-9)
                assert peak.median_output == pytest.approx(np.median(rows[real].max(-1)), rel=1e-9)


Plain = list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def plain_peaks(model: PreTrainedModel, tensors: dict[int, dict[str, Any]]) -> Plain:
    """Return by block inputs, outputs (texts, width, size), 0 beyond a text; which are real; the weight (row, col)."""
    kept: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {layer: [] for layer in tensors}
    handles = []
    for layer, tensor in tensors.items():
        module = model.get_submodule(tensor["name"].removesuffix(".weight"))

        def keep(_: Any, x: Any, y: torch.Tensor, layer: int = layer) -> None:
            # copies: Falcon adds to the output in place; OPT has flattened texts and tokens
            x, y = (value.detach().reshape(-1, value.shape[-1]).numpy().copy() for value in (x[0], y))
            kept[layer].append((x, y))

        handles.append(module.register_forward_hook(keep))
    width = max(map(len, TEXTS))
    result = []
    with torch.no_grad():
        for ids in TEXTS:
            model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    for layer, tensor in tensors.items():
        padded = [
            np.stack([np.pad(one[which], ((0, width - len(one[which])), (0, 0)), constant_values=0.0)
                      for one in kept[layer]])
            for which in (0, 1)
        ]  # fmt: skip
        lengths = np.array([len(one[0]) for one in kept[layer]])
        real = np.arange(width)[None, :] < lengths[:, None]
        weight = model.get_parameter(tensor["name"]).detach().numpy().copy()
        weight = weight.T if tensor["kind"] == "conv1d" else weight
        result.append((*padded, real, weight))
    return result


@pytest.mark.parametrize("placement", ["resident", "blocks"])
def test_weights_are_as_before_after_an_exception(placement: str) -> None:
    model = planted_twice()
    before = bits(model)
    calls = {"n": 0}

    def fail(*_: Any) -> None:
        calls["n"] += 1
        if calls["n"] > 2 * len(TEXTS) + 1:  # in the third round, with two weights set to zero
            raise RuntimeError("on purpose")

    handle = model.model.layers[3].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        found(model, placed=Placed(placement))
    handle.remove()
    assert calls["n"] == 2 * len(TEXTS) + 2
    assert same_bits(model, before)


def test_zeroed_keeps_the_bits_of_negative_zero_and_of_a_place_named_twice() -> None:
    model = tiny_model("llama")
    tensor = down_projections(facts_for(model))[0][0]
    weight = model.get_parameter(tensor["name"])
    with torch.no_grad():
        weight[1, 2] = -0.0
    before = bits(model)
    with zeroed(model, [Edit(tensor, 1, 2), Edit(tensor, 3, 4)] * 2):
        assert float(weight.detach()[3, 4]) == 0
        assert not same_bits(model, before)
    assert same_bits(model, before)


def test_activations_that_overflow_are_an_error() -> None:
    model = planted(4)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[4, 7] = float("inf")
    with pytest.raises(ModelError, match=r"layers.1.mlp.down_proj.weight are not finite in float64.*wider dtype"):
        found(model)


def peak(layer: int, outputs: list[float], col: int = 0, value: float = 1.0, weights: Any = None) -> LayerPeak:
    out = np.array(outputs, float)
    weights = np.zeros(len(out)) if weights is None else np.array(weights, float)
    return LayerPeak(layer, "down", f"{layer}.down", 0, 0, out, col, value, weights, value, 0, 0, col, 1.0, 1.0)


def test_the_rule() -> None:
    quiet = [peak(layer, [1.0, 0.5]) for layer in range(8)]

    def kinds(layer: int, outputs: list[float], weights: list[float], value: float = 10.0, others: Any = quiet) -> list:
        peaks = list(others)
        peaks[layer] = peak(layer, outputs, 3, value, weights)
        return [(s.kind, s.row, s.col) for s in judge(peaks, 8, RULE)]

    assert kinds(2, [1.0, -20.0], [0.0, -2.0]) == [(EARLY, 1, 3)]
    assert kinds(2, [1.0, -20.0], [0.0, -0.2]) == [(SHARED, 1, 3)]
    assert kinds(2, [1.0, -20.0], [0.0, 2.0]) == [(SHARED, 1, 3)]  # its product works against the output
    assert kinds(7, [1.0, -20.0], [0.0, -2.0]) == [(LAST, 1, 3)]
    assert kinds(6, [1.0, -20.0], [0.0, -2.0]) == [(EARLY, 1, 3)]
    assert kinds(2, [4.9, 0.0], [0.49, 0.0]) == []
    assert kinds(2, [12.0, 20.0, 14.0, 9.0], [1.2, 2.0, 0.1, 0.9]) == [(EARLY, 1, 3), (EARLY, 0, 3)]
    assert kinds(2, [20.0] * 8, [2.0] * 8) == [(EARLY, row, 3) for row in range(8)]
    assert kinds(2, [20.0] * 9, [2.0] * 9) == [(SHARED, 0, 3)]
    loud = [*quiet[:3], peak(3, [4.5, 0.0]), *quiet[4:]]
    assert kinds(2, [0.0, 13.0], [0.0, 1.3], others=loud) == []  # less than three times the next block
    assert kinds(2, [0.0, 14.0], [0.0, 1.4], others=loud) == [(EARLY, 1, 3)]
    two = [peak(0, [20.0], 3, 10.0, [2.0]), peak(1, [1.0])]  # the median is that of the other blocks
    assert [(s.kind, s.to_median, s.to_next) for s in judge(two, 2, RULE)] == [(EARLY, 20.0, 20.0)]
    deep = [peak(n, [1.0]) for n in range(32)]
    deep[30] = peak(30, [50.0], 0, 50.0, [1.0])
    last_two = judge(deep, 32, RULE)
    assert [s.kind for s in last_two] == [LAST]


def test_the_last_block_is_compared_with_the_one_before_it() -> None:
    """There is no next one; the first block, far from it, says nothing."""

    def of_last(loud: int) -> list[float]:
        outputs = [1.0] * 7 + [13.0]  # less than three times the loud one
        outputs[loud] = 4.5
        return [s.to_next for s in judge([peak(n, [own]) for n, own in enumerate(outputs)], 8, RULE)]

    assert of_last(loud=0) == [13.0]
    assert of_last(loud=6) == []


def slow_places(scores: dict[str, np.ndarray], weights: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """Sort everything: (global rank, rank in tensor) of each weight."""
    every = sorted(
        (-float(value), position, index)
        for position, name in enumerate(scores)
        for index, value in enumerate(scores[name].reshape(-1))
    )
    names = list(scores)
    places = []
    for name, index in weights:
        position = names.index(name)
        own = [entry for entry in every if entry[1] == position]
        key = (-float(scores[name].reshape(-1)[index]), position, index)
        places.append((every.index(key) + 1, own.index(key) + 1))
    return places


@pytest.mark.parametrize("candidates", [3, 20, 1000])
@pytest.mark.parametrize("dense", [True, False, ("model.layers.0.mlp.c_fc.weight", "lm_head.weight")])
def test_places_against_a_full_sort(tmp_path: Path, candidates: int, dense: Any) -> None:
    specs = default_specs()
    scores = {**random_scores(specs, 3, ties=0.9)}
    path = write_store(tmp_path / "s.h5", specs, scores, candidates=candidates, dense=dense)
    weights = [(name, index) for name in scores for index in range(scores[name].size)]
    want = slow_places(scores, weights)
    with open_store(path) as store:
        got = places_of(store, weights)
        kept = {name: set(store.candidates(name)["top_index"].tolist()) for name in store.names}
    exact = 0
    for place, (rank, in_tensor), (name, index) in zip(got, want, weights, strict=True):
        assert (place.rank is None) != (place.rank_above is None)
        assert place.rank in (None, rank)
        assert place.rank_in_tensor in (None, in_tensor)
        assert place.rank_above is None or place.rank_above < rank
        assert place.rank_in_tensor_above is None or place.rank_in_tensor_above < in_tensor
        known = index in kept[name] or dense is True or (dense and name in dense)
        assert (place.score is not None) == bool(known)
        assert (place.rank_in_tensor is not None) == bool(known)
        if known:
            assert place.score == scores[name].reshape(-1)[index]
        else:
            assert place.rank_in_tensor_above == candidates
        exact += place.rank is not None
    if dense is True or candidates == 1000:
        assert exact == len(weights)
    assert exact >= 3


def test_a_tensor_without_scores_says_why(tmp_path: Path) -> None:
    specs = default_specs()
    scores = random_scores(specs)
    del scores["lm_head.weight"]
    path = write_store(tmp_path / "s.h5", specs, scores)
    with open_store(path) as store:
        (place,) = places_of(store, [("lm_head.weight", 3)])
    assert place == PlaceOfWeight(note="the store has no scores of this tensor")


def record(spikes: list[dict[str, Any]], published: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"model_sha256": MODEL_SHA256, "n_texts": 4, "n_tokens": 30, "complete": True, "spikes": spikes,
            "published": published or []}  # fmt: skip


def spike_entry(parameter: str, layer: int, row: int, col: int) -> dict[str, Any]:
    return {"round": 1, "class": EARLY, "layer": layer, "component": "c_fc", "parameter": parameter, "row": row,
            "col": col, "weight": 1.5, "input": -3.0, "output": -4.5, "share": 1.0, "text": 0, "position": 0,
            "to_median": 12.0, "to_next": 9.0}  # fmt: skip


def test_the_table_joins_finds_published_weights_and_metrics(tmp_path: Path) -> None:
    specs = default_specs()
    name, other = "model.layers.0.mlp.c_fc.weight", "model.layers.1.self_attn.q_proj.weight"
    scores = {metric: random_scores(specs, seed) for seed, metric in enumerate(("magnitude", "grad_squared"))}
    stores = [
        write_store(tmp_path / f"{m}.h5", specs, s, metric=m, dense=False, candidates=10) for m, s in scores.items()
    ]
    published = [
        {"parameter": name, "layer": 0, "row": 5, "col": 2, "weight": 1.5, "source": "x", "stored": 1.5},
        {"parameter": other, "layer": 1, "row": 1, "col": 4, "weight": None, "source": "x", "stored": 0.25},
    ]
    spikes = record([spike_entry(name, 0, 5, 2)], published)
    frame = superweights_table(spikes, facts_of(specs), stores)
    write_table(frame, tmp_path / "superweights.csv", SUPERWEIGHTS)
    frame = read_table(tmp_path / "superweights.csv", SUPERWEIGHTS)
    assert frame["metric"].tolist() == ["magnitude", "grad_squared"] * 2
    assert frame["class"].tolist() == [EARLY, EARLY, "", ""]
    assert frame["published"].all()
    assert frame["component"].tolist() == ["c_fc", "c_fc", "q_proj", "q_proj"]
    assert frame["weight"].tolist() == [1.5, 1.5, 0.25, 0.25]
    assert frame["round"].isna().tolist() == [False, False, True, True]
    assert set(frame["texts"]) == {4}
    for row in frame.itertuples():
        # c_fc is stored (col, row): 6 columns of inputs, 8 rows of outputs
        flat = 2 * 8 + 5 if row.parameter == name else 1 * 6 + 4
        ((rank, in_tensor),) = slow_places(scores[row.metric], [(row.parameter, flat)])
        for exact, above, true in (
            (row.rank, row.rank_above, rank), (row.rank_in_tensor, row.rank_in_tensor_above, in_tensor),
        ):  # fmt: skip
            assert exact == true if pd.isna(above) else above < true
    empty = superweights_table(record([]), facts_of(specs), stores)
    write_table(empty, tmp_path / "empty.csv", SUPERWEIGHTS)
    assert read_table(tmp_path / "empty.csv", SUPERWEIGHTS).empty
    alone = superweights_table(spikes, facts_of(specs), [])
    write_table(alone, tmp_path / "alone.csv", SUPERWEIGHTS)
    assert set(read_table(tmp_path / "alone.csv", SUPERWEIGHTS)["note"]) == {"no score store was given"}


def test_spikes_or_scores_of_another_model_are_refused(tmp_path: Path) -> None:
    specs = default_specs()
    with pytest.raises(StoreError, match="another model than the facts"):
        superweights_table({**record([]), "model_sha256": "cd"}, facts_of(specs), [])
    path = write_store(tmp_path / "s.h5", specs, random_scores(specs), model="cd")
    with pytest.raises(StoreError, match="another model_sha256"):
        superweights_table(record([]), facts_of(specs), [path])


def test_two_stores_of_one_metric_are_refused(tmp_path: Path) -> None:
    specs = default_specs()
    stores = [write_store(tmp_path / f"{n}.h5", specs, random_scores(specs, n)) for n in range(2)]
    for two in (stores, stores[:1] * 2):
        with pytest.raises(StoreError, match=f"grad_squared is given twice; got {two[0]} and {two[1]}"):
            superweights_table(record([]), facts_of(specs), two)


@pytest.mark.parametrize("option", ["--ratio", "--next-ratio"])
@pytest.mark.parametrize("value", ["nan", "inf", "0.5"])
def test_ratios_that_are_none_are_refused_before_anything_is_read(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [word for name in ("record", "facts", "tokens", "output", "profile") for word in (f"--{name}", "none")]
    assert call_script("spikes", *missing, option, value) == 1
    said = capsys.readouterr().err
    assert "ratio and next_ratio; got " in said
    assert value in said


def test_the_published_table() -> None:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 27
    assert all(row["source"] for row in rows)
    llama = published_weights("meta-llama/Llama-3.1-8B")
    assert [(p["layer"], p["row"], p["col"], p["weight"]) for p in llama] == [
        (1, 788, 2427, -0.60546875), (1, 1384, 2427, 0.5546875), (1, 4062, 2427, 0.55078125),
    ]  # fmt: skip
    assert llama[0]["parameter"] == "model.layers.1.mlp.down_proj.weight"
    assert len(published_weights("huggyllama/llama-13b")) == 2
    assert published_weights("somebody/Llama-3.1-8B") == []
    assert published_weights("meta-llama/Meta-Llama-3.1-8B") == llama
    assert published_weights(None) == []
    assert len(published_weights("allenai/OLMo-7B-0724-hf")) == 4


@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_single_entries_are_read_from_the_files(tmp_path: Path, shard: str) -> None:
    model = tiny_model("llama", torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    name = "model.layers.1.mlp.down_proj.weight"
    weight = model.get_parameter(name).detach()
    got = read_entries(tmp_path, name, [(3, 5), (15, 23)])
    assert got == [float(weight[3, 5]), float(weight[15, 23])]
    with pytest.raises(ModelError, match="no tensor nothing"):
        read_entries(tmp_path, "nothing", [(0, 0)])
    entries = [{"parameter": name, "row": 3, "col": 5, "weight": None}, {"parameter": name, "row": 99, "col": 5}]
    (checked,) = check_published(entries, facts_for(model), tmp_path)
    assert checked["stored"] == got[0]


def test_the_stages_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_tiny_folder(tmp_path / "model", num_hidden_layers=BLOCKS, dtype=torch.float64)
    model = planted(4, 13, 2)
    model.save_pretrained(folder)
    record = {"model": "tiny", "path": str(folder), "source": "hub", "repo": "a/b", "commit": "c", "checkpoint": None}
    facts = describe_model(record) | {"sha256": MODEL_SHA256}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    (tmp_path / "record.json").write_text(json.dumps(record))
    (tmp_path / "tokens.json").write_text(json.dumps({"calibration": [*TEXTS, [1, 2]]}))
    (tmp_path / "published.csv").write_text(
        "model,layer,row,col,weight,source\na/b,1,4,7,1.0,x\na/b,1,5,7,,x\nc/d,1,1,1,,x\n"
    )
    monkeypatch.setattr("critical_weights.superweights.published.PUBLISHED", tmp_path / "published.csv")
    for placement in ("resident", "streamed"):
        outputs = tmp_path / f"{placement}.json", tmp_path / f"{placement}.csv"
        arguments = ["--record", tmp_path / "record.json", "--facts", tmp_path / "facts.json", "--device", "cpu",
                     "--tokens", tmp_path / "tokens.json", "--texts", 4, "--placement", placement]  # fmt: skip
        assert call_script("spikes", *arguments, "--output", outputs[0], "--profile", outputs[1]) == 0
    found = json.loads((tmp_path / "resident.json").read_text())
    assert [(s["round"], s["row"], s["col"]) for s in found["spikes"]] == [(1, 4, 7), (1, 13, 7), (1, 2, 7)]
    assert (tmp_path / "streamed.csv").read_bytes() == (tmp_path / "resident.csv").read_bytes()
    profile = read_table(tmp_path / "resident.csv", SPIKE_PROFILE)
    assert len(profile) == 2 * BLOCKS
    assert set(profile["texts"]) == {4}
    tensors = facts["tensors"]
    specs = [
        TensorSpec(t["name"], tuple(t["shape"]), t["layer"], t["component"], t["kind"], tuple(t["axes"]), t["analysed"])
        for t in tensors
    ]
    magnitude = {
        s.name: model.get_parameter(s.name).detach().abs().float().numpy() for s in specs if s.analysed
    }  # fmt: skip
    store = write_store(tmp_path / "mag.h5", specs, magnitude, metric="magnitude", dense=False)
    table = tmp_path / "superweights.csv"
    arguments = ["--spikes", tmp_path / "resident.json", "--facts", tmp_path / "facts.json", "--output", table]
    assert call_script("superweights", *arguments, "--stores", store) == 0
    frame = read_table(table, SUPERWEIGHTS)
    assert frame[["row", "col"]].to_numpy().tolist() == [[4, 7], [13, 7], [2, 7], [5, 7]]
    assert frame["published"].tolist() == [True, False, False, True]
    for row in frame.itertuples():
        flat = row.row * 24 + row.col
        ((rank, in_tensor),) = slow_places(magnitude, [(row.parameter, flat)])
        assert row.rank_above < rank if pd.isna(row.rank) else row.rank == rank
        assert row.rank_in_tensor_above == 20 if pd.isna(row.rank_in_tensor) else row.rank_in_tensor == in_tensor


def test_the_record_and_the_profile_follow_the_rounds() -> None:
    detection = found(planted_twice())
    kept = record_of(detection, {"sha256": "ab"}, {"ratio": 5}, "float64", [])
    assert [(s["round"], s["layer"]) for s in kept["spikes"]] == [(1, 1), (2, 3)]
    assert kept["rounds"] == 3
    json.dumps(kept, allow_nan=False)
    profile = profile_table(detection)
    assert profile["round"].tolist() == [1] * BLOCKS + [2] * BLOCKS + [3] * BLOCKS
    by_round: Callable[[int, int], float] = lambda n, layer: float(  # noqa: E731
        profile.query(f"round == {n} and layer == {layer}")["max_output"].iloc[0]
    )
    assert by_round(1, 1) > 5 * by_round(2, 1)
    assert by_round(2, 3) > 3 * by_round(1, 3)
    assert by_round(3, 3) < by_round(2, 3) / 3


def test_where_no_block_was_looked_at_the_report_claims_nothing(tmp_path: Path) -> None:
    """Mixtral's experts are one tensor: both tables are empty, which is not the same as none found."""
    for table in (SUPERWEIGHTS, SPIKE_PROFILE):
        write_table(pd.DataFrame(columns=[column.name for column in table.columns]), tmp_path / table.name, table)
    assert read_superweights(tmp_path) is None
