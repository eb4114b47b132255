"""Hostile model folders and paths: no code of theirs runs, nothing is written elsewhere, and no traceback is shown."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from critical_weights.files import write_json
from fuzzed import calibrate, ends_well, tiny_record  # noqa: F401 (a fixture)
from tiny_models import SENTENCES

ROOT = Path(__file__).resolve().parents[1]


class Touch:
    """What a pickle can do when it is read."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch pwned",)


def header(text: str, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text.encode()


def with_pickles(folder: Path) -> None:
    for name in ("pytorch_model.bin", "model.pt", "optimizer.pth"):
        (folder / name).write_bytes(pickle.dumps(Touch()))
    (folder / "model.safetensors").unlink()


def as_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Touch()))


def remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"), "evil.Evil")
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("import os\nos.system('touch pwned')\n")


def remote_tokenizer(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("import os\nos.system('touch pwned')\n")


def template(folder: Path) -> None:
    evil = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% include '/etc/passwd' %}"
    (folder / "chat_template.jinja").write_text(evil)


def index(folder: Path, name: object) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))


def link_out(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/etc/passwd")


def config_link(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/passwd")


def sizes(**changed: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changed))

    return change


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


FOLDERS: dict[str, Callable[[Path], Any]] = {
    "pickles": with_pickles,
    "pickle as safetensors": as_safetensors,
    "remote code": remote_code,
    "remote tokenizer": remote_tokenizer,
    "template": template,
    "index climbs out": lambda folder: index(folder, "../outside.safetensors"),
    "index with absolute path": lambda folder: index(folder, "/etc/passwd"),
    "index with a number": lambda folder: index(folder, 7),
    "index is a list": written("model.safetensors.index.json", b"[]"),
    "link out": link_out,
    "config link": config_link,
    "header too long": written("model.safetensors", header("{}", 1 << 60)),
    "header no JSON": written("model.safetensors", header("x" * 50)),
    "header a list": written("model.safetensors", header("[1]")),
    "offsets beyond": written("model.safetensors", header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,99]}}')),
    "offsets negative": written("model.safetensors", header('{"a":{"dtype":"F32","shape":[-4],"data_offsets":[9,0]}}')),
    "deep header": written("model.safetensors", header("[" * 20_000 + "]" * 20_000)),
    "config a list": written("config.json", b"[]"),
    "config binary": written("config.json", bytes(range(256))),
    "config deep": written("config.json", b"[" * 100_000),
    "tokenizer binary": written("tokenizer.json", bytes(range(256))),
    "tokenizer a list": written("tokenizer.json", b"[]"),
    "tokenizer empty": written("tokenizer.json", b"{}"),
    "sizes negative": sizes(hidden_size=-8),
    "sizes zero": sizes(num_hidden_layers=0),
    "sizes text": sizes(num_attention_heads="many"),
    "sizes huge": sizes(vocab_size=1 << 40),
    "dtype": sizes(dtype="evil", torch_dtype="evil"),
    "model type": sizes(model_type="../../x"),
    "activation": sizes(hidden_act="__import__('os').system('touch pwned')"),
}


@pytest.mark.parametrize("kind", sorted(FOLDERS))
def test_hostile_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Path, kind: str) -> None:
    """Every stage that reads the folder: fetch, describe, calibrate, score, whatever the one before said of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(record.parent / "tiny", tmp_path / "tiny")
    good = tmp_path / "good.json"
    write_json(good, json.loads(record.read_text()) | {"path": str(tmp_path / "tiny")})
    facts = tmp_path / "facts.json"
    assert ends_well(tmp_path, "describe_model", "--record", good, "--output", facts) == 0
    FOLDERS[kind](tmp_path / "tiny")
    ends_well(tmp_path, "fetch_model", "--model", "tiny", "--source", "local", "--path", tmp_path / "tiny",
              "--output", tmp_path / "fetched.json")  # fmt: skip
    ends_well(tmp_path, "describe_model", "--record", good, "--output", tmp_path / "again.json")
    (tmp_path / "texts.txt").write_text("\n".join(SENTENCES[:3]), encoding="utf-8")
    calibrate(good, tmp_path / "texts.txt")
    ends_well(tmp_path, "score", "--family", "static", "--record", good, "--facts", facts, "--device", "cpu",
              "--candidates", 5, "--output-dir", tmp_path / "scores")  # fmt: skip
    assert not list(tmp_path.rglob("pwned"))


# Names with shell characters, through Snakemake itself


@pytest.mark.timeout(600)
def test_shell_characters_in_paths_run_nothing(tmp_path: Path, record: Path) -> None:
    evil = "a b; touch pwned; $(touch pwned) `touch pwned` 'q' & "
    shutil.copytree(record.parent / "tiny", tmp_path / evil / "tiny")
    (tmp_path / evil / "t.txt").write_text("\n".join(SENTENCES[:3]), encoding="utf-8")
    (tmp_path / evil / "e.txt").write_text("\n".join(SENTENCES[4:]), encoding="utf-8")
    own = {
        "models": {"tiny": {"source": "local", "path": f"{evil}/tiny"}},
        "phases": {"a": {"texts": f"{evil}/t.txt", "evaluation": f"{evil}/e.txt", "max_samples": 3, "max_length": 12}},
        "scoring": {"device": "cpu"},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    before = {path.name for path in tmp_path.iterdir()}
    command = [sys.executable, "-m", "snakemake", "results/a/tiny/calibration.json", "results/a/tiny/model.json",
               "--cores", "1", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "own.yaml"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name for path in tmp_path.iterdir()} - before
    assert made == {"results", "resources", "logs", "benchmarks", ".snakemake"}
    assert not list(tmp_path.rglob("pwned"))
