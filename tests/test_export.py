"""Exports: index list and mask say the same weights as the CSV, entry by entry; Parquet the same table."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from critical_weights.errors import ConfigError, CriticalWeightsError, RankingError
from critical_weights.files import write_json
from critical_weights.model import safetensors_write
from critical_weights.model.safetensors_write import Part, write_safetensors
from critical_weights.ranking import export
from critical_weights.ranking.chosen_weights import weights_of_list
from critical_weights.ranking.export import read_selection, write_mask, write_parquet, write_selection
from run_folders import RUN, facts_of, make_run
from script_call import call_script
from tiny_models import save_tiny_folder

ARCHITECTURES = ("llama", "llama_tied", "gpt2", "mixtral")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    return make_run(root, facts_of(save_tiny_folder(root / "model", request.param)))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one")
    return make_run(root, facts_of(save_tiny_folder(root / "model", "llama")))


def csv_rows(run: Path) -> list[tuple[str, tuple[int, ...], float]]:
    frame = pd.read_csv(run / "top_weights.csv", keep_default_na=False)
    columns = (frame["parameter"], frame["indices"], frame["sensitivity_score"])
    return [(name, ast.literal_eval(text), score) for name, text, score in zip(*columns, strict=True)]


def test_index_list_and_mask_name_the_csvs_weights(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MASK_PIECE", 7)  # pieces end inside tensors, and between two selected weights
    rows = csv_rows(run)
    assert (
        call_script("export", run, "--selection", tmp_path / "s.safetensors", "--mask", tmp_path / "m.safetensors") == 0
    )
    masks, lists = load_file(tmp_path / "m.safetensors"), load_file(tmp_path / "s.safetensors")
    names = {name for name, _, _ in rows}
    assert set(masks) == names
    assert set(lists) == names | {f"{name}.score" for name in names}
    for name in names:
        own = [(indices, score) for row, indices, score in rows if row == name]
        mask = np.zeros(masks[name].shape, bool)
        for indices, _ in own:
            mask[indices] = True
        assert masks[name].dtype == np.bool_
        assert np.array_equal(masks[name], mask)
        found = zip(lists[name], lists[f"{name}.score"], strict=True)
        shown = [(tuple(map(int, np.unravel_index(flat, mask.shape))), float(score)) for flat, score in found]
        assert shown == [(indices, float(np.float32(score))) for indices, score in own]  # the CSV's order: best first


def test_selection_reads_back(run: Path, tmp_path: Path) -> None:
    made = weights_of_list(run)
    write_selection(made, tmp_path / "s.safetensors")
    for again in (
        read_selection(tmp_path / "s.safetensors"),
        read_selection(run),
        read_selection(run / "top_weights.csv"),
    ):
        assert again.origin == made.origin
        assert list(again.tensors) == list(made.tensors)
        assert len(again) == len(csv_rows(run))
        for name, chosen in again.tensors.items():
            assert chosen.shape == made.tensors[name].shape
            assert np.array_equal(chosen.index, made.tensors[name].index)
            assert np.array_equal(chosen.score, made.tensors[name].score)


def test_origin_names_model_and_experiment(llama: Path, tmp_path: Path) -> None:
    write_selection(weights_of_list(llama), tmp_path / "s.safetensors")
    with safe_open(tmp_path / "s.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert all(file.get_tensor(name).dtype == torch.int64 for name in json.loads(metadata["shapes"]))
    facts = json.loads((llama.parent / "model.json").read_text())
    wanted = {"format": "critical_weights.selection", "format_version": "1", "model": "tiny", "experiment": RUN,
              "model_sha256": facts["sha256"], "metric": "grad_x_weight", "mode": "global", "k": "40",
              "n_weights": "40"}  # fmt: skip
    assert {key: metadata[key] for key in wanted} == wanted


def test_order_of_rows_does_not_matter_and_bytes_are_equal(llama: Path, tmp_path: Path) -> None:
    shuffled = tmp_path / "top_weights.csv"
    frame = pd.read_csv(llama / "top_weights.csv", dtype=str, keep_default_na=False)
    frame.sample(frac=1, random_state=1)[["parameter", "indices", "sensitivity_score"]].to_csv(shuffled, index=False)
    facts = llama.parent / "model.json"
    elsewhere, here = weights_of_list(shuffled, facts), weights_of_list(llama)
    assert elsewhere.origin["experiment"] == ""
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for file, weights in zip(files, (elsewhere, here, here, here), strict=True):
        write_selection(type(weights)(here.origin, weights.tensors), file)
    write_mask(here, files[2])
    write_mask(type(here)(here.origin, elsewhere.tensors), files[3])
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[2].read_bytes() == files[3].read_bytes()


def test_mask_of_all_tensors(llama: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    pd.read_csv(llama / "top_weights.csv", dtype=str, keep_default_na=False).head(2).to_csv(few, index=False)
    facts = json.loads((llama.parent / "model.json").read_text())
    options = ("--facts", llama.parent / "model.json", "--all-tensors")
    assert call_script("export", few, "--mask", tmp_path / "m.safetensors", *options) == 0
    masks = load_file(tmp_path / "m.safetensors")
    assert {name: list(mask.shape) for name, mask in masks.items()} == {t["name"]: t["shape"] for t in facts["tensors"]}
    assert sum(int(mask.sum()) for mask in masks.values()) == 2


def test_other_name_of_a_tied_tensor(tmp_path: Path) -> None:
    facts = facts_of(save_tiny_folder(tmp_path / "model", "llama_tied"))
    write_json(tmp_path / "model.json", facts)
    (tmp_path / "list.csv").write_text('parameter,indices,sensitivity_score\nlm_head.weight,"(3, 5)",1\n')
    weights = weights_of_list(tmp_path / "list.csv", tmp_path / "model.json")
    assert {name: chosen.index.tolist() for name, chosen in weights.tensors.items()} == {
        "model.embed_tokens.weight": [3 * 16 + 5]
    }


def test_parquet_is_the_same_table(llama: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write_parquet(llama, tmp_path / "t.parquet")
    write_parquet(llama, tmp_path / "again.parquet")
    assert (tmp_path / "t.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()
    frame = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(frame, export.read_ranking(llama / "top_weights.csv"), check_dtype=True)
    (tmp_path / "list.csv").write_text("score,parameter,indices,sensitivity_score\nx,NA,(3),0.1\n")
    write_parquet(tmp_path / "list.csv", tmp_path / "l.parquet")
    assert pd.read_parquet(tmp_path / "l.parquet").to_dict("records") == [
        {"parameter": "NA", "indices": "(3)", "sensitivity_score": 0.1}
    ]


def test_parquet_without_pyarrow_is_one_line(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        write_parquet(llama, tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_a_list_of_another_model_is_refused(llama: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "model.json", facts_of(save_tiny_folder(tmp_path / "gpt2", "gpt2"), "other"))
    with pytest.raises(RankingError, match="other has not, first"):
        weights_of_list(llama, tmp_path / "model.json")
    write_json(llama / "sensitivity_stats.json", {"store": {"model_sha256": "beef"}})
    try:
        with pytest.raises(RankingError, match="made with another model; got beef"):
            weights_of_list(llama)
    finally:
        (llama / "sensitivity_stats.json").unlink()
    with pytest.raises(RankingError, match="is of another model"):
        write_mask(weights_of_list(llama), tmp_path / "m.safetensors", {"x": (2,)})


def test_damaged_and_foreign_files_are_refused(llama: Path, tmp_path: Path) -> None:
    good = tmp_path / "s.safetensors"
    weights = weights_of_list(llama)
    write_selection(weights, good)
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-3])
    with pytest.raises(RankingError, match="cut short or damaged"):
        read_selection(tmp_path / "cut.safetensors")
    write_mask(weights, tmp_path / "m.safetensors")
    with pytest.raises(RankingError, match=r"got critical_weights\.mask 1"):
        read_selection(tmp_path / "m.safetensors")
    name = next(iter(weights.tensors))
    weights.tensors[name].index[0] = 10**9
    write_selection(weights, good)
    with pytest.raises(RankingError, match=f"indices outside {name}"):
        read_selection(good)
    with pytest.raises(RankingError, match="no file"):
        read_selection(tmp_path / "none.safetensors")
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "list.csv").touch()
    with pytest.raises(ConfigError, match="--facts"):
        weights_of_list(tmp_path / "nowhere" / "list.csv")


def test_the_size_told_is_the_files(tmp_path: Path) -> None:
    parts = [Part(name, "F32", (3,), lambda: [np.zeros(2, np.float32), np.ones(1, np.float32)]) for name in "ab"]
    assert write_safetensors(tmp_path / "x", parts, {"key": "ü"}) == (tmp_path / "x").stat().st_size


def test_a_full_disk_and_a_break_leave_nothing(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[np.ndarray]:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_safetensors(tmp_path / "x", [Part("a", "U8", (2,), broken)], {})
    with pytest.raises(ValueError, match="a has 3 bytes, its shape needs 2"):
        write_safetensors(tmp_path / "x", [Part("a", "U8", (2,), lambda: [np.zeros(3, np.uint8)])], {})
    monkeypatch.setattr(safetensors_write.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**3})())
    with pytest.raises(CriticalWeightsError, match=r"would take 0\.0\d GB and the disk has 0\.00 GB free"):
        write_mask(weights_of_list(llama), tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_is_not_there_is_told_with_the_near_ones(llama: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"there is no run folder or list .*{llama.name}0. Did you mean {llama.name}\?"
    ):
        read_selection(llama.with_name(f"{llama.name}0"))


def test_a_folder_of_run_folders_is_none_and_they_are_named(llama: Path) -> None:
    """Not that it has no facts beside it, which says nothing of the mistake."""
    with pytest.raises(ConfigError, match=rf"{llama.parent.name} is no run folder: it has no top_weights.csv") as told:
        read_selection(llama.parent)
    assert llama.name in str(told.value)


def test_nothing_asked_for_is_a_mistake(llama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_script("export", llama) == 1
    assert "Name --selection, --mask or --parquet" in capsys.readouterr().err


def test_what_the_pages_import_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    imports = [line for line in lines if re.match(r"(from|import) critical_weights", line)]
    assert imports
    subprocess.run([sys.executable, "-c", "\n".join(imports)], check=True)
