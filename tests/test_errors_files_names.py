"""The seam that every stage stands on: messages, whole files, names of experiments, log lines."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from critical_weights import errors, log
from critical_weights.errors import ConfigError, CriticalWeightsError, near_names, unknown
from critical_weights.files import (
    fingerprint,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
    written_whole,
)
from critical_weights.metrics import METRICS
from critical_weights.names import MODES, Experiment, parse_experiment, parse_k

PHASES = ["p1_baseline", "p1.1_baseline", "p2"]
MODELS = ["bundled", "gpt2", "llama31_8b"]

# Errors


def test_a_message_is_one_line_fact_got_expected_near_fix() -> None:
    error = CriticalWeightsError("the k\n is wrong.", got=0, expected="1 or more", near=["10", "100"], fix="Give  a k.")
    assert str(error) == "the k is wrong; got 0; expected 1 or more. Did you mean 10 or 100? Give a k."
    assert str(CriticalWeightsError("a fact")) == "a fact."


def test_got_none_is_left_out_but_zero_and_empty_are_told() -> None:
    assert str(CriticalWeightsError("x", got=None)) == "x."
    assert str(CriticalWeightsError("x", got=0, expected=False)) == "x; got 0; expected False."


def test_every_error_is_of_the_one_family() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) == 9
    assert all(issubclass(kind, CriticalWeightsError) for kind in kinds)


def test_near_names_come_best_first_and_far_ones_not_at_all() -> None:
    assert near_names("gradsqq", ["mag", "gradsq", "gradxw"])[0] == "gradsq"
    assert near_names("zzz", ["mag", "gradsq"]) == []


def test_unknown_names_the_kind_the_near_and_all_known_sorted() -> None:
    error = unknown("mode", "globl", MODES)
    assert isinstance(error, ConfigError)
    assert str(error) == "unknown mode 'globl'. Did you mean global? Known: global, perblock, perlayer."
    assert isinstance(unknown("x", "y", [], errors.ModelError), errors.ModelError)
    assert str(unknown("x", "y", [])).endswith("Known: none.")
    many = str(unknown("model", "q", [f"m{i:02}" for i in range(23)]))
    assert "m19 and 3 more." in many
    assert "m20" not in many


# Files


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_written_whole_moves_into_place_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"
    write_text(path, "old")
    with written_whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == path.parent
    assert path.read_text() == "new"
    assert _names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_all_is_as_before(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with written_whole(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CriticalWeightsError, match=r"cannot write .*file/a\.txt: .*choose another place\.$"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_folder_in_the_place_of_the_file_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(CriticalWeightsError, match=r"cannot write .*; got a folder"), written_whole(tmp_path):
        pytest.fail("the work was begun")
    assert _names(tmp_path) == []


def test_nobody_is_told_to_delete_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("no JSON")
    with pytest.raises(CriticalWeightsError, match=r"If the workflow made it, delete it: .* Else name the right file"):
        read_json(tmp_path / "a.json")


def test_json_keeps_order_and_letters_and_refuses_nan(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "Ġé\n"}
    write_json(tmp_path / "v.json", value)
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "v.json") == value
    assert text.index('"b"') < text.index('"a"')
    assert "Ġé" in text
    assert text.endswith("}\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", {"x": float("nan")})
    assert _names(tmp_path) == ["v.json"]


@pytest.mark.parametrize(
    "content, words", [(b"{", "not valid JSON"), (b"\xff\xfe", "not valid JSON"), (None, "No such file")]
)
def test_a_damaged_or_missing_json_is_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CriticalWeightsError, match=words) as caught:
        read_json(path)
    assert "x.json" in str(caught.value)


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_json({"a": 1, "b": [2, "é"]}) == sha256_json({"b": [2, "é"], "a": 1})
    assert sha256_json([1, 2]) == hashlib.sha256(b"[1,2]").hexdigest()
    assert sha256_json([1, 2]) != sha256_json([2, 1])


# Names


@pytest.mark.parametrize("metric", [m.path for m in METRICS.values()])
@pytest.mark.parametrize("mode", MODES)
def test_every_metric_and_mode_round_trips(metric: str, mode: str) -> None:
    experiment = parse_experiment(f"p1.1_baseline/llama31_8b/{metric}_{mode}_k100", PHASES, MODELS)
    assert experiment == Experiment("p1.1_baseline", "llama31_8b", metric, mode, 100)
    assert parse_experiment(experiment.path, PHASES, MODELS) == experiment
    assert experiment.label == f"{metric}_{mode}_k100"
    assert METRICS[experiment.metric_full] is experiment.definition
    assert experiment.definition.path == metric


@pytest.mark.parametrize("before", ["", "./", "results/", "./results/"])
@pytest.mark.parametrize("after", ["", "/"])
def test_spellings_of_the_same_path(before: str, after: str) -> None:
    found = parse_experiment(f"{before}p2/gpt2/gradsq_global_k7{after}", PHASES, MODELS)
    assert found.path == "p2/gpt2/gradsq_global_k7"


@pytest.mark.parametrize(
    "path, words",
    [
        ("p2/gpt2", "'p2/gpt2' is no experiment"),
        ("p2/gpt2/gradsq_global_k7/plots/x", "is no experiment"),
        ("p3/gpt2/gradsq_global_k7", "unknown phase 'p3'. Did you mean p2"),
        ("p2/gpt3/gradsq_global_k7", "unknown model 'gpt3'. Did you mean gpt2"),
        ("p2/gpt2/gradsqr_global_k7", "unknown metric 'gradsqr'. Did you mean gradsq"),
        ("p2/gpt2/grad_squared_global_k7", "unknown metric 'grad_squared'. Did you mean gradsq"),
        ("p2/gpt2/gradsq_perlayr_k7", "unknown mode 'perlayr'. Did you mean perlayer"),
        ("p2/gpt2/gradsq_per_layer_k7", "unknown mode 'per_layer'. Did you mean perlayer"),
        ("p2/gpt2/grad_squared_per_layer_k7", "unknown metric 'grad_squared'. Did you mean gradsq"),
        ("p2/gpt2/gradsq_global_7", "'gradsq_global_7' is no run name"),
        ("p2/gpt2/gradsq_global_k0", "k is the number of weights to select; got '0'"),
        ("p2/gpt2/gradsq_global_k", "got ''"),
        ("p2/gpt2/gradsq_global_k7\n", "got '7 '"),
    ],
)
def test_a_wrong_path_names_its_bad_part(path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_experiment(path, PHASES, MODELS)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0", "-1", "007", "1.0", "1e3", "", " 1", "٣"])
def test_k_is_a_whole_number_spelled_one_way(text: str) -> None:
    with pytest.raises(ConfigError, match="whole number from 1 up"):
        parse_k(text)
    assert parse_k("100") == parse_k(100) == 100


# Log lines


@pytest.mark.parametrize(
    "value, text",
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (190, "3 min 10 s"), (3599.7, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_for_people(value: float, text: str) -> None:
    assert log.seconds(value) == text


def test_progress_passes_items_on_and_tells_the_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 3))
    monkeypatch.setattr(log.time, "monotonic", lambda: float(next(now)))
    with caplog.at_level(logging.INFO, "critical_weights"):
        assert list(log.progress("abcd", 4, "pass", "texts")) == list("abcd")
    assert caplog.messages[0] == "pass: 2 of 4 texts, 6.0 s so far, about 6.0 s left"
    assert caplog.messages[-1] == "pass: 4 texts done in 15 s"
    assert not [m for m in caplog.messages if m.startswith("pass: 4 of 4")]


def test_a_choice_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "critical_weights"):
        log.choice("dtype", "bfloat16", "the checkpoint's own", log.logger("a.model.load"))
    assert caplog.record_tuples == [("critical_weights.load", logging.INFO, "dtype: bfloat16 (the checkpoint's own)")]


def test_fingerprint_tells_small_files_by_content_and_large_ones_by_size_and_time(tmp_path: Path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"a")
    large.write_bytes(b"a" * 1_000_001)
    before = {file: fingerprint([file]) for file in (small, large)}
    assert len(set(before.values())) == 2
    for file in (small, large):
        os.utime(file, (1e9, 1e9))
    assert fingerprint([small]) == before[small]
    assert fingerprint([large]) != before[large]
    small.write_bytes(b"b")
    assert fingerprint([small]) != before[small]
    other = tmp_path / "x" / "small"
    other.parent.mkdir()
    other.write_bytes(b"b")
    assert fingerprint([small]) == fingerprint([str(other)])
    assert fingerprint([]) == fingerprint([tmp_path / "none"]) == ""
