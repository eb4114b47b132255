"""Downstream tasks: the harness scores, before and after, and the model comes out bit by bit as it was."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from critical_weights.errors import ConfigError, RankingError
from critical_weights.files import write_json
from critical_weights.model.source import BUNDLED, fetch_model
from critical_weights.ranking.chosen_weights import Chosen, ChosenWeights, first_of, weights_of_list
from critical_weights.tables.downstream import DOWNSTREAM
from critical_weights.tables.schema import read_table, write_table
from critical_weights.validation import harness
from critical_weights.validation.downstream import downstream_table, paired_stderr, read_selections
from critical_weights.validation.harness import Harness, Measured
from run_folders import facts_of, make_run
from script_call import call_script
from tiny_models import save_tiny_folder, tiny_model

TASKS = Path(__file__).parent / "data" / "downstream"
MISSING = "lm-evaluation-harness (lm_eval, accelerate) is not installed"
needs_harness = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("lm_eval", "accelerate")), reason=MISSING
)


class SumOfWeights:
    """Stands in for the harness: its figure is a sum over the model's weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def run(self) -> dict:
        total = sum(float(p.detach().double().sum()) for p in self.model.parameters())
        figures = {("sum", "total", ""): Measured(total, math.nan, 0, "", None)}
        by_tensor = np.array([float(p.detach().double().sum()) for p in self.model.parameters()])
        figures["mean", "acc", "strict"] = Measured(by_tensor.mean(), 0.5, len(by_tensor), "higher", by_tensor)
        return figures


def _selection(model: torch.nn.Module, each: int = 3) -> ChosenWeights:
    rng = np.random.default_rng(0)
    tensors = {
        name: Chosen(tuple(p.shape), rng.choice(p.numel(), each, replace=False), rng.random(each).astype(np.float32))
        for name, p in model.named_parameters()
        if p.dim() == 2
    }
    return ChosenWeights({}, tensors)


def test_figures_before_and_inside_and_the_weights_after(tmp_path: Path) -> None:
    model = tiny_model("llama", torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    chosen = _selection(model)
    removed = sum(
        float(before[n].double().view(-1)[torch.from_numpy(c.index)].sum()) for n, c in chosen.tensors.items()
    )
    frame = downstream_table(SumOfWeights(model), model, {"own": chosen}, "zero", None, seed=0, stored=torch.float32)
    assert all(torch.equal(p.detach(), before[name]) for name, p in model.named_parameters())
    write_table(frame, tmp_path / "d.csv", DOWNSTREAM)
    total, mean = (row for _, row in read_table(tmp_path / "d.csv", DOWNSTREAM).iterrows())
    assert total.change == pytest.approx(-removed, abs=1e-9)
    assert total.after == pytest.approx(total.before - removed, abs=1e-9)
    assert (total.task, total.selection, total.intervention, total["filter"]) == ("sum", "own", "zero", "")
    assert total.k == total.changed == len(chosen)
    assert math.isnan(total.change_stderr)
    assert (mean["filter"], mean.better, mean.n) == ("strict", "higher", len(before))
    differences = [
        -float(p.double().view(-1)[torch.from_numpy(chosen.tensors[n].index)].sum()) if n in chosen.tensors else 0.0
        for n, p in before.items()
    ]
    assert mean.change_stderr == pytest.approx(pd.Series(differences).std() / math.sqrt(len(differences)), rel=1e-9)


def test_an_overflow_is_an_empty_figure() -> None:
    model = tiny_model("llama", torch.float32)
    stand_in = SumOfWeights(model)
    whole = stand_in.run
    runs = iter((whole(), {}))
    stand_in.run = lambda: next(runs)
    frame = downstream_table(stand_in, model, {"a": _selection(model)}, "scale", 0.5, seed=0, stored=torch.float32)
    assert frame["after"].isna().all()
    assert frame["change"].isna().all()
    assert frame["before"].notna().all()
    assert set(frame["strength"]) == {0.5}


def test_no_paired_error_without_documents() -> None:
    some, none = Measured(1.0, 0.1, 2, "", np.array([0.0, 2.0])), Measured(1.0, 0.1, 2, "", None)
    assert math.isnan(paired_stderr(some, none))
    assert math.isnan(paired_stderr(none, some))
    assert paired_stderr(some, some) == 0.0


def test_first_k_is_the_lists_head(tmp_path: Path) -> None:
    run = make_run(tmp_path, facts_of(save_tiny_folder(tmp_path / "model", "gpt2")))
    weights = weights_of_list(run)
    rows = pd.read_csv(run / "top_weights.csv").head(17)
    first = first_of(weights, 17)
    found = {(name, int(flat)) for name, chosen in first.tensors.items() for flat in chosen.index}
    flat = [
        int(np.ravel_multi_index([int(i) for i in text.strip("()").split(",") if i], weights.tensors[name].shape))
        for name, text in zip(rows["parameter"], rows["indices"], strict=True)
    ]
    assert found == set(zip(rows["parameter"], flat, strict=True))
    with pytest.raises(RankingError, match="40 weights, and the first 41"):
        first_of(weights, 41)


def test_selections_are_named_and_of_one_model(tmp_path: Path) -> None:
    run = make_run(tmp_path, facts_of(save_tiny_folder(tmp_path / "model", "llama")))
    facts, other = run.parent / "model.json", tmp_path / "list.csv"
    other.write_bytes((run / "top_weights.csv").read_bytes())
    assert {name: len(one) for name, one in read_selections([run, other], facts, 5).items()} == {
        "gradxw_global_k40": 5, "list": 5
    }  # fmt: skip
    with pytest.raises(RankingError, match="two selections are called list"):
        read_selections([other, other], facts, None)


@pytest.mark.parametrize("package", ["lm_eval", "accelerate"])
def test_absence_is_one_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness.importlib.util, "find_spec", lambda name: None if name == package else object())
    arguments = ("--record", "r", "--facts", "f", "--selections", "s", "--tasks", "t", "--output", tmp_path / "o.csv")
    assert call_script("downstream", *arguments) == 1
    line = capsys.readouterr().err
    assert f"need lm-evaluation-harness, and {package} is not installed. Run: pip install lm_eval accelerate." in line
    assert line.count("\n") == 1
    assert not (tmp_path / "o.csv").exists()
    assert call_script("downstream", *arguments, "--limit", 0) == 1
    assert "--limit 0" in capsys.readouterr().err


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what the data sets' library writes inside the test."""
    with harness._quiet():
        datasets = pytest.importorskip("datasets", reason=MISSING)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@needs_harness
