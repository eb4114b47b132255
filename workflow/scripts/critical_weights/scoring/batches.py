"""Texts packed into batches of equal width: sorted by length, filled up on the right, bounded in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

IGNORED = -100
"""Target of positions that predict nothing: the last one of a text, and padding."""


@dataclass(frozen=True)
class Batch:
    """Texts side by side, padded on the right.

    With causal attention a real token never sees what stands to its right, so no attention mask is needed and fused
    attention stays available; whoever uses a position's values takes the first ``lengths[s]`` of each row.

    Attributes:
        ids: (texts, width) token ids; padding repeats the text's first token, an id that surely exists.
        lengths: tokens of each text.
        places: place of each text among all of them.

    """

    ids: Tensor
    lengths: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def predicted(self) -> tuple[int, ...]:
        """Predicted positions of each text, T_s."""
        return tuple(n - 1 for n in self.lengths)

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(self.lengths)

    def targets(self) -> Tensor:
        """(texts, width) the next token of each position, :data:`IGNORED` where there is none."""
        targets = torch.full_like(self.ids, IGNORED)
        for row, length in enumerate(self.lengths):
            targets[row, : length - 1] = self.ids[row, 1:length]
        return targets

    def mask(self) -> Tensor:
        """(texts, width) True at real tokens."""
        positions = torch.arange(self.ids.shape[1], device=self.ids.device)
        return positions[None, :] < torch.tensor(self.lengths, device=self.ids.device)[:, None]


def pack(
    texts: Sequence[Sequence[int]], max_tokens: int, device: torch.device | str = "cpu", apart: int | None = None
) -> list[Batch]:
    """Pack texts into batches, longest first, each at most ``max_tokens`` wide times high (but at least one text).

    Sorting by length leaves little padding; longest first shows at once whether memory suffices.

    Args:
        texts: token ids of each text, at least two each.
        max_tokens: padded tokens a batch at most; 1 or less puts every text into a batch of its own.
        device: where the ids go.
        apart: texts of more tokens share no batch with others; see :func:`turn_of`.

    """
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
    batches = []
    start = 0
    while start < len(order):
        width = len(texts[order[start]])
        count = max(1, min(len(order) - start, max_tokens // width))
        if apart is not None and width > apart:
            count = sum(len(texts[i]) > apart for i in order[start : start + count])
        places = tuple(order[start : start + count])
        rows = [list(texts[i]) for i in places]
        padded = [row + [row[0]] * (width - len(row)) for row in rows]
        ids = torch.tensor(padded, dtype=torch.long, device=device)
        batches.append(Batch(ids, tuple(map(len, rows)), places))
        start += count
    return batches


def turn_of(config: PreTrainedConfig) -> int | None:
    """Return the tokens beyond which a model rotates positions otherwise, by the longest text of a batch; often None.

    Phi-3's longrope has two sets of frequencies and takes one for a whole batch, so that a short text beside a long one
    would be scored as another model's.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    sets = [rope, *(own for own in rope.values() if isinstance(own, dict))]
    if not any(own.get("rope_type") == "longrope" for own in sets):
        return None
    known = [own["original_max_position_embeddings"] for own in sets if own.get("original_max_position_embeddings")]
    return min(known, default=getattr(text, "original_max_position_embeddings", None))
