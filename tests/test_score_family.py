"""The score stage from model folder to stores: every number in a store against the statistics it comes from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from critical_weights.errors import ConfigError, ModelError, TextError
from critical_weights.evaluation.damage import Evaluation
from critical_weights.files import sha256_file, sha256_json
from critical_weights.metrics import FAMILIES, METRICS, Metric, family_metrics
from critical_weights.model.facts import describe_model
from critical_weights.model.load import load_model
from critical_weights.model.source import fetch_model
from critical_weights.scoring import settings as settings_module
from critical_weights.scoring.engine import Placed, start_run
from critical_weights.scoring.family import ScoringSettings, score_family
from critical_weights.scoring.seam import TensorStatistics
from critical_weights.scoring.settings import check_settings
from critical_weights.scoring.spikes import detect
from critical_weights.store.read import ScoreStore, open_store
from critical_weights.superweights.rule import SpikeRule
from critical_weights.texts.calibration import calibrate
from tiny_models import SENTENCES, save_tiny_folder

SETTINGS = ScoringSettings(candidates=40, dense=frozenset(METRICS), probes=3, seed=9)
SMALL = {"hidden_size": 8, "num_attention_heads": 4, "num_hidden_layers": 2}
STUDIES = ("llama", "gpt2")


@dataclass(frozen=True)
class Study:
    """A model folder that has gone through the stages before scoring."""

    model: PreTrainedModel
    facts: dict[str, Any]
    texts: list[list[int]]


def make_study(folder: Path, name: str, *, dtype: torch.dtype = torch.float32, include_1d: bool = False) -> Study:
    sizes = SMALL | ({"n_inner": 12} if name == "gpt2" else {"intermediate_size": 12})
    record = fetch_model("tiny", "local", path=str(save_tiny_folder(folder / name, name, dtype=dtype, **sizes)))
    (folder / "texts.txt").write_text("\n".join(SENTENCES[:4]))
    tokens = calibrate(record, phase="p2", texts=str(folder / "texts.txt"), max_samples=3, max_length=9, seed=1)
    facts = describe_model(record, include_1d=include_1d)
    return Study(load_model(record, dtype, torch.device("cpu")), facts, tokens["calibration"])


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    return {name: make_study(tmp_path_factory.mktemp("model"), name) for name in STUDIES}


def _score(
    study: Study, family: str, folder: Path, settings: ScoringSettings = SETTINGS, **other: Any
) -> dict[str, Any]:
    given = {"model": study.model, "facts": study.facts, "texts": study.texts} | other
    if family == "static":
        given |= {"texts": []}
    return score_family(family, settings=settings, folder=folder, **given)


@pytest.fixture(scope="module")
def scored(studies: dict[str, Study], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All four families of each study, every score kept."""
    folders = {name: tmp_path_factory.mktemp(name) / "scores" for name in STUDIES}
    for name, folder in folders.items():
        for family in FAMILIES:
            _score(studies[name], family, folder)
    return folders


@pytest.fixture(scope="module")
def statistics(studies: dict[str, Study]) -> Mapping[tuple[str, str], dict[str, TensorStatistics]]:
    @cache
    def gather(name: str, family: str) -> dict[str, TensorStatistics]:
        study = studies[name]
        analysed = {entry["name"] for entry in study.facts["tensors"] if entry["analysed"]}
        numbers = {"seed": SETTINGS.seed, "probes": SETTINGS.probes}
        run = start_run(family, study.model, study.texts, analysed, Placed(), **numbers)
        return {item.name: item for item in run}

    return {(name, family): gather(name, family) for name in STUDIES for family in FAMILIES}


EVERY = [pytest.param(name, metric, id=f"{name}-{metric.path}") for name in STUDIES for metric in METRICS.values()]


def test_every_family_writes_the_stores_of_its_metrics_and_nothing_else(scored: dict[str, Path]) -> None:
    for folder in scored.values():
        assert sorted(p.name for p in folder.iterdir()) == sorted(f"{m.path}.h5" for m in METRICS.values())


