"""Critical weights of a checkpoint, bit by bit: a baseline to record, and what differs from it later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from ..files import sha256_file, sha256_json
from ..log import logger
from ..model.checkpoint_entries import Checkpoint
from ..model.safetensors_read import WIDTHS
from ..model.source import check_folder
from ..ranking.chosen_weights import ChosenWeights
from .baseline import BASELINE_FORMAT, FORMAT_VERSION
from .stored_bits import changed_bits, hex_of, value_of

log = logger(__name__)

MODEL_KEYS = ("model", "repo", "revision", "checkpoint", "architecture", "sha256")


@dataclass(frozen=True)
class Change:
    """One weight whose bits differ: its tensor, index tuple, and what was and is stored."""

    tensor: str
    indices: tuple[int, ...]
    dtype: str
    before: int
    after: int

    @property
    def cells(self) -> tuple[str, ...]:
        """The change in words: tensor, indices, before, after, which bits."""
        return (self.tensor, str(self.indices), self._shown(self.before), self._shown(self.after),
                changed_bits(self.before, self.after, self.dtype))  # fmt: skip

    def _shown(self, bits: int) -> str:
        value, code = value_of(bits, self.dtype), f"0x{hex_of(bits, WIDTHS[self.dtype])}"
        return code if value is None else f"{value:.9g} ({code})"


@dataclass(frozen=True)
class Comparison:
    """What a checkpoint has otherwise than a baseline.

    Attributes:
        compared: number of weights whose bits were compared.
        changes: those that differ, in the baseline's order.
        faults: a line for each tensor that could not be compared: missing, or of another shape or type.

    """

    compared: int
    changes: list[Change]
    faults: list[str]

    @property
    def same(self) -> bool:
        """Whether every weight of the baseline was compared and is unchanged."""
        return not self.changes and not self.faults


def record_baseline(weights: ChosenWeights, facts: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Return the baseline of a selection: for each weight its address and the bits that the checkpoint stores.

    Args:
        weights: the selection.
        facts: the model's (``model.json``).
        folder: the folder with the model's own files.

    Raises:
        ModelError: the folder's files are not those that the facts were made from, or a tensor is missing.

    """
    folder = Path(folder)
    if (found := folder_sha256(folder)) != facts["sha256"]:
        raise ModelError(f"{folder} is not the checkpoint that {facts['model']} was scored from: its files differ",
                         got=found, expected=facts["sha256"], fix="Name the folder that model.json is of")  # fmt: skip
    if weights.origin["model_sha256"] not in ("", facts["sha256"]):
        raise ModelError("the selection is of another model than the facts", got=weights.origin["model_sha256"],
                         expected=facts["sha256"])  # fmt: skip
    checkpoint = Checkpoint(folder)
    also = {name: [] for name in weights.tensors} | {one["name"]: one["tied_to"] for one in facts["tensors"]}
    tensors = {}
    for name, chosen in weights.tensors.items():
        stored = checkpoint.entries(name, chosen.shape, chosen.index, also[name])
        tensors[name] = {
            "shape": list(chosen.shape), "tied_to": also[name], "dtype": stored.dtype, "index": chosen.index.tolist(),
            "bits": [hex_of(int(bits), stored.bits.itemsize) for bits in stored.bits],
        }  # fmt: skip
    log.info("recorded %d weights of %d tensors", len(weights), len(tensors))
    return {
        "format": BASELINE_FORMAT,
        "format_version": FORMAT_VERSION,
        "model": {key: facts.get(key) for key in MODEL_KEYS},
        "selection": {key: weights.origin[key] for key in ("experiment", "metric", "mode", "k", "list")},
        "n_weights": len(weights),
        "tensors": tensors,
    }


def compare_with_baseline(baseline: Mapping[str, Any], folder: str | Path) -> Comparison:
    """Compare a checkpoint's critical weights with a baseline; only those weights are read.

    Raises:
        ModelError: the folder is no model folder, or holds none of the baseline's tensors.

    """
    checkpoint = Checkpoint(Path(folder))
    every = [name for tensor, own in baseline["tensors"].items() for name in (tensor, *own["tied_to"])]
    if not checkpoint.has_any(every):
        count = len(baseline["tensors"])
        raise ModelError(f"{folder} is another model: it has none of the {count} tensors of the baseline",
                         expected=f"a checkpoint of {baseline['model']['model']}")  # fmt: skip
    compared, changes, faults = 0, [], []
    for name, own in baseline["tensors"].items():
        index = np.array(own["index"], np.int64)
        try:
            stored = checkpoint.entries(name, own["shape"], index, own["tied_to"])
        except ModelError as error:
            faults.append(str(error))
            continue
        if stored.dtype != own["dtype"]:
            faults.append(f"{name} is stored as {stored.dtype}, the baseline holds {own['dtype']}: other bits")
            continue
        compared += len(index)
        before = np.array([int(bits, 16) for bits in own["bits"]], stored.bits.dtype)
        for place in np.flatnonzero(before != stored.bits):
            indices = tuple(int(i) for i in np.unravel_index(index[place], own["shape"]))
            changes.append(Change(name, indices, stored.dtype, int(before[place]), int(stored.bits[place])))
    return Comparison(compared, changes, faults)


def folder_sha256(folder: Path) -> str:
    """Return the hash over a model folder's config and weights, as ``model.json`` has it.

    Raises:
        ModelError: it is no model folder.

    """
    files = check_folder(folder)
    hashes = [
        {"name": f.name, "bytes": f.stat().st_size, "sha256": sha256_file(f)} for f in [folder / "config.json", *files]
    ]
    return sha256_json(hashes)
