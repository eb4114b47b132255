"""The evaluation texts of a model: tokens, and the facts on both sets, which must have no text in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import TextError
from ..files import sha256_json
from .calibration import TokenizedTexts, tokenize_for
from .shared_runs import count_overlap
from .tokenizer import tokenizer_sha256

_LIMITS = ("max_samples", "max_length", "seed")


def hold_out(
    record: dict[str, Any],
    tokens: Mapping[str, Any],
    *,
    evaluation: str,
    origin: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the contents of ``calibration.json`` and ``evaluation_tokens.json`` of one (phase, model).

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        tokens: ``tokens.json``, whose limits hold for these texts too.
        evaluation: evaluation texts, ``default`` or a file.
        origin: of a file that was made of a data set, its record.

    Raises:
        ConfigError: the limits leave nothing.
        TextError: the file cannot be used, holds a calibration text, or an id does not fit the model's vocabulary; or
            the model's tokenizer is no more the one that made ``tokens``.

    """
    facts = tokens["facts"]
    if tokenizer_sha256(record) != facts["tokenizer_sha256"]:
        raise TextError(
            "the tokenizer's files are not those that tokens.json was made with",
            fix="They changed in between: run calibrate.py again",
        )
    limits = {name: facts[name] for name in _LIMITS}
    kept, _, _ = tokenize_for(record, "evaluation", evaluation, **limits, origin=origin)
    _refuse_shared(tokens, kept, facts["max_length"])
    calibration = {
        **{key: facts[key] for key in ("phase", "model", "calibration")},
        "evaluation": kept.facts,
        **limits,
        "tokenizer_sha256": facts["tokenizer_sha256"],
        "sha256": tokens["calibration_sha256"],
        "evaluation_sha256": sha256_json(kept.ids),
        "overlap": count_overlap(tokens["calibration"], kept.ids),
    }
    return calibration, {"evaluation": kept.ids, "evaluation_sha256": calibration["evaluation_sha256"]}


def _refuse_shared(tokens: Mapping[str, Any], evaluation: TokenizedTexts, max_length: int) -> None:
    """Refuse evaluation texts that are calibration texts but for space around them, or are after the cut.

    Raises:
        TextError: some are.

    """
    whole = set(tokens["texts_sha256"])
    cut = {tuple(ids) for ids in tokens["calibration"]}
    pairs = [(text.strip(), tuple(ids)) for text, ids in zip(evaluation.texts, evaluation.ids, strict=True)]
    equal = {text for text, _ in pairs if sha256_json(text) in whole}
    shared = equal | {text for text, ids in pairs if ids in cut}
    if shared:
        cut_alone = bool(shared - equal)
        after = f" when cut to {max_length} tokens" if cut_alone else ""
        raise TextError(
            f"{len(shared)} evaluation texts are calibration texts too{after}, first '{min(shared)[:60]}'",
            fix="Damage must be measured on texts that the scores have not seen: remove them from one file, "
            + ("raise max_length, " if cut_alone else "")
            + "or, where they are headings of a data set, leave short rows out (min_characters)",
        )
