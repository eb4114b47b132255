"""Reading ``tokens.json``, and making sure that it is the one its ``calibration.json`` tells of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import TextError
from ..files import read_json, sha256_json

HASHES = {"calibration": "sha256", "evaluation": "evaluation_sha256"}
"""Which field of ``calibration.json`` holds the hash of which ids; an older file lacks the second."""


def read_tokens(path: str | Path, calibration: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read ``tokens.json``.

    Args:
        path: the file.
        calibration: the content of its ``calibration.json``; None for the one beside it, if there is one.

    Raises:
        TextError: its ids are others than those that ``calibration.json`` counted and hashed.

    """
    tokens, beside = read_json(path), Path(path).with_name("calibration.json")
    if calibration is None:
        calibration = read_json(beside) if beside.is_file() else {}
    for use, field in HASHES.items():
        expected = calibration.get(field)
        if expected and use in tokens and sha256_json(tokens[use]) != expected:
            raise TextError(
                f"the {use} ids of {path} are not those that its calibration.json tells of",
                fix="One of the two files was changed or copied from elsewhere: delete both, the next run makes them",
            )
    return tokens
