"""Texts to token ids: what is read, dropped, drawn and cut, all counted; and the calibration texts of a model."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, TextError
from ..files import sha256_json
from ..log import logger
from ..model.source import RESOURCES
from .dataset_texts import label
from .tokenizer import load_tokenizer, tokenizer_sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT_ENDINGS = (".txt", ".jsonl")
DEFAULT_TEXTS = {use: RESOURCES / "texts" / f"{use}.txt" for use in ("calibration", "evaluation")}


@dataclass(frozen=True)
class TokenizedTexts:
    """Texts ready for a model.

    Attributes:
        ids: token ids of each kept text, in file order.
        facts: counts of what was read, dropped, drawn and cut, and the texts' hash.
        texts: the kept texts.

    """

    ids: list[list[int]]
    facts: dict[str, Any]
    texts: list[str]


def read_texts(path: Path) -> list[str]:
    """Read a .txt (a text a line) or a .jsonl (key ``text``) file; blank ones are kept here, to be counted.

    Raises:
        TextError: the file is missing, of another kind, not UTF-8, empty, or has a line without a text.

    """
    if path.suffix not in TEXT_ENDINGS:
        got = path.suffix or "no ending"
        raise TextError(f"text file {path} is of no known kind", got=got, expected=".txt or .jsonl")
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")  # a byte order mark is no part of the first text
    except OSError as error:
        raise TextError(f"text file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextError(f"text file {path} is not UTF-8 (byte {error.start})", fix="Convert it to UTF-8") from error
    if lines and lines[-1] == "":
        lines.pop()
    if not any(line.strip() for line in lines):
        raise TextError(f"text file {path} is empty", fix="Give it one text a line")
    lines = [line.removesuffix("\r") for line in lines]
    return lines if path.suffix == ".txt" else [_json_text(line, path, n) for n, line in enumerate(lines, 1)]


def _json_text(line: str, path: Path, number: int) -> str:
    if not line.strip():
        return ""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TextError(f"line {number} of {path} is not JSON ({getattr(error, 'msg', error)})") from error
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise TextError(f"line {number} of {path} has no text", expected='an object such as {"text": "..."}')
    try:
        value["text"].encode()
    except UnicodeEncodeError as error:
        raise TextError(f"line {number} of {path} has half a character (an escaped surrogate)") from error
    return value["text"]


def tokenize(
    source: str, use: str, tokenizer: PreTrainedTokenizerBase, *, max_samples: int, max_length: int, seed: int
) -> TokenizedTexts:
    """Turn a text file into token ids, exactly as the tokenizer's default call gives them.

    Blank texts and texts under two tokens are dropped first; then, if more than ``max_samples`` are left, the seed
    draws that many, in file order; then each is cut to ``max_length`` tokens. Duplicates, texts of the same ids after
    the cut, are kept and counted.

    Args:
        source: ``default`` or a file.
        use: ``calibration`` or ``evaluation``: which default, and the word in messages.
        tokenizer: the model's.
        max_samples: texts at most.
        max_length: tokens a text at most.
        seed: of the draw.

    Raises:
        ConfigError: ``max_samples`` is below 1 or ``max_length`` below 2.
        TextError: nothing usable is left; or what :func:`read_texts` raises.

    """
    if max_samples < 1 or max_length < 2:
        got = f"max_samples {max_samples} and max_length {max_length}"
        raise ConfigError("no text would be left to score", got=got, expected="at least 1 and at least 2")
    path = DEFAULT_TEXTS[use] if source == "default" else Path(source)
    lines = read_texts(path)
    texts = [line for line in lines if line.strip()]
    encoded = [list(ids) for ids in tokenizer(texts)["input_ids"]] if texts else []
    usable = [i for i, ids in enumerate(encoded) if len(ids) >= 2]
    if not usable:
        raise TextError(f"no text of {path.name} has two tokens", fix="A text needs at least one token to predict")
    kept = usable
    if len(usable) > max_samples:
        kept = sorted(random.Random(seed).sample(usable, max_samples))
        logger(__name__).info("%s: %d of %d texts drawn by seed %d (max_samples)", use, max_samples, len(usable), seed)
    cut = sum(len(encoded[i]) > max_length for i in kept)
    if cut:
        logger(__name__).info("%s: %d of %d texts cut to %d tokens", use, cut, len(kept), max_length)
    ids = [encoded[i][:max_length] for i in kept]
    kept_texts = [texts[i] for i in kept]
    repeated = len(ids) - len(set(map(tuple, ids)))
    if repeated:
        logger(__name__).info("%s: %d of %d texts have the same tokens as another one", use, repeated, len(ids))
    lengths = [len(x) for x in ids]
    facts = {
        "source": "default" if source == "default" else path.name,
        "sha256": sha256_json(kept_texts),
        "n_texts": len(ids),
        "n_tokens": sum(lengths),
        "n_predicted": sum(lengths) - len(ids),
        "n_read": len(lines),
        "n_blank": len(lines) - len(texts),
        "n_too_short": len(texts) - len(usable),
        "n_not_drawn": len(usable) - len(kept),
        "n_cut": cut,
        "n_duplicates": repeated,
        "lengths": {"min": min(lengths), "median": median(lengths), "max": max(lengths)},
    }
    return TokenizedTexts(ids, facts, kept_texts)


def tokenize_for(
    record: dict[str, Any],
    use: str,
    source: str,
    *,
    max_samples: int,
    max_length: int,
    seed: int,
    origin: dict[str, Any] | None,
) -> tuple[TokenizedTexts, PreTrainedTokenizerBase, dict[str, int]]:
    """Turn a text file into token ids of a fetched model.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        use: ``calibration`` or ``evaluation``.
        source: ``default`` or a file.
        max_samples: texts at most.
        max_length: tokens of a text at most; lowered to the model's positions.
        seed: of the draw.
        origin: of a file that was made of a data set, its record.

    Returns:
        The texts, the tokenizer, and the sizes that held: ``vocabulary`` and ``max_length``.

    Raises:
        ConfigError: ``max_samples`` or ``max_length`` leaves nothing.
        TextError: the file cannot be used, or an id does not fit the model's vocabulary.

    """
    tokenizer, vocabulary, positions = load_tokenizer(record)
    if positions and positions < max_length:
        logger(__name__).info("max_length %d lowered to %d: the model has no more positions", max_length, positions)
        max_length = positions
    texts = tokenize(source, use, tokenizer, max_samples=max_samples, max_length=max_length, seed=seed)
    if origin:
        texts.facts.update(source=label(origin), dataset=origin)
    largest = max(max(ids) for ids in texts.ids)
    if largest >= vocabulary:
        raise TextError(
            f"token id {largest} of the {use} texts does not fit the model's vocabulary of {vocabulary}",
            fix="The tokenizer belongs to another model",
        )
    return texts, tokenizer, {"vocabulary": vocabulary, "max_length": max_length}


def calibrate(
    record: dict[str, Any],
    *,
    phase: str,
    texts: str,
    max_samples: int,
    max_length: int,
    seed: int,
    origin: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the content of ``tokens.json`` of one (phase, model): all that scoring reads of texts.

    Nothing in it depends on the evaluation texts, so that others of these score nothing again.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        phase: its name.
        texts: calibration texts, ``default`` or a file.
        max_samples: texts of each use at most.
        max_length: tokens of a text at most.
        seed: of the draw.
        origin: of a file that was made of a data set, its record.

    Returns:
        ``calibration`` ids of each text with their hash; ``vocabulary`` and ``special`` tokens; ``facts`` for
        ``calibration.json``; ``texts_sha256``, by which evaluation texts are told apart from these.

    Raises:
        ConfigError: ``max_samples`` or ``max_length`` leaves nothing.
        TextError: the file cannot be used, or an id does not fit the model's vocabulary.

    """
    limits = {"max_samples": max_samples, "max_length": max_length, "seed": seed}
    kept, tokenizer, sizes = tokenize_for(record, "calibration", texts, **limits, origin=origin)
    vocabulary = [""] * sizes["vocabulary"]  # at once: a config of 2^40 tokens ends here, before memory fills up
    for token, number in tokenizer.get_vocab().items():  # some leave ids out, some have more than the model
        if number < len(vocabulary):
            vocabulary[number] = token
    return {
        "calibration": kept.ids,
        "calibration_sha256": sha256_json(kept.ids),
        "vocabulary": vocabulary,
        "special": {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")},
        "facts": {
            "phase": phase,
            "model": record["model"],
            "calibration": kept.facts,
            **limits,
            "max_length": sizes["max_length"],
            "tokenizer_sha256": tokenizer_sha256(record),
        },
        "texts_sha256": [sha256_json(text.strip()) for text in kept.texts],
    }
