"""Bad and hostile input: a plain message or a result, never a traceback, a write outside the folder or foreign code."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from critical_weights import config as configs
from critical_weights.compare.config import comparison_errors
from critical_weights.errors import CriticalWeightsError
from critical_weights.metrics import METRICS_BY_PATH
from critical_weights.needs import missing_texts
from critical_weights.targets import target_files
from fuzzed import calibrate, ends_well, tiny_record, tried  # noqa: F401 (a fixture)
from watched import watched

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = configs.read_config(ROOT / "config" / "config.yaml")
# Without shrinking: what fails is told by its exit status and its log, and a smaller example costs minutes.
many = settings(
    max_examples=150, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
fewer = settings(many, max_examples=40)

NASTY = ["../../x", "/etc/passwd", "$(touch pwned)", "`touch pwned`", "a;touch pwned", "a b", "-rf", "--output=/tmp/x",
         "'", '"', "\\", "\n", "\0", "*", "~", "a|b", "a&b", "é", "\u202e", "con", "%s", "{x}",
         "{wildcards.model}"]  # fmt: skip
names = st.sampled_from(NASTY) | st.text(max_size=20)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | names
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.integers(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _count() -> Iterator[None]:
    yield
    print(f"\ninputs tried: {sum(tried.values())} {dict(tried)}")


def one_line(act: Callable[[], Any]) -> Any:
    """Return what a call returns; None where it refuses, which takes one line."""
    try:
        return act()
    except CriticalWeightsError as error:
        refusal = str(error)
    assert "\n" not in refusal
    return None


# Configs and targets


def checked(own: Any) -> None:
    """Do with a config what the workflow does when it is parsed."""
    merged = configs.merge(DEFAULTS, own)
    errors = configs.config_errors(merged)
    assert all(isinstance(error, CriticalWeightsError) and "\n" not in str(error) for error in errors)
    if not errors:
        complete = configs.complete(merged)
        configs.experiments(complete)
        comparison_errors(complete)


def sections() -> st.SearchStrategy[dict[str, Any]]:
    """Draw configs that have some right keys at some level."""
    known = st.sampled_from(sorted(DEFAULTS))
    keys = st.sampled_from(["p2", "bundled", "source", "repo", "path", "texts", "seed", "dtype", "study", "lists", "k"])
    inner = st.dictionaries(keys | names, leaves | st.dictionaries(keys | names, values, max_size=3), max_size=3)
    return st.dictionaries(known | names, values | inner, max_size=3)


@many
@given(sections())
def test_any_config_is_taken_or_refused_with_lines(own: dict[str, Any]) -> None:
    tried["config"] += 1
    checked(own)


@many
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | sections().map(lambda c: repr(c).encode()))
def test_any_bytes_as_a_config_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "config.yaml"
    file.write_bytes(content)
    tried["config file"] += 1
    with watched(file.parent) as touched:
        one_line(lambda: checked(configs.read_config(file)))
    assert touched == []


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "a: &a [*a]",
        "a: &a {b: *a}",
        "models: {x: {source: local, path: " + "[" * 3000 + "]" * 3000 + "}}",
        "phases: {p2: {seed: " + "9" * 5000 + "}}",
        "? {a: b}\n: c",
        "models: {x: !!binary aGk=}",
        "phases: {2020-01-01: {}}",
    ],
)
def test_hostile_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    tried["hostile YAML"] += 1
    with watched(tmp_path) as touched:
        one_line(lambda: checked(configs.read_config("own.yaml")))
    assert touched == []
    assert not (tmp_path / "pwned").exists()


parts = st.sampled_from(["results", "resources", "models", "p2", "bundled", "scores", "analysis", "report", "compare",
                         "archive", "..", ".", "", "gradxw_perlayer_k100", "mag_global_k0", "mag_global_k9999999999999",
                         "top_weights.csv", "plots", "bundled.json", *METRICS_BY_PATH])  # fmt: skip


@many
@given(st.lists(parts | names, max_size=6).map("/".join))
def test_any_target_is_known_or_refused_with_a_line(word: str) -> None:
    tried["target"] += 1
    config = configs.complete(DEFAULTS)
    files = one_line(lambda: target_files(word, config, {"all", "rank"})) or []
    missing_texts(files, config)
    for file in files:
        assert file.startswith(("results/", "resources/"))
        assert ".." not in file.split("/")


# Files of users: lists and texts


csv_words = st.sampled_from(["parameter", "indices", "sensitivity_score", "rank", "layer_group", '"(0, 1)"', "(0, 1)",
                             '"(1e9, -1)"', "1.5", "nan", "inf", "-1", "w.weight", '"', ",", "\n", "\r\n", "\0",
                             "=1+1"])  # fmt: skip
csv_files = st.binary(max_size=300) | st.lists(csv_words, max_size=40).map(lambda words: ",".join(words).encode())
GOOD = b"parameter,indices,sensitivity_score\n"
rows = st.lists(st.tuples(names, st.sampled_from(['"(0, 1)"', '"(0,)"', '"(0, -1)"', '"(9999999999999999999, 0)"',
                                                  '"__import__(\'os\').system(\'touch pwned\')"', "x"]),
                          st.sampled_from(["1", "0.5", "nan", "1e999", "x", ""])), min_size=1, max_size=5)  # fmt: skip
nearly = rows.map(lambda drawn: GOOD + "\n".join(",".join(row) for row in drawn).encode("utf-8", "replace"))


@fewer
@given(csv_files | nearly, st.booleans())
def test_any_bytes_as_a_list_of_weights(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, compressed: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "lists"
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_bytes(b"\x1f\x8b" * compressed + content)
    (folder / "b.csv").write_bytes(GOOD + b'w.weight,"(0, 1)",1.5\n')
    outputs = ("--overlap", folder / "overlap.csv", "--structure", folder / "structure.csv")
    ends_well(folder, "compare", "--lists", folder / "a.csv", folder / "b.csv", *outputs)
    assert not list(folder.rglob("pwned"))


json_lines = st.lists(values.map(lambda v: json.dumps(v, default=str)) | st.just('{"text": "a"}'), max_size=4)


@fewer
@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | json_lines.map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")),
    st.sampled_from([".txt", ".jsonl"]),
)
def test_any_bytes_as_texts(
    tmp_path_factory: pytest.TempPathFactory, record: Path, content: bytes, ending: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "texts"
    folder.mkdir(exist_ok=True)
    (folder / f"texts{ending}").write_bytes(content)
    calibrate(record, folder / f"texts{ending}")


HUGE = "a long line " * 100_000


@pytest.mark.parametrize(
    "name, content, status",
    [
        ("binary.txt", os.urandom(4096), 1),
        ("nul.txt", b"a text\0with\0nulls\nand more\n", 0),
        ("huge.txt", HUGE.encode(), 0),
        ("utf16.txt", "a text\nanother\n".encode("utf-16"), 1),
        ("latin1.txt", "caf\xe9 au lait\n".encode("latin-1"), 1),
        ("many.txt", b"\n" * 100_000, 1),
        ("special.txt", b"<|endoftext|> <s> </s>\n", 0),
        ("deep.jsonl", b"[" * 100_000 + b"]" * 100_000, 1),
        ("number.jsonl", b'{"text": "a", "n": ' + b"9" * 10_000 + b"}\n", None),
        ("surrogate.jsonl", b'{"text": "\\ud800"}\n', 1),
        ("folder.txt", None, 1),
        ("a b;touch pwned;$(touch pwned).txt", b"A text.\nAnother one.\n", 0),
    ],
)  # fmt: skip
def test_hostile_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Path, name: str, content: bytes | None, status: int | None
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name
    file.mkdir() if content is None else file.write_bytes(content)
    done = calibrate(record, file)
    assert status in (None, done)
    assert not list(tmp_path.rglob("pwned"))


# Archives


entry_names = st.sampled_from(["../x", "/etc/x", "a/../../x", "C:\\x", "a\\..\\x", "manifest.json", "MANIFEST.md", "a"])


@fewer
@given(st.lists(st.tuples(entry_names | names, st.binary(max_size=50)), max_size=5), st.binary(max_size=30),
       st.integers(0, 4))  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_zip_is_refused_and_nothing_is_unpacked(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes]], bytes_: bytes, cut: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "zips"
    folder.mkdir(exist_ok=True)
    path = folder / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name.encode("utf-8", "replace").decode().split("\0")[0] or "x", content)
    path.write_bytes(bytes_ + path.read_bytes()[cut * 7 :])
    for words in (("verify", path), ("compare", path, path)):
        assert ends_well(folder, "archive", *words) == 1
    assert {file.name for file in folder.iterdir()} == {"x.zip", "stage.log"}


@pytest.mark.parametrize("name", [name for name in NASTY if name not in ("con",)])
def test_models_and_phases_have_plain_names(name: str) -> None:
    """They are parts of paths and of commands."""
    tried["name"] += 1
    for section, entry in (("models", {"source": "bundled"}), ("phases", {}), ("compare", ["a.csv", "b.csv"])):
        errors = configs.config_errors(configs.merge(DEFAULTS, {section: {name: entry}}))
        assert len(errors) == 1, (section, name)
        assert "\n" not in str(errors[0])