@pytest.mark.usefixtures("cache")
def test_task_of_a_local_file_before_and_after(tmp_path: Path) -> None:
    """The accuracy before is that of plain log-likelihoods; after, that of a model which was changed on disk."""
    write_json(tmp_path / "record.json", fetch_model("bundled", "bundled"))
    facts = facts_of(BUNDLED, "bundled")
    write_json(tmp_path / "model.json", facts)
    rows = [f'model.layers.{layer}.mlp.down_proj.weight,"({row}, {col})",{200 - row}'
            for layer in range(8) for row in range(0, 128, 2) for col in range(0, 352, 2)]  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(["parameter,indices,sensitivity_score", *rows]))
    arguments = ("--record", tmp_path / "record.json", "--facts", tmp_path / "model.json", "--dtype", "float32")
    outputs = ("--selections", tmp_path / "list.csv", "--output", tmp_path / "d.csv")
    tasks = ("--tasks", "completions", "passages", "--include-path", TASKS)
    change = ("--intervention", "scale", "--strength", "-3")
    assert call_script("downstream", *arguments, *outputs, *tasks, *change) == 0
    frame = read_table(tmp_path / "d.csv", DOWNSTREAM).set_index("metric")
    assert set(frame["task"]) == {"completions", "passages"}

    model = AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float32).eval()
    before = _right(model)
    with torch.no_grad():
        for layer in range(8):
            weight = model.get_parameter(f"model.layers.{layer}.mlp.down_proj.weight")[::2, ::2]
            weight.copy_((-3 * weight).bfloat16())  # the checkpoint's format
    after = _right(model)
    assert frame.loc["acc", "before"] == pytest.approx(np.mean(before))
    assert frame.loc["acc", "after"] == pytest.approx(np.mean(after))
    assert frame.loc["acc", "change_stderr"] == pytest.approx((pd.Series(after) - pd.Series(before)).sem())
    assert sum(a != b for a, b in zip(after, before, strict=True)) > 2
    assert frame.loc["bits_per_byte", "change"] > 0.1
    assert frame.loc["acc", "n"] == 24
    assert frame.loc["acc", "changed"] == len(rows)
    assert math.isnan(frame.loc["word_perplexity", "change_stderr"])


def _right(model: torch.nn.Module) -> list[float]:
    """Return for each document whether its true ending has the largest log-likelihood, one ending at a time."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED)
    right = []
    for line in (TASKS / "completions.jsonl").read_text().splitlines():
        document = json.loads(line)
        start = tokenizer(document["start"])["input_ids"]
        sums = []
        for ending in document["endings"]:
            ids = tokenizer(f"{document['start']} {ending}")["input_ids"]
            with torch.no_grad():
                logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            sums.append(sum(float(logs[place - 1, ids[place]]) for place in range(len(start), len(ids))))
        right.append(float(np.argmax(sums) == document["answer"]))
    return right


@needs_harness
@pytest.mark.usefixtures("cache")
def test_wrong_tasks_are_one_line(tmp_path: Path) -> None:
    model, tokenizer = object(), object()
    with pytest.raises(ConfigError, match="no folder of tasks"):
        Harness(model, tokenizer, ["completions"], folder=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"unknown task 'completion'\. Did you mean completions"):
        Harness(model, tokenizer, ["completion"], folder=TASKS)
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "completions.yaml").write_text((TASKS / "completions.yaml").read_text())
    own = AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float32)
    lost = Harness(own, AutoTokenizer.from_pretrained(BUNDLED), ["completions"], folder=folder)
    with pytest.raises(ConfigError, match="data of task completions cannot be had"):
        lost.run()