@pytest.mark.parametrize("name, metric", EVERY)
def test_root_attributes(name: str, metric: Metric, studies: dict[str, Study], scored: dict[str, Path]) -> None:
    study, static = studies[name], metric.family == "static"
    n_texts, n_predicted = len(study.texts), sum(len(ids) - 1 for ids in study.texts)
    with open_store(scored[name] / f"{metric.path}.h5", {"model_sha256": study.facts["sha256"]}) as store:
        found = dict(store.attributes)
    laws, versions = found.pop("checks")["laws"], found.pop("versions")
    loss = found.pop("corpus_loss")
    assert found == {
        "schema_version": "1", "complete": True, "metric": metric.name, "units": metric.units,
        "normalisation": metric.normalisation, "model": "tiny", "model_revision": "",
        "model_sha256": study.facts["sha256"], "calibration_sha256": None if static else sha256_json(study.texts),
        "n_texts": 0 if static else n_texts, "n_tokens": 0 if static else n_predicted,
        "seed": 9, "model_dtype": "float32", "accumulator_dtype": "float32", "skipped": {},
    }  # fmt: skip
    assert set(versions) == {"torch", "transformers", "h5py"}
    assert "+" not in "".join(versions.values())
    statuses = {"llama": {"passed"}, "gpt2": {"not applicable"}}[name] if metric.family == "gradient" else set()
    assert {law["status"] for law in laws} == statuses
    assert loss is None if static else loss == pytest.approx(_corpus_loss(study), rel=1e-6)


def _corpus_loss(study: Study) -> float:
    total = 0.0
    for text in study.texts:
        ids = torch.tensor([text])
        total += study.model(input_ids=ids, labels=ids).loss.item() * (len(text) - 1)
    return total / sum(len(text) - 1 for text in study.texts)


@pytest.mark.parametrize("name, metric", EVERY)
def test_every_number_follows_from_the_statistics(
    name: str, metric: Metric, studies: dict[str, Study], scored: dict[str, Path], statistics: Mapping
) -> None:
    gathered = statistics[name, metric.family]
    with open_store(scored[name] / f"{metric.path}.h5") as store:
        assert store.names == [t["name"] for t in studies[name].facts["tensors"] if t["analysed"]]
        for tensor in studies[name].facts["tensors"]:
            if tensor["analysed"]:
                _check_tensor(store, tensor, metric, gathered[tensor["name"]])


def _check_tensor(store: ScoreStore, tensor: dict[str, Any], metric: Metric, item: TensorStatistics) -> None:
    name = tensor["name"]
    wanted = metric.score(item.weight, item.statistics).expand(item.weight.shape).float().numpy()
    scores = store.dense(name)
    np.testing.assert_array_equal(scores, wanted, strict=True)
    _check_attributes(store.tensor_attributes(name), tensor, scores)
    counts = np.histogram(scores[scores > 0].astype(np.float64), store.edges)[0]
    np.testing.assert_array_equal(store.histogram(name), counts)
    _check_candidates(store.candidates(name), scores, metric, item)
    _check_lines(store.lines(name), scores, tensor["axes"], metric, item)


def _check_attributes(found: dict[str, Any], tensor: dict[str, Any], scores: np.ndarray) -> None:
    wide = scores.astype(np.float64)
    for key in ("layer", "component", "numel", "position"):
        assert found[key] == tensor[key]
    for key in ("shape", "axes", "tied_to"):
        assert found[key] == tuple(tensor[key])
    assert (found["zeros"], found["nonfinite"]) == ((scores == 0).sum(), 0)
    assert (found["min"], found["max"]) == (scores.min(), scores.max())
    assert found["sum"] == pytest.approx(wide.sum(), rel=1e-12)
    assert found["sum_sq"] == pytest.approx(np.square(wide).sum(), rel=1e-12)


def _check_candidates(found: dict[str, np.ndarray], scores: np.ndarray, metric: Metric, item: TensorStatistics) -> None:
    flat = scores.reshape(-1)
    order = np.array(sorted(range(flat.size), key=lambda i: (-flat[i], i))[: SETTINGS.candidates])
    beside = {"top_weight": item.weight}
    if metric.family == "gradient":
        beside["top_gradient"] = item.statistics["grad"]
    if metric.family == "curvature":
        beside |= {"top_signed": item.statistics["hessian_diag"], "top_stderr": item.statistics["hessian_stderr"]}
    assert set(found) == {"top_score", "top_index", *beside}
    np.testing.assert_array_equal(found["top_index"], order)
    np.testing.assert_array_equal(found["top_score"], flat[order], strict=True)
    for key, values in beside.items():
        np.testing.assert_array_equal(found[key], values.float().numpy().reshape(-1)[order], strict=True)


