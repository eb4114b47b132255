"""Whether model, facts and texts belong together: the workflow gives what does, a person who calls a stage may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import ModelError, TextError


def check_same_model(model: nn.Module, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the loaded model has exactly the tensors of its facts.

    Raises:
        ModelError: a name or a shape differs.

    """
    loaded = {name: list(p.shape) for name, p in model.named_parameters()}
    recorded = {name: t["shape"] for name, t in entries.items()}
    differ = sorted(name for name in loaded.keys() | recorded.keys() if loaded.get(name) != recorded.get(name))
    if differ:
        raise ModelError(
            f"the loaded model differs from its model.json in {len(differ)} tensors, first {differ[0]}",
            got=loaded.get(differ[0]),
            expected=recorded.get(differ[0]),
            fix="Delete model.json; the next run makes it again",
        )


def check_tokens(texts: Sequence[Sequence[int]], facts: Mapping[str, Any]) -> None:
    """Check that a model has every token of some texts.

    Args:
        texts: token ids of each text.
        facts: the model's (``model.json``).

    Raises:
        TextError: an id is not in its vocabulary.

    """
    largest = max((max(ids, default=0) for ids in texts), default=0)
    size = facts.get("vocab_size")  # the config of a kind of model may not tell
    if size is not None and largest >= size:
        raise TextError("the texts hold tokens that the model does not have", got=largest, expected=f"ids below {size}",
                        fix="Give the tokens.json of this model")  # fmt: skip
