"""The whole proof on a tiny model with a planted super weight; and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from critical_weights.errors import ConfigError, ModelError, TextError
from critical_weights.evaluation.place import load_whole
from critical_weights.files import read_json, write_json
from critical_weights.interventions.apply import bits
from critical_weights.metrics import METRICS
from critical_weights.model.facts import describe_model
from critical_weights.model.load import load_model
from critical_weights.model.source import fetch_model
from critical_weights.scoring.family import ScoringSettings, score_family
from critical_weights.tables.interventions import INTERVENTIONS_TABLE, SINGLE_SCORES, SINGLE_WEIGHTS, VERDICT
from critical_weights.tables.schema import read_table
from critical_weights.validation.conditions import ValidationSettings, parse_change
from critical_weights.validation.validation import check_texts, validate
from script_call import call_script
from tiny_models import tiny_model

CPU = torch.device("cpu")
PLANTED, PLACE = "model.layers.0.mlp.down_proj.weight", (5, 11)
SETTINGS = ValidationSettings(ks=(1, 3, 10), k=3, seeds=3, texts=12, singles=60, single_texts=12, draws=300)


def own_texts(model: torch.nn.Module, starts: range) -> list[list[int]]:
    """Return texts drawn from the model itself, by first token: it is good at them, and can get worse."""
    generator = torch.Generator().manual_seed(starts.start)
    texts = []
    for start in starts:
        ids = [start]
        for _ in range(11):
            with torch.no_grad():
                likely = model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)
            ids.append(int(torch.multinomial(likely, 1, generator=generator)))
        texts.append(ids)
    return texts


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return a planted model with its facts, texts and score stores, as files and as values."""
    folder = tmp_path_factory.mktemp("planted")
    model = tiny_model("llama", torch.float32, seed=3)
    with torch.no_grad():
        # A large constant in one channel of the residual stream, which the head itself does not see (as in Yu 2024).
        model.get_parameter(PLANTED)[PLACE] = 30.0
        model.get_parameter("model.layers.0.mlp.up_proj.weight")[PLACE[1]] *= 3
        model.get_parameter("model.norm.weight")[PLACE[0]] = 0.01
        model.get_parameter("lm_head.weight").mul_(4.0)
    model.save_pretrained(folder / "model")
    record = fetch_model("tiny", "local", path=str(folder / "model"))
    facts = describe_model(record)
    tokens = {"calibration": own_texts(model, range(0, 20)), "evaluation": own_texts(model, range(20, 40))}
    stores = []
    for family, metrics in (("static", ["mag"]), ("forward", ["actmag", "wanda"]),
                            ("gradient", ["gradxw", "gradsq", "taylorabs", "obd"])):  # fmt: skip
        own = [] if family == "static" else tokens["calibration"]
        score_family(family, model, facts, own, ScoringSettings(candidates=50, dense=frozenset(METRICS)), folder)
        stores += [folder / f"{metric}.h5" for metric in metrics]
    held_out = {"evaluation": tokens["evaluation"]}
    for name, value in (("record", record), ("facts", facts), ("tokens", tokens), ("evaluation_tokens", held_out)):
        write_json(folder / f"{name}.json", value)
    return {"folder": folder, "record": record, "facts": facts, "tokens": tokens, "stores": stores}


@pytest.fixture(scope="module")
def results(study: dict[str, Any]) -> Path:
    """Return the folder of the tables that the two scripts write."""
    folder = study["folder"]
    files = [f"--{word}={folder / word}.json" for word in ("record", "facts", "tokens")]
    files.append(f"--evaluation-tokens={folder}/evaluation_tokens.json")
    changes = "mean,noise=1,round_bits=3,bit_flip=14,bit_flip_exponent,bit_flip_random,sign_flip"
    options = ["--ks=1,3,10", "--k=3", "--seeds=3", "--texts=12", "--singles=60", "--single-texts=12", "--draws=300"]
    stores = ["--stores", *study["stores"]]
    out = folder / "interventions"
    assert call_script("validate", *files, *stores, *options, f"--others={changes}", f"--output-dir={out}") == 0
    assert call_script("verdict", f"--folder={out}", "--draws=300", f"--output={out / 'verdict.csv'}") == 0
    return out


