"""Sets of weights and their controls, against full sorts and plain counts; stratified samples; lines; wrong lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from critical_weights.errors import RankingError, StoreError
from critical_weights.store.read import open_store
from critical_weights.structure.line_sets import lines_of_weight
from critical_weights.validation.conditions import ValidationSettings, plan_conditions
from critical_weights.validation.control_sets import deciles_of, matched_control, random_control
from critical_weights.validation.stratified import STRATA, scores_at, stratified_weights
from critical_weights.validation.weight_sets import WeightSet, bottom_sets, list_sets, lowest, top_sets, union_of
from synthetic_stores import default_specs, facts_of, random_scores, weights_of, write_store

SPECS = default_specs()
FACTS = facts_of(SPECS)
SCORES = random_scores(SPECS, 1)
KS = (1, 4, 17)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of every score."""
    return write_store(tmp_path / "gradsq.h5", SPECS, SCORES)


def every_weight(descending: bool) -> list[tuple[float, int, str, int]]:
    """Return (sort key, tensor order, tensor, flat index) of every analysed weight, sorted."""
    sign = -1 if descending else 1
    rows = [(sign * float(score), i, spec.name, flat) for i, spec in enumerate(SPECS) if spec.name in SCORES
            for flat, score in enumerate(SCORES[spec.name].ravel())]  # fmt: skip
    return sorted(rows)


def group_of(mode: str, name: str) -> object:
    """Return the group in which a tensor's weights compete."""
    layer = {spec.name: spec.layer for spec in SPECS}[name]
    return {"global": 0, "perlayer": name, "perblock": layer}[mode]


@pytest.mark.parametrize("mode", ["global", "perblock", "perlayer"])
@pytest.mark.parametrize("kind", ["top", "bottom"])
def test_top_and_bottom_against_a_full_sort(store: Path, mode: str, kind: str) -> None:
    """For each k and mode the set is that of a full sort, ties by tensor order and index."""
    with open_store(store) as opened:
        sets = {"top": top_sets, "bottom": bottom_sets}[kind](opened, FACTS, mode, KS)
    for k, found in zip(KS, sets, strict=True):
        wanted: dict[object, list[tuple[str, int]]] = {}
        for _, _, name, flat in every_weight(kind == "top"):
            own = wanted.setdefault(group_of(mode, name), [])
            if len(own) < k:
                own.append((name, flat))
        expected = {weight for own in wanted.values() for weight in own}
        assert {(name, int(i)) for name, flat in found.places.items() for i in flat} == expected
        assert (found.metric, found.mode, found.kind, found.k, found.count) == ("gradsq", mode, kind, k, len(expected))


def test_lowest_takes_ties_by_index() -> None:
    """Equal scores come in by index; more than there are gives all."""
    scores = np.array([2, 0, 1, 0, 0, 1], np.float32)
    assert lowest(scores, 2).tolist() == [1, 3]
    assert lowest(scores, 4).tolist() == [1, 3, 4, 2]
    assert sorted(lowest(scores, 99).tolist()) == list(range(6))


def test_bottom_needs_every_score(tmp_path: Path) -> None:
    """Of a store with candidates only the lowest scores are not known: the plan leaves them out and goes on."""
    path = write_store(tmp_path / "gradsq.h5", SPECS, SCORES, dense=False)
    with open_store(path) as opened, pytest.raises(RankingError, match="holds only the highest"):
        bottom_sets(opened, FACTS, "global", [3])


@pytest.mark.parametrize("kind", ["random", "matched"])
def test_controls_have_as_many_others_of_each_tensor(store: Path, kind: str) -> None:
    """As many of each tensor, none selected, none twice; matched: as many of each decile too; seeds differ."""
    weights = {name: np.abs(w.ravel()) for name, w in weights_of(SPECS).items()}
    deciles = {name: deciles_of(w) for name, w in weights.items()}
    numel = {spec.name: spec.numel for spec in SPECS}
    with open_store(store) as opened:
        chosen = top_sets(opened, FACTS, "perlayer", [3])[0]
    drawn = []
    for seed in range(12):
        args = (numel,) if kind == "random" else (deciles.__getitem__,)
        control = {"random": random_control, "matched": matched_control}[kind](chosen, *args, seed)
        assert (control.kind, control.seed, control.count) == (kind, seed, chosen.count)
        for name, flat in control.places.items():
            assert len(flat) == len(np.unique(flat)) == len(chosen.places[name])
            assert not set(flat) & set(chosen.places[name])
            assert (flat >= 0).all()
            assert (flat < numel[name]).all()
        if kind == "matched":
            off = sum(
                np.maximum(0, np.bincount(deciles[n][control.places[n]], minlength=10)
                           - np.bincount(deciles[n][chosen.places[n]], minlength=10)).sum()
                for n in chosen.places
            )  # fmt: skip
            assert control.unmatched >= off
            assert control.unmatched <= 2 * len(chosen.places)  # deciles of some tensors here hold two weights
        drawn.append(str(control.places))
    assert len(set(drawn)) == 12


