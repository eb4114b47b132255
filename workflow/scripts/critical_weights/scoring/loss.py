"""The loss that everything here differentiates: summed next-token negative log-likelihood of one text, in nats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


def text_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Return L_s, the sum over predicted positions of one text's negative log-likelihood.

    Args:
        model: a causal LM in eval mode.
        ids: (1, tokens) token ids, no padding.

    Returns:
        A scalar, float32 or wider whatever the model's dtype.

    """
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(logits, ids[0, 1:], reduction="sum")


@contextmanager
def every_token_counts(model: nn.Module) -> Iterator[None]:
    """Have autograd give the embedding row of the padding token its gradient too; undone afterwards.

    An embedding made with a ``padding_idx`` gets no gradient there, although a real text may hold that token.
    """
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    before = [m.padding_idx for m in embeddings]
    try:
        for module in embeddings:
            module.padding_idx = None
        yield
    finally:
        for module, index in zip(embeddings, before, strict=True):
            module.padding_idx = index


def refuse_train_mode(model: nn.Module) -> None:
    """Check that a model is in eval mode.

    Raises:
        ValueError: it is in train mode (a mistake in the calling code).

    """
    if model.training:
        raise ValueError("the model is in train mode: dropout would make scores random; call model.eval()")


def accumulator_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that statistics are summed in: float64 for a float64 model, else float32."""
    return torch.promote_types(dtype, torch.float32)
