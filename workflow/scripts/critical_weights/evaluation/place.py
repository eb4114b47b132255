"""A model that interventions can be made in: all of it in memory, with room to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from ..errors import ModelError
from ..log import choice, logger
from ..model.load import load_model
from ..scoring.memory_parts import PROCESS_BYTES
from ..scoring.memory_plan import USABLE, free_memory

log = logger(__name__)


def load_whole(
    record: dict[str, Any], facts: Mapping[str, Any], dtype: torch.dtype, device: torch.device, free: int | None = None
) -> tuple[PreTrainedModel, int]:
    """Load a model whole; interventions change weights in place, which one read block by block would lose.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        facts: the model's.
        dtype: of weights and computation.
        device: where to compute.
        free: bytes free on the device; by default what there is.

    Returns:
        The model, and the bytes that may be used beside it.

    Raises:
        ModelError: it does not fit, or cannot be loaded.

    """
    needed = facts["n_weights"] * dtype.itemsize + PROCESS_BYTES
    usable = int(USABLE * (free or free_memory(device)))
    if needed > usable:
        raise ModelError(
            "interventions need the whole model in memory", got=f"{usable / 1e9:.2f} GB usable",
            expected=f"{needed / 1e9:.2f} GB", fix="Use a machine with more memory, or a narrower dtype",
        )  # fmt: skip
    choice("memory", f"{needed / 1e9:.2f} GB for the model", f"{usable / 1e9:.2f} GB are usable", log)
    # Half of the rest: what a run and a gradient of a text take was not planned.
    return load_model(record, dtype, device), (usable - needed) // 2
