"""A planted token is in no file of a run: a model of a hub on loopback, from the download to the archive."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
import yaml

from hub_client import clean_environment
from hub_server import HubServer, serve_hub
from tiny_models import SENTENCES, save_tiny_folder

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "hf_planted0Token0That0Nobody0May0Read"
PASSWORD = "a0password0of0the0proxy"
RUN = "a/tiny/gradsq_perlayer_k5"
CONFIG = {
    "models": {"tiny": {"source": "hub", "repo": "owner/tiny", "revision": "main"}},
    "phases": {"a": {"texts": "texts.txt", "evaluation": "evaluation.txt", "max_samples": 3, "max_length": 12}},
    "experiments": [RUN],
    "scoring": {"device": "cpu", "candidates": 20},
}

pytestmark = pytest.mark.timeout(900)


@dataclass
class Study:
    """A study that was made with a token in its surroundings.

    Attributes:
        folder: its working directory.
        hub: that served the model.
        output: what all commands printed.
        commands: command lines of the processes that were seen meanwhile.

    """

    folder: Path
    hub: HubServer
    output: str
    commands: set[bytes]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("study")
    (folder / "texts.txt").write_text("\n".join(SENTENCES[:3]))
    (folder / "evaluation.txt").write_text("\n".join(SENTENCES[3:]))
    (folder / "own.yaml").write_text(yaml.safe_dump(CONFIG))
    with serve_hub() as hub:
        hub.repos["owner/tiny"] = save_tiny_folder(tmp_path_factory.mktemp("repo") / "tiny")
        hub.gated.add("owner/tiny")
        hub.tokens.add(TOKEN)
        hub.cut["model.safetensors"] = 20_000
        environment = clean_environment(
            hub.endpoint, tmp_path_factory.mktemp("home"), HF_TOKEN=TOKEN, no_proxy="127.0.0.1",
            https_proxy=f"http://user:{PASSWORD}@127.0.0.1:9",
        )  # fmt: skip
        archive = [
            str(ROOT / "workflow" / "scripts" / "archive.py"),
            "make",
            f"--experiments={RUN}",
            "--log=logs/a.log",
        ]
        commands = [
            ["-m", "snakemake", f"results/{RUN}", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2",
             "--configfile", "own.yaml"],
            archive,
        ]  # fmt: skip
        seen: set[bytes] = set()
        stop = threading.Event()
        watch = threading.Thread(target=_watch, args=(seen, stop))
        watch.start()
        try:
            output = "".join(_run(folder, environment, command) for command in commands)
        finally:
            stop.set()
            watch.join()
        yield Study(folder, hub, output, seen)


def _run(folder: Path, environment: dict[str, str], command: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _watch(seen: set[bytes], stop: threading.Event) -> None:
    while not stop.is_set():
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(place.read_bytes())
            except OSError:
                continue
        time.sleep(0.05)


def _files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, those within zips too."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in folder.rglob("*.zip"):
        with zipfile.ZipFile(path) as content:
            found |= {f"{path.name}/{name}": content.read(name) for name in content.namelist()}
    return found


def test_the_run_made_what_is_searched(study: Study) -> None:
    files = _files(study.folder)
    assert any(r.authorized for r in study.hub.requests), "the token was used"
    assert "resources/models/tiny.lock.json" in files
    for ending in ("manifest.json", "gradsq.h5", "calibration.json", "fetch_model.log", "top_weights.csv"):
        assert any(name.endswith(ending) or "models/tiny.log" in name for name in files), ending
    assert any(name.startswith("critical_weight_analysis_complete.zip/") for name in files)
    assert any(name.startswith(".snakemake/log/") for name in files)
    assert any(b"fetch_model.py" in command for command in study.commands)


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD])
def test_no_file_holds_the_token(study: Study, secret: str) -> None:
    files = _files(study.folder)
    spelled = [secret.encode(), secret.encode("utf-16-le"), secret[::-1].encode()]
    assert [name for name, content in files.items() if any(form in content for form in spelled)] == []


def test_no_attribute_of_a_score_store_holds_it(study: Study) -> None:
    values: list[str] = []

    def look(_: str, item: h5py.Group | h5py.Dataset) -> None:
        values.extend(str(value) for value in item.attrs.values())

    for path in study.folder.rglob("*.h5"):
        with h5py.File(path) as store:
            look("", store)
            store.visititems(look)
    assert len(values) > 20
    assert not [value for value in values if TOKEN in value or PASSWORD in value]


def test_neither_output_nor_process_list_shows_it(study: Study) -> None:
    assert "going on after the 0.02 MB" in study.output, "the download broke and went on"
    assert TOKEN not in study.output
    assert not [command for command in study.commands if TOKEN.encode() in command or PASSWORD.encode() in command]


def test_no_result_and_no_entry_of_the_archive_holds_where_the_model_lies(study: Study) -> None:
    """``resources/models/tiny.json`` does, and stays on this machine."""
    record = json.loads((study.folder / "resources" / "models" / "tiny.json").read_text())
    places = [record["path"].encode(), str(study.folder).encode(), str(ROOT).encode()]
    made = _files(study.folder / "results")
    entries = [name for name in made if name.startswith("critical_weight_analysis_complete.zip/")]
    assert len(entries) > 15
    assert not [name for name in entries if "resources" in name or name.endswith("tiny.json")]
    assert [name for name, content in made.items() if any(place in content for place in places)] == []