def test_matched_control_is_exact_where_deciles_are_large() -> None:
    """Of a large tensor every decile has as many in the control as in the selection; random ones do not."""
    rng = np.random.default_rng(0)
    size = np.abs(rng.standard_normal(5000))
    decile = deciles_of(size)
    assert (np.bincount(decile) == 500).all()
    chosen = WeightSet("mag", "global", "top", 50, {"t": np.sort(np.argsort(-size)[:50])})
    matched, other = matched_control(chosen, lambda _: decile, 1), random_control(chosen, {"t": 5000}, 1)
    assert (decile[matched.places["t"]] == 9).all()
    assert matched.unmatched == 0
    assert len(set(decile[other.places["t"]])) > 5


def test_random_control_draws_every_other_weight_equally() -> None:
    """Over many seeds each weight that is not selected is drawn about equally often, selected ones never."""
    chosen = WeightSet("mag", "global", "top", 3, {"t": np.array([0, 4, 9])})
    counts = np.zeros(10)
    for seed in range(2000):
        counts[random_control(chosen, {"t": 10}, seed).places["t"]] += 1
    assert (counts[[0, 4, 9]] == 0).all()
    assert np.abs(counts[[1, 2, 3, 5, 6, 7, 8]] / (2000 * 3 / 7) - 1).max() < 0.12


def test_small_rest_is_taken_whole() -> None:
    """Where more than half of a tensor is selected, the control is all of the rest, and smaller."""
    chosen = WeightSet("mag", "global", "top", 4, {"t": np.array([0, 1, 2, 3])})
    assert random_control(chosen, {"t": 6}, 0).places["t"].tolist() == [4, 5]
    assert matched_control(chosen, lambda _: np.zeros(6, np.int8), 0).places["t"].tolist() == [4, 5]


def test_stratified_sample_covers_the_range(store: Path) -> None:
    """As many weights of high ranks as of low ones, the very first among them; scores are found again."""
    with open_store(store) as opened:
        places = stratified_weights(opened, FACTS, 24, 5)
        scores = np.concatenate(list(scores_at(opened, places).values()))
        again = stratified_weights(opened, FACTS, 24, 5)
        other = stratified_weights(opened, FACTS, 24, 6)
    assert str(places) == str(again) != str(other)
    expected = np.concatenate([SCORES[name].ravel()[flat] for name, flat in places.items()])
    assert (scores == expected).all()
    ranked = sorted((-key for key, *_ in every_weight(True)), reverse=True)
    ranks = np.array([ranked.index(score) for score in scores])
    total = len(ranked)
    assert ranks.min() <= 1
    assert ranks.max() > total / 2
    assert (ranks < total**0.5).sum() >= 4  # half of the range of log rank; ties and small strata take from it
    assert 12 <= len(scores) <= 24 + STRATA


def test_stratified_sample_of_candidates_only(tmp_path: Path) -> None:
    """Without dense scores the sample is of the candidates; scores of others are not known."""
    path = write_store(tmp_path / "gradsq.h5", SPECS, SCORES, dense=False, candidates=6)
    with open_store(path) as opened:
        places = stratified_weights(opened, FACTS, 12, 5)
        assert np.isfinite(np.concatenate(list(scores_at(opened, places).values()))).all()
        low = {SPECS[0].name: np.array([int(SCORES[SPECS[0].name].argmin())])}
        assert np.isnan(scores_at(opened, low)[SPECS[0].name]).all()


def test_stratified_sample_has_zeros_too(tmp_path: Path) -> None:
    """Where most scores are exactly 0, the lowest stratum is theirs."""
    path = write_store(tmp_path / "gradsq.h5", SPECS, random_scores(SPECS, 2, zeros=0.9))
    with open_store(path) as opened:
        scores = np.concatenate(list(scores_at(opened, stratified_weights(opened, FACTS, 24, 5)).values()))
    assert 1 <= (scores == 0).sum() <= 12


def test_lines_of_a_weight() -> None:
    """Row, column and neuron of a weight, whatever the storage order; an expert's stay in the expert."""
    conv = "model.layers.0.mlp.c_fc.weight"  # (6, 8), stored (in, out)
    sets = {found.kind: found for found in lines_of_weight("mag", "global", FACTS, conv, 2 * 8 + 3)}
    assert sets["row"].places[conv].tolist() == [8 * i + 3 for i in range(6)]
    assert sets["col"].places[conv].tolist() == list(range(16, 24))
    assert sets["neuron"].places[conv].tolist() == sets["row"].places[conv].tolist()
    experts = "model.layers.1.mlp.experts.down_proj"  # (3, 6, 4)
    sets = {found.kind: found for found in lines_of_weight("mag", "global", FACTS, experts, 24 + 2 * 4 + 1)}
    assert sets["row"].places[experts].tolist() == list(range(32, 36))
    assert sets["col"].places[experts].tolist() == [24 + 4 * i + 1 for i in range(6)]