def test_the_planted_weight_is_the_largest_single_damage(study: dict[str, Any], results: Path) -> None:
    """Of all single weights that were tried, removing the planted one hurts most."""
    weights = read_table(results / "single_weights.csv", SINGLE_WEIGHTS)
    worst = weights.loc[weights["dnll"].idxmax()]
    assert (worst["parameter"], worst["indices"]) == (PLANTED, str(PLACE))
    assert worst["weight"] == 30.0 == -worst["change"]
    assert worst["dnll"] > 2 * weights["dnll"].nlargest(2).iloc[1]
    assert len(weights) > 60


def test_metrics_that_rank_it_first_come_first(results: Path) -> None:
    """In the verdict the metrics whose highest score is the planted weight stand before all others."""
    weights = read_table(results / "single_weights.csv", SINGLE_WEIGHTS)
    scores = read_table(results / "single_scores.csv", SINGLE_SCORES)
    number = weights.loc[weights["dnll"].idxmax(), "number"]
    best = scores.loc[scores.groupby("metric")["score"].idxmax()]
    right = set(best.loc[best["number"] == number, "metric"])
    verdict = read_table(results / "verdict.csv", VERDICT)
    assert 0 < len(right) < len(verdict)
    assert set(verdict["metric"].head(len(right))) == right
    assert (verdict["verdict"].head(len(right)) == "above controls").all()
    assert verdict["trust"].tolist() == list(range(1, len(verdict) + 1))


def test_conditions_are_complete(study: dict[str, Any], results: Path) -> None:
    """Every metric has its ladder with controls by seed, factors, further interventions and lines; counts add up."""
    table = read_table(results / "interventions.csv", INTERVENTIONS_TABLE)
    assert (table["changed"] + table["unchanged"] == table["asked"]).all()
    assert table["part"].iloc[0] == "unchanged"
    ladder = table[(table["part"] == "ladder") & (table["metric"] == "mag")]
    counts = ladder.groupby("kind").size().to_dict()
    assert counts == {"top": 3, "bottom": 1, "random": 9, "matched": 9}
    for k, own in ladder.groupby("k"):
        assert set(own["asked"]) == {k}
    factor = table[(table["part"] == "strength") & (table["metric"] == "mag") & (table["kind"] == "top")]
    assert factor["strength"].tolist() == [1, 0.9, 0.5, 0, -1]
    assert factor["dnll"].iloc[0] == 0.0
    assert factor["unchanged"].iloc[0] == 3
    zero = ladder[(ladder["kind"] == "top") & (ladder["k"] == 3)]["dnll"].iloc[0]
    assert factor["dnll"].iloc[3] == zero
    other = table[(table["part"] == "other") & (table["metric"] == "mag")]
    assert len(other) == 7
    rounded = other["intervention"] == "round_bits"  # the largest weight is a point of the grid: it stays
    assert (other.loc[~rounded, "changed"] == 3).all()
    assert (other.loc[rounded, "unchanged"] >= 1).all()
    assert {"row", "col", "neuron"} <= set(table.loc[table["part"] == "line", "kind"])
    assert (table["low"].fillna(0) <= table["dnll"].fillna(0)).all()


def plain_figures(
    study: dict[str, Any], places: dict[str, list[int]], changes: dict[str, torch.Tensor]
) -> dict[str, float]:
    """Return the slow twin in float64: what a change does and what Taylor predicts, text by text, position by position.

    Args:
        study: the planted model.
        places: flat indices of the changed weights by tensor.
        changes: what is added to them.

    """
    model = load_model(study["record"], torch.float64, CPU)
    texts = study["tokens"]["evaluation"][:12]
    tokens = sum(len(ids) - 1 for ids in texts)

    def predictions(ids: list[int]) -> torch.Tensor:
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].log_softmax(-1)

    def loss(ids: list[int], likely: torch.Tensor) -> torch.Tensor:
        return -likely.gather(1, torch.tensor(ids[1:])[:, None]).sum()

    tensors = [model.get_parameter(name) for name in places]
    before, first, second = [], 0.0, 0.0
    for ids in texts:
        likely = predictions(ids)
        gradients = torch.autograd.grad(loss(ids, likely), tensors)
        before.append(likely.detach())
        for (name, flat), gradient in zip(places.items(), gradients, strict=True):
            own = gradient.reshape(-1)[flat]
            first += float((own * changes[name]).sum()) / tokens
            second += float((own**2 * changes[name] ** 2).sum()) / 2 / tokens
    with torch.no_grad():
        for (name, flat), tensor in zip(places.items(), tensors, strict=True):
            tensor.view(-1)[flat] += changes[name]
        after = [predictions(ids) for ids in texts]
    losses = [sum(float(loss(ids, own)) for ids, own in zip(texts, side, strict=True)) for side in (before, after)]
    pairs = list(zip(before, after, strict=True))
    return {
        "dnll": (losses[1] - losses[0]) / tokens,
        "first_order": first,
        "second_order": first + second,
        "kl": sum(float((b.exp() * (b - a)).sum()) for b, a in pairs) / tokens,
        "perplexity": float(np.exp(losses[1] / tokens)),
        "agreement": sum(int((b.argmax(1) == a.argmax(1)).sum()) for b, a in pairs) / tokens,
        "n_texts": len(texts),
        "n_tokens": tokens,
    }


