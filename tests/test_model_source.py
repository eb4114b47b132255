"""Where models come from: folders that are there, and one line for each that cannot be used. No network is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from critical_weights.errors import ModelError
from critical_weights.model import source as model_source
from critical_weights.model.source import BUNDLED, check_folder, check_unchanged, fetch_model, model_folder


def _folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_bytes(b"{}")
    return path


def _sharded(path: Path, *, lacking: tuple[str, ...] = ()) -> Path:
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    folder = _folder(path, "config.json", *(s for s in shards if s not in lacking))
    weights = {"b": shards[1], "a": shards[0], "c": shards[2], "d": shards[0]}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    return folder


def _refused(words: str, *arguments: str, **named: Any) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        fetch_model(*arguments, **named)
    assert "\n" not in str(caught.value)


def test_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path / "m", "config.json", "model.safetensors")
    monkeypatch.chdir(tmp_path)
    record = fetch_model("mine", "local", path="m")
    assert record == {
        "model": "mine", "source": "local", "repo": None, "revision": None, "commit": None, "checkpoint": None,
        "path": str(folder),
    }  # fmt: skip
    assert fetch_model("mine", "local", path="../" + tmp_path.name + "/m")["path"] == str(folder)


def test_a_home_folder_is_spelled_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _folder(tmp_path / "m", "config.json", "model.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_model("mine", "local", path="~/m")["path"] == str(tmp_path / "m")


def test_local_without_a_path_and_hub_without_a_repo() -> None:
    _refused("model 'mine' has source local but no path", "mine", "local")
    _refused("model 'mine' has source hub but no repo", "mine", "hub")


def test_an_unknown_source_is_named_with_near_ones() -> None:
    _refused("unknown model source 'locale'. Did you mean local", "mine", "locale")


def test_a_missing_folder_or_a_file_for_it(tmp_path: Path) -> None:
    _refused(f"there is no model folder {tmp_path / 'no'}", "mine", "local", path=str(tmp_path / "no"))
    (tmp_path / "file").write_text("")
    _refused("there is no model folder .*file", "mine", "local", path=str(tmp_path / "file"))


def test_a_folder_without_config(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", "model.safetensors")
    _refused(f"model folder {folder} has no config.json", "mine", "local", path=str(folder))


def test_a_folder_without_safetensors(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", "config.json", "tokenizer.json")
    _refused(r"has no model\.safetensors\. Save the model as safetensors", "mine", "local", path=str(folder))


def test_pickles_are_named_and_never_read(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", "config.json", "pytorch_model.bin", "a.pth", "b.pt", "c.bin")
    words = r"has no model\.safetensors, only a\.pth, b\.pt, c\.bin \(pickles are never read\)\. Save the model"
    _refused(words, "mine", "local", path=str(folder))


def test_several_files_are_those_of_the_index(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "m")
    (folder / "consolidated.safetensors").write_bytes(b"the same weights in another layout")
    assert [f.name for f in check_folder(folder)] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def test_a_single_file_goes_before_an_index_as_transformers_has_it(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"")
    assert [f.name for f in check_folder(folder)] == ["model.safetensors"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "m", lacking=("model-00002-of-00003.safetensors",))
    _refused("lacks 1 of 3 files, first model-00002-of-00003.safetensors", "mine", "local", path=str(folder))


# The bundled model


def test_the_bundled_model_and_its_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_source, "BUNDLED", tmp_path / "bundled")
    _folder(tmp_path / "bundled", "config.json", "model.safetensors")
    step = _folder(tmp_path / "bundled" / "checkpoints" / "step_000100", "config.json", "model.safetensors")
    final = fetch_model("bundled", "bundled")
    assert (final["path"], final["checkpoint"]) == (str(tmp_path / "bundled"), "final")
    assert fetch_model("bundled", "bundled", checkpoint="final") == final
    early = fetch_model("bundled", "bundled", checkpoint="step_000100")
    assert (early["path"], early["checkpoint"]) == (str(step), "step_000100")
    _refused("unknown checkpoint 'step_100'. Did you mean step_000100", "b", "bundled", checkpoint="step_100")
    _refused("unknown checkpoint '../x'", "b", "bundled", checkpoint="../x")


def test_the_bundled_model_lies_in_the_workflow() -> None:
    assert BUNDLED.parts[-3:] == ("workflow", "resources", "bundled_model")


# A record, some time later


def test_the_bundled_model_is_found_where_the_workflow_lies_now() -> None:
    record = fetch_model("bundled", "bundled") | {"path": "/old/checkout/workflow/resources/bundled_model"}
    assert model_folder(record) == BUNDLED
    early = model_source.bundled_checkpoints()[1]
    assert model_folder(record | {"checkpoint": early}) == BUNDLED / "checkpoints" / early
    with pytest.raises(ModelError, match="unknown checkpoint 'step_1'"):
        model_folder(record | {"checkpoint": "step_1"})


@pytest.mark.parametrize(
    "source, fix",
    [
        ("hub", r"Delete resources/models/x\.json: the next run fetches them"),
        ("local", r"Put the folder back or name it under models\.x\.path, and delete resources/models/x\.json"),
    ],
)
def test_files_that_are_gone_are_told_with_what_to_do(tmp_path: Path, source: str, fix: str) -> None:
    folder = _folder(tmp_path / "m", "config.json", "model.safetensors")
    record = fetch_model("x", "local", path=str(folder)) | {"source": source}
    assert model_folder(record) == folder
    folder.rename(tmp_path / "moved")
    folder.touch()  # a file is no folder
    with pytest.raises(ModelError, match=rf"^the files of model 'x' are gone from {folder}\. {fix}\.$"):
        model_folder(record)


def _facts(folder: Path) -> dict[str, Any]:
    files = [folder / "config.json", *check_folder(folder)]
    return {"files": [{"name": f.name, "bytes": f.stat().st_size, "sha256": "not looked at"} for f in files]}


def test_a_folder_of_other_files_than_its_facts_is_told_with_the_first_that_differs(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "m")
    facts = _facts(folder)
    check_unchanged(folder, facts)
    (folder / "tokenizer.json").write_text("no weights, no config")
    check_unchanged(folder, facts)
    second = folder / "model-00002-of-00003.safetensors"
    second.write_bytes(b"{...}")
    words = rf"the files of {folder} are not those that model\.json was made from: {second.name}; got 5 bytes; "
    with pytest.raises(ModelError, match=words + "expected 2 bytes. Run the workflow again, .* or give the folder"):
        check_unchanged(folder, facts)
    second.write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(b"{}")  # which goes before the index
    with pytest.raises(ModelError, match=r": model-00001-of-00003\.safetensors; got no such file; expected 2 bytes"):
        check_unchanged(folder, facts)
    with pytest.raises(ModelError, match=r": model\.safetensors; got 2 bytes; expected no such file"):
        check_unchanged(folder, {"files": facts["files"][:1]})
    (folder / "config.json").write_bytes(b"{ }")
    with pytest.raises(ModelError, match=r": config\.json; got 3 bytes; expected 2 bytes"):
        check_unchanged(folder, facts)


# Code of a model's own


def test_a_local_model_that_needs_its_own_code_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", "config.json", "model.safetensors")
    own = {"auto_map": {"AutoConfig": "configuration_x.XConfig"}}
    (folder / "config.json").write_text(json.dumps({"model_type": "of_nobody", **own}))
    _refused(r"model 'x' needs code of its own \(configuration_x\.py\)", "x", "local", path=str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **own}))
    assert fetch_model("x", "local", path=str(folder))["path"] == str(folder)
    (folder / "config.json").write_text("{")
    assert fetch_model("x", "local", path=str(folder)), "what is wrong with a config, transformers tells"


# The hub: tests/test_download.py


def test_offline_the_real_client_is_one_line_too(tmp_path: Path) -> None:
    """With HF_HUB_OFFLINE=1, which all tests have, nothing is asked of the network."""
    words = "no-such-owner/no-such-model at main is not in the hub's cache on this machine, and offline mode is on"
    lock = tmp_path / "x.lock.json"
    _refused(words, "x", "hub", repo="no-such-owner/no-such-model", lock=lock)
    assert not lock.exists()