def test_lists_from_a_file(tmp_path: Path) -> None:
    """The first k by score, in any order of rows; a list of another model is refused in one line."""
    path = tmp_path / "mine.csv"
    name = SPECS[0].name
    frame = pd.DataFrame(
        {"parameter": name, "indices": ["(0, 1)", "(2, 3)", "(12, 5)"], "sensitivity_score": [1, 9, 3]}
    )
    frame.to_csv(path, index=False)
    first, every = list_sets(path, FACTS, [1, 10, 30])
    assert first.places[name].tolist() == [15]
    assert every.places[name].tolist() == [1, 15, 77]
    for column, value, words in (
        ("parameter", "model.other", r"names 1 of 2 tensors \(1 of 3 rows\) that tiny has not, first model.other"),
        ("indices", "(13, 0)", r"1 of 3 rows of .*mine.csv lie outside their tensor, first .*embed_tokens.weight \(13"),
        ("indices", "(2, 3, 1)", "fewer indices than others of the same tensor"),
        ("sensitivity_score", "-9", r"1 of 3 rows of .* a score below 0, first row 3 .*give its absolute value"),
        ("sensitivity_score", "much", "a score that is no finite number"),
        ("sensitivity_score", "nan", "a score that is no finite number"),
    ):
        wrong = frame.astype(object)
        wrong.loc[1, column] = value
        wrong.to_csv(path, index=False)
        with pytest.raises(RankingError, match=words):
            list_sets(path, FACTS, [5])
    pd.concat([frame, frame]).to_csv(path, index=False)
    with pytest.raises(RankingError, match="a weight that an earlier row names already"):
        list_sets(path, FACTS, [5])
    frame.assign(indices=["(2, 3)", "(2,3)", "(12, 5)"]).to_csv(path, index=False)
    with pytest.raises(RankingError, match="a weight that an earlier row names already"):
        list_sets(path, FACTS, [5])


def test_a_list_may_call_a_tied_tensor_by_either_name(tmp_path: Path) -> None:
    """As lists that are compared may; by both at once it would name a weight twice."""
    name, other = SPECS[0].name, "lm_head.weight"
    tensors = [{**tensor, "tied_to": [other] * (tensor["name"] == name)} for tensor in FACTS["tensors"]]
    facts, path = {**FACTS, "tensors": tensors}, tmp_path / "mine.csv"
    frame = pd.DataFrame({"parameter": other, "indices": ["(0, 1)", "(2, 3)"], "sensitivity_score": [1, 9]})
    frame.to_csv(path, index=False)
    assert list_sets(path, facts, [1])[0].places[name].tolist() == [15]
    frame.assign(parameter=[name, other]).to_csv(path, index=False)
    with pytest.raises(RankingError, match="which are one tied tensor"):
        list_sets(path, facts, [1])


def test_ties_of_a_list_are_by_tensor_and_flat_index_whatever_the_order_of_rows(tmp_path: Path) -> None:
    """As in rankings: the file's order decides nothing."""
    first, second = SPECS[0].name, SPECS[1].name
    names, indices = [second, first, first, first], ["(0,)", "(10, 2)", "(2, 5)", "(2, 3)"]
    frame = pd.DataFrame({"parameter": names, "indices": indices, "sensitivity_score": 1.0})
    for seed in range(6):
        frame.sample(frac=1, random_state=seed).to_csv(tmp_path / "mine.csv", index=False)
        sets = list_sets(tmp_path / "mine.csv", FACTS, [1, 2, 3, 4])
        assert [chosen.places[first].tolist() for chosen in sets[:3]] == [[15], [15, 17], [15, 17, 62]]
        assert sets[3].places[second].tolist() == [0]


def test_stores_of_another_model_are_refused(tmp_path: Path) -> None:
    """A store whose model has another hash is no store of these facts."""
    path = write_store(tmp_path / "gradsq.h5", SPECS, SCORES, model="00" * 32)
    with pytest.raises(StoreError, match="another model_sha256"):
        plan_conditions([path], FACTS, ValidationSettings(ks=(3,), k=3), lambda _: np.zeros(1, np.int8))


def test_union_has_each_weight_once() -> None:
    """Weights of several sets are joined, ascending."""
    joined = union_of([{"a": np.array([5, 1])}, {"b": np.array([2]), "a": np.array([1, 0])}])
    assert {name: flat.tolist() for name, flat in joined.items()} == {"a": [0, 1, 5], "b": [2]}