def _check_lines(
    found: dict[str, np.ndarray], scores: np.ndarray, axes: list[str], metric: Metric, item: TensorStatistics
) -> None:
    over = {"row": axes.index("col"), "col": axes.index("row")}
    wanted = {}
    for line, axis in over.items():
        wanted |= {f"{line}_sum": scores.sum(axis, dtype=np.float64), f"{line}_max": scores.max(axis)}
        if metric.family == "gradient":
            wanted[f"{line}_gw"] = (item.weight * item.statistics["grad"]).sum(axis, dtype=torch.float64).numpy()
    assert set(found) == set(wanted)
    for key, values in wanted.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-6, err_msg=key)


def test_negative_curvature_is_clipped_and_counted(scored: dict[str, Path]) -> None:
    with open_store(scored["llama"] / "obdhutch.h5") as clipped, open_store(scored["llama"] / "hutch.h5") as signed:
        for name in clipped.names:
            count = clipped.tensor_attributes(name)["clipped"]
            assert 0 < count < clipped.tensor_attributes(name)["numel"]
            assert (clipped.dense(name) == 0).sum() >= count
            assert (signed.dense(name) >= 0).all()
            kept = signed.candidates(name)
            assert (kept["top_signed"] < 0).any(), "a large negative curvature leads by its size"
            np.testing.assert_array_equal(np.abs(kept["top_signed"]), kept["top_score"])
        assert "clipped" not in signed.tensor_attributes(name)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_runs_are_bitwise_equal(family: str, studies: dict[str, Study], tmp_path: Path) -> None:
    for run in ("a", "b"):
        _score(studies["llama"], family, tmp_path / run)
    for metric in family_metrics(family):
        assert sha256_file(tmp_path / "a" / f"{metric.path}.h5") == sha256_file(tmp_path / "b" / f"{metric.path}.h5")


def test_candidates_reach_at_most_the_whole_tensor_and_do_not_change_with_their_number(
    studies: dict[str, Study], scored: dict[str, Path], tmp_path: Path
) -> None:
    _score(studies["llama"], "gradient", tmp_path, ScoringSettings(candidates=10**6))
    with open_store(tmp_path / "gradsq.h5") as store, open_store(scored["llama"] / "gradsq.h5") as fewer:
        for name in store.names:
            every = store.candidates(name)
            assert len(every["top_index"]) == store.tensor_attributes(name)["numel"]
            np.testing.assert_array_equal(every["top_index"][:40], fewer.candidates(name)["top_index"])


def test_the_figures_of_a_run(studies: dict[str, Study], tmp_path: Path) -> None:
    study = studies["gpt2"]
    figures = _score(study, "forward", tmp_path)
    assert {k: figures[k] for k in ("family", "weights", "tensors", "blocks", "texts")} == {
        "family": "forward", "weights": study.facts["analysed"]["n_weights"], "blocks": 2, "texts": 3,
        "tensors": study.facts["analysed"]["n_tensors"],
    }  # fmt: skip
    assert set(figures["stages"]) == {"statistics", "scores"}
    assert all(seconds >= 0 for seconds in figures["stages"].values())


def test_1d_tensors_are_scored_on_request(tmp_path: Path) -> None:
    study = make_study(tmp_path, "llama", include_1d=True)
    _score(study, "gradient", tmp_path / "scores")
    with open_store(tmp_path / "scores" / "gradsq.h5") as store:
        assert store.names == [t["name"] for t in study.facts["tensors"]]
        assert store.lines("model.norm.weight") == {}
        assert store.dense("model.norm.weight").shape == (8,)
        assert {law["status"] for law in store.attributes["checks"]["laws"]} == {"passed"}


def test_bfloat16_is_summed_in_float32(tmp_path: Path) -> None:
    study = make_study(tmp_path, "llama", dtype=torch.bfloat16)
    _score(study, "gradient", tmp_path / "scores")
    with open_store(tmp_path / "scores" / "gradsq.h5") as store:
        assert store.attributes["model_dtype"] == "bfloat16"
        assert store.attributes["accumulator_dtype"] == "float32"
        scores = np.concatenate([store.dense(name).ravel() for name in store.names])
        rounded = torch.from_numpy(scores).bfloat16().float().numpy()
        assert (scores != rounded).mean() > 0.5, "sums of squares rounded to bfloat16 would tie at the top"


