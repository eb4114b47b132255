"""Whether a model predicts each token from those before it alone, without which no loss of it means anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .batches import Batch, pack
from .uses import run_model

TOKENS = 4
"""Tokens of the text that is tried: the fewer, the larger a part of what it reads is a later token."""
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Allowed change of earlier positions, relative to that of the changed one: experts may group tokens otherwise."""


def check_causal(model: nn.Module, texts: Sequence[Sequence[int]]) -> None:
    """Refuse a model whose predictions depend on later tokens, such as an encoder: it sees what it is to predict.

    The last of a few tokens of the shortest text is changed: what the model says before it must stay.

    Args:
        model: in eval mode, its weights in memory.
        texts: token ids of each text, at least two each.

    Raises:
        ModelError: it sees later tokens.

    """
    batch = pack([min(texts, key=len)], 1, next(model.parameters()).device)[0]
    with torch.no_grad():
        refuse_ahead(model, lambda few: run_model(model, few), batch)


def refuse_ahead(model: nn.Module, give: Callable[[Batch], Tensor], batch: Batch) -> None:
    """Refuse a model of which values before a text's last position change with its last token.

    Args:
        model: for the message.
        give: returns (..., width, any size) values of a batch of one text.
        batch: its first text is tried; of equal tokens alone there is none to change it to.

    Raises:
        ModelError: they do.

    """
    length = min(TOKENS, batch.lengths[0])
    ids = batch.ids[:1, :length]
    others = batch.ids[batch.ids != ids[0, -1]]
    if not len(others):
        return
    changed = ids.clone()
    changed[0, -1] = others[0]
    one, other = (give(Batch(own, (length,), (0,))) for own in (ids, changed))
    change = (other - one).abs()
    if change[..., :-1, :].max() > _TOLERANCE[change.dtype] * change[..., -1, :].max():
        raise ModelError(
            f"{type(model).__name__} sees later tokens: what it says of one changes with the next",
            fix="Name a causal language model; of one that can be both, its config decides (is_decoder)",
        )
