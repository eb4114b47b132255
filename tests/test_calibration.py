"""Texts to token ids: every count, what is dropped, drawn and cut, and one line for each file that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from critical_weights.errors import ConfigError, CriticalWeightsError, TextError
from critical_weights.files import sha256_json
from critical_weights.model.source import fetch_model
from critical_weights.texts import calibration
from critical_weights.texts.calibration import TokenizedTexts, calibrate, read_texts, tokenize
from critical_weights.texts.evaluation import hold_out
from critical_weights.texts.shared_runs import count_overlap
from critical_weights.texts.tokens_file import read_tokens
from tiny_models import BOS, EOS, SENTENCES, save_tiny_folder, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def _file(path: Path, *lines: str, ending: str = "\n") -> Path:
    path.write_bytes("".join(line + ending for line in lines).encode())
    return path


def _ids(text: str) -> list[int]:
    return TOKENIZER(text)["input_ids"]


def _tokenize(path: Path, max_samples: int = 100, max_length: int = 512, seed: int = 42) -> TokenizedTexts:
    return tokenize(
        str(path), "calibration", TOKENIZER, max_samples=max_samples, max_length=max_length, seed=seed
    )  # fmt: skip


# Reading


def test_a_txt_is_a_text_a_line_with_blank_ones_kept(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.txt", "one, two", "", "  ", "três\u2028four", "last")
    assert read_texts(path) == ["one, two", "", "  ", "três\u2028four", "last"]
    path.write_bytes(b"one\ntwo")
    assert read_texts(path) == ["one", "two"]


def test_windows_line_ends_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    """The mark once made three tokens of the first text."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_texts(tmp_path / "a.txt") == ["one", "two"]
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n')
    assert read_texts(tmp_path / "a.jsonl") == ["one"]


