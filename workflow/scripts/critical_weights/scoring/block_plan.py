"""What bounds the memory of the engines that go block by block."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BlockPlan:
    """What bounds the block engine's memory.

    Attributes:
        batch_tokens: padded tokens a batch at most.
        chunk_rows: rows of head and embedding at a time; None for all of them.
        keep_logits: whether the gradients of all logits are kept until they are used last.
        by_text: whether each text's own gradient is kept at a tensor's first candidates; see :mod:`.text_gradients`.
        inputs: where the blocks' inputs are kept: ``device``, ``host`` or ``disk``.
        scratch: folder for inputs on disk.

    """

    batch_tokens: int = 2048
    chunk_rows: int | None = None
    keep_logits: bool = True
    by_text: bool = False
    inputs: str = "device"
    scratch: Path | None = None
