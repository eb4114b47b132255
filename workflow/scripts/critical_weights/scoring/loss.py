"""The loss that everything here differentiates: summed next-token negative log-likelihood of one text, in nats."""

from __future__ import annotations

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


def accumulator_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that statistics are summed in: float64 for a float64 model, else float32."""
    return torch.promote_types(dtype, torch.float32)
