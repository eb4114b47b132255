"""Single weights of a model folder by the model's own names, whatever the checkpoint calls its tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .safetensors_read import StoredTensor, read_bits, stored_tensors
from .source import check_folder

_EXPERT = re.compile(r".*\.experts\.(\d+)\.(w1|w2|w3|gate_proj|up_proj|down_proj)\.weight")
_ROLE = {"w1": "gate", "gate_proj": "gate", "w3": "up", "up_proj": "up", "w2": "down", "down_proj": "down"}
_FORMERLY = (".mlp.gate.", ".block_sparse_moe.gate.")
"""transformers' present name of Mixtral's router, and its checkpoints' name."""


@dataclass(frozen=True)
class StoredEntries:
    """The bits of some weights of one tensor, and the type they are stored in."""

    dtype: str
    bits: NDArray[np.unsignedinteger]


class Checkpoint:
    """The safetensors files of a model folder; weights are read one by one, never a whole tensor.

    Args:
        folder: the model folder.

    Raises:
        ModelError: it is no model folder, or a file is damaged.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors: dict[str, StoredTensor] = {}
        for file in check_folder(folder):
            self.tensors |= stored_tensors(file)

    def entries(
        self, name: str, shape: Sequence[int], flat: NDArray[np.int64], also: Sequence[str] = ()
    ) -> StoredEntries:
        """Return the bits of weights of one tensor.

        Checkpoints may leave out the first part of the model's names (``transformer.``), hold a tied tensor under its
        other name, or hold a mixture's experts one by one where the model has them in one tensor.

        Args:
            name: the model's name of the tensor.
            shape: its shape in the model.
            flat: flat indices in storage order.
            also: other names of a tied tensor.

        Raises:
            ModelError: the checkpoint lacks the tensor, or has it in another shape.

        """
        for wanted in (name, *also, name.replace(*_FORMERLY)):
            if (stored := self._find(wanted)) is not None:
                if stored.shape != tuple(shape):
                    raise ModelError(f"{name} has another shape in the checkpoint", got=list(stored.shape),
                                     expected=list(shape))  # fmt: skip
                return StoredEntries(stored.dtype, read_bits(stored, flat))
        if name.endswith((".experts.gate_up_proj", ".experts.down_proj")):
            return self._expert_entries(name, tuple(shape), flat)
        raise ModelError(f"the checkpoint has no tensor {name}")

    def has_any(self, names: Sequence[str]) -> bool:
        """Whether the checkpoint holds any tensor of these names, so that it may be one of the same model."""
        return any(self._find(name) is not None or self._experts(name) for name in names)

    def _find(self, name: str) -> StoredTensor | None:
        if name in self.tensors:
            return self.tensors[name]
        near = [key for key in self.tensors if name.endswith(f".{key}") or key.endswith(f".{name}")]
        longest = max(map(len, near), default=0)
        near = [key for key in near if len(key) == longest]
        return self.tensors[near[0]] if len(near) == 1 else None

    def _experts(self, name: str) -> dict[tuple[str, int], StoredTensor]:
        """Return the tensors of a block's experts by (gate, up or down; expert)."""
        block = name.split(".experts.")[0].rpartition(".")[0]
        matches = ((_EXPERT.fullmatch(key), key) for key in self.tensors if key.startswith(f"{block}."))
        return {(_ROLE[m[2]], int(m[1])): self.tensors[key] for m, key in matches if m}

    def _expert_entries(self, name: str, shape: tuple[int, ...], flat: NDArray[np.int64]) -> StoredEntries:
        """Read weights of a fused tensor (expert, output, input) from experts stored one by one.

        The fused outputs of ``gate_up_proj`` are those of the gate and then those of ``up_proj``.
        """
        stored = self._experts(name)
        roles = ("gate", "up") if name.endswith("gate_up_proj") else ("down",)
        expert, row, col = np.unravel_index(flat, shape)
        height = shape[1] // len(roles)
        wanted = {(role, int(e)) for role in roles for e in range(shape[0])}
        if lacking := sorted(wanted - stored.keys()):
            raise ModelError(f"the checkpoint has no tensor {name}, and not all of its experts one by one "
                             f"(first lacking: {lacking[0][0]} of expert {lacking[0][1]})")  # fmt: skip
        kinds = {(stored[key].shape, stored[key].dtype) for key in wanted}
        if len(kinds) > 1 or next(iter(kinds))[0] != (height, shape[2]):
            raise ModelError(f"the experts of {name} have other shapes or several types in the checkpoint",
                             got=sorted(kinds), expected=f"shape {(height, shape[2])}")  # fmt: skip
        parts: list[NDArray[np.unsignedinteger]] = [
            read_bits(stored[roles[r // height], int(e)], np.array([r % height * shape[2] + c]))
            for e, r, c in zip(expert, row, col, strict=True)
        ]
        return StoredEntries(next(iter(kinds))[1], np.concatenate(parts))