@pytest.mark.parametrize("strength", [0.9, 0.5, -1.0])
def test_figures_of_a_condition_follow_their_definitions(study: dict[str, Any], results: Path, strength: float) -> None:
    """The three largest weights times a factor: damage, divergence and predictions as plain runs have them."""
    weights = load_model(study["record"], torch.float64, CPU).named_parameters()
    every = [(float(w.abs()), n, i) for n, p in weights if p.dim() > 1 for i, w in enumerate(p.detach().reshape(-1))]
    places: dict[str, list[int]] = {}
    for _, name, flat in sorted(every, reverse=True)[:3]:
        places.setdefault(name, []).append(flat)
    model = load_model(study["record"], torch.float64, CPU)
    values = {name: model.get_parameter(name).detach().reshape(-1)[flat] for name, flat in places.items()}
    expected = plain_figures(study, places, {name: (strength - 1) * old for name, old in values.items()})
    table = read_table(results / "interventions.csv", INTERVENTIONS_TABLE)
    own = table[(table["part"] == "strength") & (table["metric"] == "mag") & (table["kind"] == "top")]
    row = own.set_index("strength").loc[strength]
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=2e-3, abs=1e-7), name


def test_figures_of_single_weights_follow_their_definitions(study: dict[str, Any], results: Path) -> None:
    """Of every tenth weight, and the planted one: its change, what it does, what is predicted, its scores."""
    weights = read_table(results / "single_weights.csv", SINGLE_WEIGHTS)
    scores = read_table(results / "single_scores.csv", SINGLE_SCORES)
    model = load_model(study["record"], torch.float64, CPU)
    assert (scores.loc[scores["metric"] == "mag", "score"].to_numpy() == weights["weight"].abs()).all()
    for _, row in pd.concat([weights.iloc[::10], weights.nlargest(1, "dnll")]).iterrows():
        tensor = model.get_parameter(row["parameter"])
        place = np.ravel_multi_index([int(i) for i in row["indices"].strip("()").split(",")], tensor.shape)
        old = tensor.detach().reshape(-1)[[place]]
        assert row["weight"] == pytest.approx(float(old), rel=1e-6)
        expected = plain_figures(study, {row["parameter"]: [int(place)]}, {row["parameter"]: -old})
        for name in ("dnll", "first_order", "second_order", "kl", "n_texts", "n_tokens"):
            assert row[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-7), name


def test_every_bit_is_back_and_two_runs_are_equal(study: dict[str, Any]) -> None:
    """The model is bit by bit what it was; the same settings give the same tables."""
    model = load_model(study["record"], torch.float32, CPU)
    before = {name: bits(p.detach()).clone() for name, p in model.named_parameters()}
    small = ValidationSettings(ks=(2,), k=2, seeds=1, texts=4, singles=7, single_texts=2, draws=10)
    runs = [
        validate(model, study["facts"], study["tokens"], study["stores"][:2], small, device=CPU, spare=spare)
        for spare in (1 << 30, 1 << 30, 0)
    ]
    assert all(torch.equal(bits(p.detach()), before[name]) for name, p in model.named_parameters())
    for table in ("interventions", "texts", "single_weights", "single_scores"):
        pd.testing.assert_frame_equal(getattr(runs[0], table), getattr(runs[1], table))
    kept, full = (run.interventions["dnll"].to_numpy(float) for run in (runs[0], runs[2]))
    assert np.allclose(kept, full, atol=1e-5, equal_nan=True)


