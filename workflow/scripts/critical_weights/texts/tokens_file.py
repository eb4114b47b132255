"""Reading ``tokens.json`` and ``evaluation_tokens.json``, whose ids must be those that were counted and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import TextError
from ..files import read_json, sha256_json


def read_tokens(path: str | Path) -> dict[str, Any]:
    """Read a file of token ids.

    Raises:
        TextError: its ids are others than those that were counted and hashed.

    """
    tokens = read_json(path)
    for use in ("calibration", "evaluation"):
        expected = tokens.get(f"{use}_sha256")
        if expected and use in tokens and sha256_json(tokens[use]) != expected:
            raise TextError(
                f"the {use} ids of {path} are not those that it was made with",
                fix="It was changed by hand: delete it, the next run makes it again",
            )
    return tokens
