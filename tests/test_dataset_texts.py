"""Texts of data sets: which rows are taken, what is recorded, and one line for each that cannot be read.

The library ``datasets`` is no part of the environment: a small one that takes the same calls stands for it. The last
test uses the real one where it is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from critical_weights import config as configs
from critical_weights.errors import TextError
from critical_weights.texts.dataset_texts import dataset_name, is_folder, label, read_dataset
from hub_client import SCRIPTS, clean_environment
from hub_server import serve_hub
from script_call import call_script

ROWS = [{"text": t, "n": i} for i, t in enumerate(["one text", "", "  ", " = A = ", "two\ntexts ", "three"])]
STANDIN = """
import json, os
from pathlib import Path

class Table(list):
    column_names = property(lambda self: list(self[0]))

def disable_progress_bars():
    pass

def load_from_disk(path):
    rows = json.loads((Path(path) / "rows.json").read_text())
    return {split: Table(part) for split, part in rows.items()} if isinstance(rows, dict) else Table(rows)

class Broken(Table):
    def __iter__(self):
        yield self[0]
        raise ConnectionError("the hub has gone\\nand more")

def load_dataset(path, name=None, split=None, revision=None, streaming=False):
    call = {"path": path, "name": name, "split": split, "revision": revision, "streaming": streaming}
    Path(os.environ["CALLS"]).write_text(json.dumps(call))
    if name == "bad":
        raise ValueError("BuilderConfig 'bad' not found. Available: ['a']\\nand more")
    if name == "broken":
        return Broken([{"text": "the first"}])
    return Table([{"text": f"row {i} of it"} for i in range(5)])
"""


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in before the real library; return the folder that holds it."""
    folder = tmp_path / "library"
    (folder / "datasets").mkdir(parents=True)
    (folder / "datasets" / "__init__.py").write_text(STANDIN)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.json"))
    return folder


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    sys.modules.pop("datasets", None)


def _saved(folder: Path, rows: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "rows.json").write_text(json.dumps(rows))
    return str(folder)


def _refused(words: str, dataset: str, **named: Any) -> None:
    with pytest.raises(TextError, match=words) as caught:
        read_dataset(dataset, **named)
    assert "\n" not in str(caught.value)


def test_a_saved_data_set_with_what_is_left_out_counted(standin: Path, tmp_path: Path) -> None:
    saved = _saved(tmp_path / "saved", {"train": [{"text": "x"}], "test": ROWS})
    texts, record = read_dataset(saved, split="test")
    assert texts == ["one text", " = A = ", "two\ntexts ", "three"]
    assert record == {
        "dataset": "saved", "config": None, "split": "test", "revision": None, "commit": None, "column": "text",
        "rows": 6, "min_characters": 1, "n_left_out": 2, "n_texts": 4,
    }  # fmt: skip
    assert str(tmp_path) not in json.dumps(record), "no folder of this machine"
    assert label(record) == "saved/test"
    longer, counted = read_dataset(saved, split="test", min_characters=6, rows=5)
    assert longer == ["one text", "two\ntexts "]
    assert (counted["rows"], counted["n_left_out"]) == (5, 3)


def test_what_cannot_be_read_is_one_line(standin: Path, tmp_path: Path) -> None:
    saved = _saved(tmp_path / "saved", {"train": ROWS, "test": ROWS})
    _refused("data set saved has several splits; got no split; expected train or test", saved)
    _refused("unknown split of saved 'tests'. Did you mean test", saved, split="tests")
    _refused("unknown column of saved 'txt'. Did you mean text", saved, split="test", column="txt")
    _refused("row 1 of data set saved has no text in column 'n'", saved, split="test", column="n")
    _refused("data set saved has no text of 50 characters in its 6 rows", saved, split="test", min_characters=50)
    _refused("data set none cannot be read: .*No such file", str(tmp_path / "none"))
    assert read_dataset(_saved(tmp_path / "plain", ROWS))[1]["n_texts"] == 4, "one table needs no split"
    assert read_dataset(_saved(tmp_path / "one", {"train": ROWS}))[1]["n_texts"] == 4, "nor does one split"