def test_a_change_that_the_format_does_not_allow_is_told_before_anything_is_measured(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("something was measured")

    monkeypatch.setattr("critical_weights.validation.validation.Evaluation", measured)
    model = load_model(study["record"], torch.float32, CPU)
    before = {name: bits(p.detach()).clone() for name, p in model.named_parameters()}
    settings = ValidationSettings(ks=(2,), k=2, seeds=1, texts=4, others=("bit_flip=31", "bit_flip=32"))
    with pytest.raises(ConfigError, match="float32 has no bit 32; expected 0 to 31"):
        validate(model, study["facts"], study["tokens"], study["stores"][:1], settings, device=CPU, spare=0)
    assert all(torch.equal(bits(p.detach()), before[name]) for name, p in model.named_parameters())


def test_no_single_weights_and_no_lines(study: dict[str, Any], tmp_path: Path) -> None:
    """What is set to none is left out; the verdict then has no correlation."""
    files = [f"--{word}={study['folder'] / word}.json" for word in ("record", "facts", "tokens")]
    files.append(f"--evaluation-tokens={study['folder']}/evaluation_tokens.json")
    none = ["--singles=0", "--top=0", "--lines=0", "--strengths=", "--others=", "--ks=2", "--k=2", "--draws=9"]
    assert call_script("validate", *files, "--stores", study["stores"][0], *none, f"--output-dir={tmp_path}") == 0
    assert call_script("verdict", f"--folder={tmp_path}", "--draws=9", f"--output={tmp_path / 'verdict.csv'}") == 0
    verdict = read_table(tmp_path / "verdict.csv", VERDICT)
    assert verdict["n_single"].tolist() == [0]
    assert verdict["spearman"].isna().all()
    table = read_table(tmp_path / "interventions.csv", INTERVENTIONS_TABLE)
    assert set(table["part"]) == {"unchanged", "ladder"}


def test_overlapping_texts_are_refused() -> None:
    """Evaluation texts that are calibration texts are counted and refused."""
    with pytest.raises(TextError, match="2 of 3 evaluation texts are calibration texts too"):
        check_texts([[1, 2], [3, 4, 5]], [[3, 4, 5], [1, 2, 3], [3, 4, 5]])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"strengths": (float("nan"),)}, "no finite number"),
        ({"intervention": "zeroed"}, "Did you mean zero"),
        ({"others": ("scale=much",)}, "no number"),
        ({"k": 5}, "k is none of ks"),
        ({"modes": ("local",)}, "unknown mode"),
        ({"seeds": 0}, "seeds"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], words: str) -> None:
    """A setting that makes no sense is one line before anything is loaded."""
    with pytest.raises(ConfigError, match=words):
        ValidationSettings(**changes).check()


def test_changes_are_read_with_their_strength() -> None:
    """A name alone has its default strength; one without any has none."""
    assert parse_change("zero") == ("zero", None)
    assert parse_change("scale") == ("scale", 0.5)
    assert parse_change("scale=-1") == ("scale", -1.0)


def test_a_model_that_does_not_fit_is_refused(study: dict[str, Any]) -> None:
    """Interventions need the model in memory: one line with both numbers."""
    with pytest.raises(ModelError, match=r"whole model in memory; got .* GB usable; expected"):
        load_whole(study["record"], study["facts"], torch.float32, CPU, free=1 << 20)


def test_two_scripts_refuse_in_one_line(study: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A NaN strength and overlapping texts end the script with status 1 and one line."""
    folder = study["folder"]
    tokens = read_json(folder / "tokens.json")
    write_json(tmp_path / "same.json", {"evaluation": tokens["calibration"]})
    files = [f"--{name}={folder}/{name}.json" for name in ("record", "facts", "tokens")]
    files += ["--stores", study["stores"][0], f"--output-dir={tmp_path}"]
    held_out = f"--evaluation-tokens={folder}/evaluation_tokens.json"
    assert call_script("validate", *files, held_out, "--strengths=nan") == 1
    assert call_script("validate", *files, f"--evaluation-tokens={tmp_path}/same.json") == 1
    assert "20 of 20 evaluation texts are calibration texts too" in capsys.readouterr().err
