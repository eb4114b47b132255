"""What stands outside the blocks: embedding, head, and the few small tensors beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel

from ..errors import ModelError
from .head import Chunk, LogitShape
from .uses import Use, embedding_scale

if TYPE_CHECKING:
    from .batches import Batch
    from .stack import Stack
    from .weights import Weights


@dataclass(frozen=True)
class Outside:
    """The tensors outside the blocks, by their use.

    Attributes:
        embedding: name of the input embedding's weight.
        head: name of the head's weight; the embedding's where they are tied.
        head_bias: name of the head's bias, or None.
        others: the rest: final norm, learned positions, ...
        vocabulary: rows of embedding and head.

    """

    embedding: str
    head: str
    head_bias: str | None
    others: tuple[str, ...]
    vocabulary: dict[str, int]

    @property
    def tied(self) -> bool:
        """Whether embedding and head are one tensor."""
        return self.embedding == self.head

    @classmethod
    def find(cls, model: PreTrainedModel, groups: dict[str, list[Use]], names: Iterable[str]) -> Outside:
        """Sort the tensors outside the blocks.

        Raises:
            ModelError: embedding or head are no plain matrices, or are used elsewhere too.

        """
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        found: dict[str, str] = {}
        for name in names:
            kinds = sorted(use.kind for use in groups[name])
            modules = {id(use.module) for use in groups[name]}
            if id(embedding) in modules and kinds in (["embedding"], ["embedding", "linear"]):
                found["embedding"] = name
            if id(head) in modules and kinds in (["linear"], ["embedding", "linear"]):
                found["head"] = name
            if id(head) in modules and kinds == ["bias"]:
                found["bias"] = name
            if len(kinds) > 1 and kinds != ["embedding", "linear"]:
                raise ModelError(f"{name} is used {len(kinds)} times, in ways that cannot be told apart")
        if "embedding" not in found or "head" not in found:
            raise ModelError(f"{type(model).__name__} has no plain embedding or no plain head")
        special = set(found.values())
        return cls(
            embedding=found["embedding"],
            head=found["head"],
            head_bias=found.get("bias"),
            others=tuple(name for name in names if name not in special),
            vocabulary={found["embedding"]: embedding.weight.shape[0], found["head"]: head.weight.shape[0]},
        )

    def chunks(self, rows: int | None, name: str | None = None) -> list[slice]:
        """Return the slices of rows that go together; all rows at once where ``rows`` is None."""
        count = self.vocabulary[name or self.head]
        step = rows or count
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

    def read(self, weights: Weights, rows: slice) -> Chunk:
        """Return some rows of the head."""
        bias = weights.rows(self.head_bias, rows) if self.head_bias else None
        return Chunk(rows, weights.rows(self.head, rows), bias)

    @staticmethod
    def scale(module: nn.Module) -> float:
        """Return the factor between a row of the embedding and its output."""
        return embedding_scale(module)

    def logit_shape(self, stack: Stack, batch: Batch) -> LogitShape:
        """Return what the model does to its head's output: read from its config, and tried.

        Raises:
            ModelError: it does something else.

        """
        config = stack.model.config.get_text_config()
        scale = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )
        shape = LogitShape(scale, getattr(config, "final_logit_softcapping", None))
        with torch.no_grad():
            hidden, _ = stack.calls(batch)
            raw = torch.linspace(-40, 40, 9, device=hidden.device, dtype=hidden.dtype).expand(*batch.ids.shape, 9)
            got = stack.logits_from(batch, hidden, raw)
        if not torch.allclose(got.double(), shape(raw.double()), rtol=1e-2, atol=1e-2):
            raise ModelError(f"{type(stack.model).__name__} changes its logits in a way that is not known")
        return shape