def test_a_hub_that_goes_while_rows_are_read_is_one_line(standin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("critical_weights.texts.dataset_texts._commit", lambda *_: None)
    texts, record = read_dataset("owner/set", config="broken", rows=1)
    assert (texts, record["revision"]) == (["the first"], "main")
    _refused(r"data set owner/set cannot be read: the hub has gone\.$", "owner/set", config="broken", rows=2)


def test_without_the_library_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    words = "data set owner/set needs the library 'datasets', which is not installed. pip install datasets, or give"
    _refused(words, "owner/set")


def test_a_folder_is_told_by_its_first_character() -> None:
    assert [is_folder(d) for d in ("/a", "./a", "../a", "~/a", "a", "a/b")] == [True] * 4 + [False] * 2
    assert [dataset_name(d) for d in ("/data/mine", "owner/set")] == ["mine", "owner/set"]


def _run(endpoint: str, folder: Path, standin: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = {"PYTHONPATH": str(standin), "CALLS": str(folder / "calls.json"), "HF_TOKEN": "hf_planted0Token"}
    command = [sys.executable, str(SCRIPTS / "fetch_texts.py"), *arguments, f"--output={folder / 'x.jsonl'}",
               f"--record={folder / 'x.json'}"]  # fmt: skip
    environment = clean_environment(endpoint, folder / "home", **paths)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_hub_data_set_is_read_at_the_commit_that_its_revision_is(standin: Path, tmp_path: Path) -> None:
    with serve_hub() as hub:
        hub.repos["datasets/owner/set"] = tmp_path / "empty"
        (tmp_path / "empty").mkdir()
        asked = ["--dataset=owner/set", "--config=raw", "--split=test"]
        done = _run(hub.endpoint, tmp_path, standin, *asked, "--rows=3")
        assert done.returncode == 0, done.stderr
        assert "'main' of owner/set is a name that can move; it is a1a1" in done.stderr
        call = json.loads((tmp_path / "calls.json").read_text())
        assert call == {"path": "owner/set", "name": "raw", "split": "test", "revision": "a1" * 20, "streaming": True}
        lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
        assert lines == [{"text": f"row {i} of it"} for i in range(3)]
        record = json.loads((tmp_path / "x.json").read_text())
        assert (record["commit"], record["revision"], record["rows"]) == ("a1" * 20, "main", 3)
        assert label(record) == "owner/set/raw/test"
        for wrong, words in (
            (["--dataset=owner/none"], "there is no repository owner/none that the account which is logged in may see"),
            ([*asked, "--revision=v9"], "owner/set has no revision 'v9'"),
            (
                ["--dataset=owner/set", "--config=bad"],
                "cannot be read: BuilderConfig 'bad' not found. Available: ['a'].",
            ),
        ):
            done = _run(hub.endpoint, tmp_path, standin, *wrong)
            assert done.returncode == 1, done.stderr
            assert words in done.stderr
            assert "Traceback" not in done.stderr
            assert "hf_planted0Token" not in done.stderr


# In the config


def test_a_phase_with_a_data_set() -> None:
    own = {"dataset": "/data/mine", "split": "test"}
    defaults = configs.read_config(Path(configs.SCHEMA).parents[2] / "config" / "config.yaml")
    config = configs.merge(defaults, {"phases": {"own": {"texts": own}}})
    assert configs.config_errors(config) == []
    config = configs.complete(config)
    assert configs.text_file(config, "own", "texts") == Path("resources/texts/own/texts.jsonl")
    assert configs.text_file(config, "own", "evaluation") is None
    [experiment] = configs.experiments({**config, "experiments": ["own/bundled/mag_global_k5"]})
    told = configs.experiment_settings(config, experiment)["phase"]
    assert (told["texts"], told["evaluation"]) == ({"dataset": "mine", "split": "test"}, "default")
    other = configs.merge(config, {"phases": {"own": {"texts": {"dataset": "owner/set"}}}})
    assert other["phases"]["own"]["texts"] == {"dataset": "owner/set"}, "another data set has no split of this one"


@pytest.mark.parametrize(
    "texts, words",
    [
        ({"split": "test"}, "phases.own.texts lacks 'dataset'"),
        ({"dataset": "a/b", "splitt": "test"}, "unknown key 'splitt' in phases.own.texts. Did you mean split"),
        ({"dataset": "a/b", "rows": 0}, "phases.own.texts.rows; got 0; expected 1 or more"),
        (3, "phases.own.texts; got 3; expected a text"),
    ],
)
def test_mistakes_in_a_data_set_are_told(texts: Any, words: str) -> None:
    config = {"models": {}, "phases": {"own": {"texts": texts}}, "experiments": [], "scoring": {}}
    [error] = configs.config_errors(config)
    assert words in str(error)


def test_the_real_library(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert isinstance(datasets, ModuleType)
    rows = datasets.Dataset.from_dict({"text": [row["text"] for row in ROWS]})
    datasets.DatasetDict({"train": rows, "test": rows.select(range(2))}).save_to_disk(str(tmp_path / "saved"))
    out = [f"--output={tmp_path / 'x.jsonl'}", f"--record={tmp_path / 'x.json'}"]
    assert call_script("fetch_texts", f"--dataset={tmp_path / 'saved'}", "--split=train", *out) == 0
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one text", " = A = ", "two\ntexts ", "three"]
    assert os.path.getsize(tmp_path / "x.json") > 0