def test_tensors_without_a_statistic_are_skipped_with_a_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = make_study(tmp_path, "gpt2", include_1d=True)
    with caplog.at_level("INFO", "critical_weights"):
        _score(study, "forward", tmp_path / "scores")
    vectors = {t["name"] for t in study.facts["tensors"] if len(t["shape"]) == 1}
    for metric in family_metrics("forward"):
        with open_store(tmp_path / "scores" / f"{metric.path}.h5") as store:
            reasons = store.attributes["skipped"]
            assert set(reasons) == vectors
            assert not set(store.names) & vectors
            assert len(store.names) + len(reasons) == study.facts["analysed"]["n_tensors"]
    assert all(reasons.values())
    logged = [f"no forward metrics for {name}: {reason}" for name, reason in reasons.items()]
    assert sorted(m for m in caplog.messages if m.startswith("no forward")) == sorted(logged)


# Mistakes: one line, and no store


def _fails(words: str, study: Study, folder: Path, family: str = "gradient", **other: Any) -> None:
    with pytest.raises((ModelError, ConfigError), match=words) as caught:
        _score(study, family, folder, **other)
    assert "\n" not in str(caught.value)
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(
    family: str, value: float, studies: dict[str, Study], tmp_path: Path
) -> None:
    """Every gradient is then NaN: without a look at the weights, the first tensor would be blamed for the last."""
    model = copy.deepcopy(studies["llama"].model)
    with torch.no_grad():
        model.lm_head.weight[3, 2] = value
    _fails(
        "1 of 2400 weights of lm_head.weight are NaN or infinite", studies["llama"], tmp_path / "s", family, model=model
    )


def test_scores_that_overflow_are_named_and_leave_no_store(studies: dict[str, Study], tmp_path: Path) -> None:
    model = copy.deepcopy(studies["llama"].model)
    with torch.no_grad():
        model.lm_head.weight.mul_(1e38)
    words = r"of \d+ grad_x_weight scores of model.embed_tokens.weight are NaN or infinite.*wider dtype"
    _fails(words, studies["llama"], tmp_path / "s", model=model)