def test_a_jsonl_has_its_texts_under_text(tmp_path: Path) -> None:
    texts = ["one", "two\nlines", "", "é ‰"]
    path = _file(tmp_path / "a.jsonl", *(json.dumps({"id": 1, "text": t}) for t in texts), "")
    assert read_texts(path) == [*texts, ""]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.txt", None, "cannot be read: No such file"),
        ("a.txt", b"", "is empty. Give it one text a line"),
        ("a.txt", b"\n \n\t\n", "is empty"),
        ("a.txt", b"\xef\xbb\xbf\n", "is empty"),
        ("a.jsonl", b"\n", "is empty"),
        ("a.txt", b"good\n\xff\xfe bad", r"is not UTF-8 \(byte 5\)"),
        ("a.csv", b"x", "is of no known kind; got .csv; expected .txt or .jsonl"),
        ("texts", b"x", "got no ending"),
        ("a.jsonl", b'{"text": "x y"}\n{"text": ', "line 2 of .* is not JSON"),
        ("a.jsonl", b'\n{"txt": "x y"}', "line 2 of .* has no text; expected an object"),
        ("a.jsonl", b'{"text": 3}', "line 1 of .* has no text"),
        ("a.jsonl", b'["text"]', "line 1 of .* has no text"),
        ("a.jsonl", b'{"text": "\\ud83d x"}', "line 1 of .* has half a character"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TextError, match=words) as caught:
        read_texts(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


# Counting, drawing, cutting

LINES = [*SENTENCES, "", SENTENCES[0], "   ", "x", SENTENCES[0], SENTENCES[3]]


def test_every_text_of_a_file_is_kept_in_its_order_and_counted(tmp_path: Path) -> None:
    found = _tokenize(_file(tmp_path / "a.txt", *LINES))
    kept = [line for line in LINES if len(line.strip()) > 1]
    lengths = sorted(len(_ids(text)) for text in kept)
    assert found.texts == kept
    assert found.ids == [_ids(text) for text in kept]
    assert found.facts == {
        "source": "a.txt", "sha256": sha256_json(kept), "n_texts": 9, "n_tokens": sum(lengths),
        "n_predicted": sum(lengths) - 9, "n_read": 12, "n_blank": 2, "n_too_short": 1, "n_not_drawn": 0, "n_cut": 0,
        "n_duplicates": 3, "lengths": {"min": lengths[0], "median": lengths[4], "max": lengths[-1]},
    }  # fmt: skip


def test_long_texts_are_cut_and_counted_at_the_last_length_that_fits(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.txt", *SENTENCES)
    lengths = [len(_ids(text)) for text in SENTENCES]
    shortest = min(lengths)
    found = _tokenize(path, max_length=shortest)
    assert found.ids == [_ids(text)[:shortest] for text in SENTENCES]
    assert found.facts["n_cut"] == sum(n > shortest for n in lengths) > 0
    assert found.facts["lengths"] == {"min": shortest, "median": shortest, "max": shortest}
    assert found.facts["n_predicted"] == len(SENTENCES) * (shortest - 1)
    assert _tokenize(path, max_length=max(lengths)).facts["n_cut"] == 0


def test_duplicates_are_counted_after_the_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _file(tmp_path / "a.txt", *(f"the cat {word}" for word in ("sat", "sang", "slept", "sat")), "a small boat")
    length = len(_ids("the cat"))
    assert _tokenize(path).facts["n_duplicates"] == 1
    with caplog.at_level("INFO", "critical_weights"):
        assert _tokenize(path, max_length=length).facts["n_duplicates"] == 3
    assert "calibration: 3 of 5 texts have the same tokens as another one" in caplog.messages


def test_beyond_max_samples_the_seed_draws_and_the_order_stays(tmp_path: Path) -> None:
    texts = [f"{a} {b}" for a in ("red", "blue", "green", "old") for b in ("cat", "mat", "hat", "boat", "coat")]
    path = _file(tmp_path / "a.txt", *texts, "", "x")
    drawn = _tokenize(path, max_samples=7)
    assert len(drawn.texts) == 7
    assert drawn.texts == [t for t in texts if t in drawn.texts]
    assert (drawn.facts["n_texts"], drawn.facts["n_not_drawn"], drawn.facts["n_too_short"]) == (7, 13, 1)
    assert drawn.facts["n_read"] == 22
    assert _tokenize(path, max_samples=7).texts == drawn.texts
    others = {tuple(_tokenize(path, max_samples=7, seed=seed).texts) for seed in range(5)}
    assert len(others) == 5
    assert drawn.texts != texts[:7], "a draw, not the head"
    for size in (20, 1000):
        assert _tokenize(path, max_samples=size).texts == texts, "all of a file calibrates"


def test_short_and_blank_texts_are_dropped_before_the_draw(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.txt", *["x", ""] * 50, "the cat", "the mat")
    assert _tokenize(path, max_samples=2).texts == ["the cat", "the mat"]


def test_nothing_usable_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"no text of a\.txt has two tokens"):
        _tokenize(_file(tmp_path / "a.txt", "x", "y", ""))


@pytest.mark.parametrize("limits", [{"max_samples": 0}, {"max_samples": -1}, {"max_length": 1}, {"max_length": 0}])
def test_limits_that_leave_nothing_are_one_line(tmp_path: Path, limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="no text would be left to score; got max_samples"):
        _tokenize(_file(tmp_path / "a.txt", *SENTENCES), **limits)


def test_ids_are_the_tokenizers_default_call(tmp_path: Path) -> None:
    """No BOS is added where the tokenizer adds none, and none taken away where it does."""
    path = str(_file(tmp_path / "a.txt", "the cat"))
    with_bos = tokenize(path, "calibration", tiny_tokenizer(bos=True), max_samples=1, max_length=9, seed=0).ids
    assert with_bos == [[TOKENIZER.convert_tokens_to_ids(BOS), *_ids("the cat")]]
    assert _tokenize(Path(path)).ids == [_ids("the cat")]


# A whole calibration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_folder(tmp_path_factory.mktemp("m") / "tiny", "llama", max_position_embeddings=16)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "phase": "p2", "texts": str(_file(tmp_path / "a.txt", *SENTENCES[:4])),
        "evaluation": str(_file(tmp_path / "b.jsonl", *(json.dumps({"text": t}) for t in SENTENCES[4:]))),
        "max_samples": 3, "max_length": 12, "seed": 5,
    }  # fmt: skip


def _calibrate(
    folder: Path, settings: dict[str, Any], origins: dict[str, Any] | None = None, **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tokenise both sets; return ``calibration.json`` and the contents of both files of tokens."""
    record, given, origins = fetch_model("tiny", "local", path=str(folder)), settings | changes, origins or {}
    evaluation = given.pop("evaluation")
    tokens = calibrate(record, **given, origin=origins.get("calibration"))
    facts, held_out = hold_out(record, tokens, evaluation=evaluation, origin=origins.get("evaluation"))
    return facts, tokens | held_out


def test_facts_and_tokens_of_both_sets(folder: Path, settings: dict[str, Any]) -> None:
    facts, tokens = _calibrate(folder, settings)
    assert {key: facts[key] for key in ("phase", "model", "max_samples", "max_length", "seed")} == {
        "phase": "p2", "model": "tiny", "max_samples": 3, "max_length": 12, "seed": 5,
    }  # fmt: skip
    assert (facts["calibration"]["source"], facts["evaluation"]["source"]) == ("a.txt", "b.jsonl")
    assert (facts["calibration"]["n_texts"], facts["calibration"]["n_not_drawn"]) == (3, 1)
    assert facts["evaluation"]["n_texts"] == len(tokens["evaluation"]) == 2
    assert facts["sha256"] == tokens["calibration_sha256"] == sha256_json(tokens["calibration"])
    assert facts["evaluation_sha256"] == tokens["evaluation_sha256"] == sha256_json(tokens["evaluation"])
    assert tokens["evaluation"] == [_ids(text)[:12] for text in SENTENCES[4:]]
    assert len(tokens["vocabulary"]) == 300
    assert [tokens["vocabulary"][i] for i in _ids("the cat")] == TOKENIZER.tokenize("the cat")
    eos = TOKENIZER.convert_tokens_to_ids(EOS)
    assert tokens["special"] == {"bos": TOKENIZER.bos_token_id, "eos": eos, "unk": None, "pad": None}
    assert str(folder.parent) not in json.dumps([facts, tokens])
    assert _calibrate(folder, settings) == (facts, tokens)


def test_max_length_is_lowered_to_the_models_positions(
    folder: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    long = " ".join(SENTENCES[:4])
    Path(settings["texts"]).write_text(long)
    with caplog.at_level("INFO", "critical_weights"):
        facts, tokens = _calibrate(folder, settings, max_length=512)
    assert facts["max_length"] == 16
    assert tokens["calibration"] == [_ids(long)[:16]]
    assert "max_length 512 lowered to 16: the model has no more positions" in caplog.messages
    assert "calibration: 1 of 1 texts cut to 16 tokens" in caplog.messages


@pytest.mark.parametrize("positions, length", [(-1, 12), (0, 12), (1, None), (5, 5)])
def test_a_limit_that_is_none_is_no_limit(
    settings: dict[str, Any], tmp_path: Path, positions: int, length: int | None
) -> None:
    """XLNet's config says -1."""
    folder = save_tiny_folder(tmp_path / "tiny", "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": positions}))
    if length is None:
        with pytest.raises(ConfigError, match="max_length 1"):
            _calibrate(folder, settings)
    else:
        assert _calibrate(folder, settings)[0]["max_length"] == length


