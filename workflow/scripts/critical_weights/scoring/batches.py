"""Texts packed into batches of equal width: sorted by length, filled up on the right, bounded in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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


def pack(texts: Sequence[Sequence[int]], max_tokens: int, device: torch.device | str = "cpu") -> list[Batch]:
    """Pack texts into batches, longest first, each at most ``max_tokens`` wide times high (but at least one text).

    Sorting by length leaves little padding; longest first shows at once whether memory suffices.

    Args:
        texts: token ids of each text, at least two each.
        max_tokens: padded tokens a batch at most; 1 or less puts every text into a batch of its own.
        device: where the ids go.

    """
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
    batches = []
    start = 0
    while start < len(order):
        width = len(texts[order[start]])
        count = max(1, min(len(order) - start, max_tokens // width))
        places = tuple(order[start : start + count])
        rows = [list(texts[i]) for i in places]
        padded = [row + [row[0]] * (width - len(row)) for row in rows]
        ids = torch.tensor(padded, dtype=torch.long, device=device)
        batches.append(Batch(ids, tuple(map(len, rows)), places))
        start += count
    return batches
