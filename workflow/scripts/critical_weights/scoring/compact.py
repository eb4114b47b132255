"""The embedding cut down to the rows that the texts use: a large vocabulary's other rows are never needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .batches import Batch


def used_tokens(batches: Sequence[Batch]) -> Tensor:
    """Return the distinct token ids of all batches, padding included, ascending."""
    return torch.unique(torch.cat([batch.ids.reshape(-1) for batch in batches]))


@contextmanager
def compact_embedding(
    module: nn.Embedding, tokens: Tensor, read_rows: Callable[[Tensor], Tensor]
) -> Iterator[nn.Parameter]:
    """Give an embedding only some rows for a while; token ids are looked up among them.

    Args:
        module: the model's input embedding.
        tokens: distinct token ids, ascending: the rows.
        read_rows: gives the weight's rows of these tokens, (tokens, size).

    Yields:
        The compact weight, without gradient.

    """
    whole, padding = module.weight, module.padding_idx
    compact = nn.Parameter(read_rows(tokens), requires_grad=False)
    hook = module.register_forward_pre_hook(lambda _, arguments: (torch.searchsorted(tokens, arguments[0]),))
    module.weight, module.padding_idx = compact, None
    try:
        yield compact
    finally:
        hook.remove()
        module.weight, module.padding_idx = whole, padding