def test_an_earlier_store_survives_a_failed_run(studies: dict[str, Study], tmp_path: Path) -> None:
    _score(studies["llama"], "static", tmp_path)
    before = sha256_file(tmp_path / "mag.h5")
    model = copy.deepcopy(studies["llama"].model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(ModelError):
        _score(studies["llama"], "static", tmp_path, model=model)
    assert [p.name for p in tmp_path.iterdir()] == ["mag.h5"]
    assert sha256_file(tmp_path / "mag.h5") == before


def test_the_facts_of_another_model_are_refused(studies: dict[str, Study], tmp_path: Path) -> None:
    llama, gpt2 = studies["llama"], studies["gpt2"]
    _fails("the loaded model differs from its model.json in 49 tensors, first", llama, tmp_path / "s", facts=gpt2.facts)
    facts = copy.deepcopy(llama.facts)
    facts["tensors"][0]["shape"] = [299, 8]
    words = r"in 1 tensors, first model.embed_tokens.weight; got \[300, 8\]; expected \[299, 8\]\. Delete model.json"
    _fails(words, llama, tmp_path / "s", "static", facts=facts)


@pytest.mark.parametrize(
    "family, settings, words",
    [
        ("gradient", {"candidates": 0}, "scoring.candidates is too small; got 0; expected at least 1"),
        ("curvature", {"probes": 1}, "scoring.probes is too small; got 1; expected at least 2"),
    ],
)
def test_wrong_settings_are_one_line(
    family: str, settings: dict[str, Any], words: str, studies: dict[str, Study], tmp_path: Path
) -> None:
    _fails(words, studies["llama"], tmp_path / "s", family, settings=ScoringSettings(**settings))


def test_the_least_counts_are_allowed() -> None:
    check_settings("curvature", ScoringSettings(candidates=1, probes=2))
    check_settings("gradient", ScoringSettings(candidates=1, probes=0))


def test_train_mode_is_a_mistake_in_the_code(studies: dict[str, Study], tmp_path: Path) -> None:
    model = copy.deepcopy(studies["llama"].model).train()
    with pytest.raises(ValueError, match="dropout would make scores random"):
        _score(studies["llama"], "gradient", tmp_path, model=model)
    assert list(tmp_path.iterdir()) == []


# Dense scores


@pytest.mark.parametrize(
    "setting, kept",
    [
        ("true", set(METRICS)),
        ("false", set()),
        ("gradsq", {"grad_squared"}),
        ("grad_squared, obd,mag", {"grad_squared", "obd", "magnitude"}),
        ("auto", set(METRICS)),
    ],
)
def test_dense_scores_are_chosen_as_set(
    setting: str, kept: set[str], studies: dict[str, Study], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "critical_weights"):
        assert settings_module.choose_dense(setting, studies["llama"].facts, tmp_path) == kept
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("dense scores: ")


@pytest.mark.parametrize(
    "setting, words",
    [
        ("gradsq,gradsquared", "unknown metric in scoring.dense 'gradsquared'. Did you mean grad"),
        ("no", "unknown metric in scoring.dense 'no'"),
    ],
)
def test_an_unknown_metric_among_the_dense_is_one_line(
    setting: str, words: str, studies: dict[str, Study], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        settings_module.choose_dense(setting, studies["llama"].facts, tmp_path)


def test_only_the_chosen_stores_are_dense(studies: dict[str, Study], tmp_path: Path) -> None:
    _score(studies["llama"], "forward", tmp_path, ScoringSettings(dense=frozenset({"wanda", "grad_squared"})))
    for path, dense in (("wanda", True), ("actmag", False)):
        with open_store(tmp_path / f"{path}.h5") as store:
            assert {store.has_dense(name) for name in store.names} == {dense}


def test_auto_turns_dense_scores_off_when_they_are_large_or_the_disk_is_full(
    studies: dict[str, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    facts = studies["llama"].facts
    needed = facts["analysed"]["n_weights"] * 4 * len(METRICS)
    limits = [
        (needed + 1, 10**12, True),
        (needed, 10**12, False),
        (10**12, 4 * needed + 4, True),
        (10**12, 4 * needed, False),
    ]
    for limit, free, on in limits:
        monkeypatch.setattr(settings_module, "DENSE_BYTES", limit)
        monkeypatch.setattr(settings_module.shutil, "disk_usage", lambda _, free=free: type("U", (), {"free": free})())
        caplog.clear()
        with caplog.at_level("INFO", "critical_weights"):
            chosen = settings_module.choose_dense("auto", facts, tmp_path / "new")
        assert chosen == (set(METRICS) if on else set())
        assert caplog.messages[0].startswith(f"dense scores: {'on' if on else 'off'} (all 9 metrics would take 0.00 GB")


def test_texts_of_another_tokenizer_are_refused(studies: dict[str, Study], tmp_path: Path) -> None:
    study = next(iter(studies.values()))
    beyond = study.facts["vocab_size"]
    with pytest.raises(TextError, match=f"tokens that the model does not have; got {beyond}"):
        _score(study, "gradient", tmp_path, texts=[*study.texts, [1, beyond]])
    with pytest.raises(TextError, match="tokens that the model does not have"):
        detect(study.model, [[1, beyond]], study.facts, SpikeRule(5, 3), 1)
    assert not list(tmp_path.iterdir())


def test_spikes_are_not_looked_for_by_the_facts_of_another_model(studies: dict[str, Study]) -> None:
    first, other = list(studies.values())[:2]
    with pytest.raises(ModelError, match=r"the loaded model differs from its model\.json"):
        detect(first.model, first.texts, other.facts, SpikeRule(5, 3), 1)


def test_a_loss_that_is_not_finite_leaves_no_store(studies: dict[str, Study], tmp_path: Path) -> None:
    """Overflow behind the last block, where no activation that a metric reads is infinite."""
    study = studies["llama"]
    norm = study.model.model.norm.weight
    before = norm.detach().clone()
    with torch.no_grad():
        norm[0] = float("1e38")
        study.model.lm_head.weight[:, 0].mul_(1e10)
    try:
        with pytest.raises(ModelError, match=r"no finite number|NaN or infinite|not finite"):
            _score(study, "forward", tmp_path)
        with pytest.raises(ModelError, match="no finite loss on every evaluation text"):
            Evaluation(study.model, study.texts, torch.device("cpu"), 0)
    finally:
        with torch.no_grad():
            norm.copy_(before)
            study.model.lm_head.weight[:, 0].div_(1e10)
    assert not list(tmp_path.glob("*.h5"))


def test_float16_in_memory_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = make_study(tmp_path, "llama", dtype=torch.float16)
    _score(study, "gradient", tmp_path / "scores")
    assert "in float16 gradients of the head below 6e-8 come out as 0" in caplog.text