def test_overlap_is_refused_with_its_count(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    both = _file(tmp_path / "both.txt", "fresh words here", f"  {SENTENCES[1]} ", SENTENCES[0], SENTENCES[0])
    with pytest.raises(TextError, match="2 evaluation texts are calibration texts too, first 'A small boat"):
        _calibrate(folder, settings, evaluation=str(both), max_samples=100)


def test_texts_that_are_equal_after_the_cut_are_overlap(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    """Of texts that begin alike nothing else may be left; runs of 13 tokens do not tell of so short ones."""
    ids = _ids(SENTENCES[0])
    length = 12
    other = TOKENIZER.decode(ids[:length]) + " sun and moon"
    assert _ids(other)[:length] == ids[:length]
    both = str(_file(tmp_path / "both.txt", "fresh words here", other))
    words = (
        f"1 evaluation texts are .* too when cut to {length} tokens, first 'The cat.*: remove .*, raise max_length, or"
    )
    with pytest.raises(TextError, match=words):
        _calibrate(folder, settings, evaluation=both, max_samples=100, max_length=length)
    _, tokens = _calibrate(folder, settings, evaluation=both, max_samples=100, max_length=length + 1)
    assert tokens["evaluation"][1] == _ids(other)[: length + 1]


def test_a_word_in_common_is_no_overlap(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    facts, _ = _calibrate(folder, settings, evaluation=str(_file(tmp_path / "c.txt", SENTENCES[0][:-1])))
    assert facts["evaluation"]["n_texts"] == 1


def test_runs_that_evaluation_texts_share_are_counted() -> None:
    calibration = [list(range(40)), [7, 7, 7]]
    evaluation = [list(range(20, 33)), list(range(20, 32)), [99, *range(5, 20), 98], [1, 3] * 10, [7, 7, 7]]

    def shared(text: list[int]) -> int:
        runs = [text[i : i + 13] for i in range(len(text) - 12)]
        return sum(any(run == c[i : i + 13] for c in calibration for i in range(len(c) - 12)) for run in runs)

    counts = [shared(text) for text in evaluation]
    assert counts == [1, 0, 3, 0, 0]
    found = count_overlap(calibration, evaluation)
    assert found == {"run": 13, "texts": 2, "positions": sum(counts)}


def test_a_data_set_is_named_with_its_record(folder: Path, settings: dict[str, Any]) -> None:
    origin = {"dataset": "owner/set", "config": None, "split": "test", "commit": "c" * 40}
    facts, _ = _calibrate(folder, settings, origins={"calibration": origin})
    assert (facts["calibration"]["source"], facts["calibration"]["dataset"]) == ("owner/set/test", origin)
    assert facts["evaluation"]["source"] == "b.jsonl"
    facts, _ = _calibrate(folder, settings, origins={"evaluation": origin})
    assert (facts["calibration"]["source"], facts["evaluation"]["dataset"]) == ("a.txt", origin)


def test_tokens_changed_by_hand_are_refused(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    _, tokens = _calibrate(folder, settings)
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps(tokens))
    assert read_tokens(file) == tokens
    for use in ("calibration", "evaluation"):
        other = {**tokens, use: [*tokens[use][:-1], [*tokens[use][-1][:-1], 5]]}
        file.write_text(json.dumps(other))
        with pytest.raises(TextError, match=f"the {use} ids of .* are not those that it was made with"):
            read_tokens(file)


def test_what_scoring_reads_does_not_depend_on_the_evaluation_texts(
    folder: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    before, after = (
        _calibrate(folder, settings, evaluation=str(_file(tmp_path / name, *texts)))
        for name, texts in (("one.txt", SENTENCES[4:]), ("two.txt", ["Nobody had heard of the other boat."]))
    )
    differing = {key for key in before[1] if before[1][key] != after[1][key]}
    assert differing == {"evaluation", "evaluation_sha256"}
    assert {key for key in before[0] if before[0][key] != after[0][key]} == {"evaluation", "evaluation_sha256"}


def test_tokens_of_another_tokenizer_are_refused(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    given = {key: value for key, value in settings.items() if key != "evaluation"}
    tokens = calibrate(fetch_model("tiny", "local", path=str(folder)), **given)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "tokenizer_config.json").write_text((copy / "tokenizer_config.json").read_text() + "\n")
    with pytest.raises(TextError, match=r"files are not those that tokens\.json was made with"):
        hold_out(fetch_model("tiny", "local", path=str(copy)), tokens, evaluation=settings["evaluation"])


def test_a_tokenizer_of_another_model_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    small = save_tiny_folder(tmp_path / "small", "llama", vocab_size=100)
    words = r"token id \d\d\d of the calibration texts does not fit the model's vocabulary of 100"
    with pytest.raises(TextError, match=words):
        _calibrate(small, settings)


def test_rows_that_pad_the_vocabulary_have_no_token(settings: dict[str, Any], tmp_path: Path) -> None:
    _, tokens = _calibrate(save_tiny_folder(tmp_path / "padded", "llama", vocab_size=320), settings)
    assert len(tokens["vocabulary"]) == 320
    assert tokens["vocabulary"][300:] == [""] * 20
    assert all(tokens["vocabulary"][:300])


def test_default_texts_are_used_by_name(
    folder: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {use: Path(settings[key]) for use, key in (("calibration", "texts"), ("evaluation", "evaluation"))}
    monkeypatch.setattr(calibration, "DEFAULT_TEXTS", files)
    facts, tokens = _calibrate(folder, settings, texts="default", evaluation="default")
    assert (facts["calibration"]["source"], facts["evaluation"]["source"]) == ("default", "default")
    assert tokens | {"facts": None} == _calibrate(folder, settings)[1] | {"facts": None}


def test_the_tokenizers_hash_follows_its_files(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    before = _calibrate(folder, settings)[0]["tokenizer_sha256"]
    assert _calibrate(copy, settings)[0]["tokenizer_sha256"] == before
    (copy / "tokenizer_config.json").write_text((copy / "tokenizer_config.json").read_text() + "\n")
    assert _calibrate(copy, settings)[0]["tokenizer_sha256"] != before


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_missing_or_damaged_tokenizer_is_one_line(
    folder: Path, settings: dict[str, Any], tmp_path: Path, content: str | None
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    for file in copy.glob("token*"):
        file.unlink()
    if content is not None:
        (copy / "tokenizer.json").write_text(content)
    with pytest.raises(CriticalWeightsError, match="the tokenizer of model 'tiny' cannot be loaded") as caught:
        _calibrate(copy, settings)
    assert (f"there is none in {copy}" in str(caught.value)) == (content is None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["qwen2", "gpt2", "gemma2", "gpt_neox", "llama"])
@pytest.mark.parametrize("config_of_none", [False, True])
def test_a_model_without_a_tokenizer_is_told_so_and_not_its_texts(
    settings: dict[str, Any], tmp_path: Path, name: str, *, config_of_none: bool
) -> None:
    """Of many kinds of model transformers makes a tokenizer of special tokens alone where there is no file."""
    folder = save_tiny_folder(tmp_path / "none", name)
    for file in folder.glob("*token*"):
        file.unlink()
    if config_of_none:
        (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(TextError, match="the tokenizer of model 'tiny' cannot be loaded") as caught:
        _calibrate(folder, settings)
    assert "The model's folder must hold its tokenizer, such as tokenizer.json" in str(caught.value)
    assert (f"there is none in {folder}" in str(caught.value)) != config_of_none
    assert "\n" not in str(caught.value)
