"""Loading a model the way the memory plan says."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from ..model.load import load_model
from ..model.source import model_folder
from .engine import Placed
from .memory_plan import MemoryPlan
from .weights import StreamedWeights, empty_model


def place_model(
    record: dict[str, Any], plan: MemoryPlan, dtype: torch.dtype, device: torch.device
) -> tuple[PreTrainedModel, Placed]:
    """Load a fetched model, or prepare it to be read block by block.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        plan: the placement.
        dtype: of weights and computation.
        device: where to compute.

    Raises:
        ModelError: the model cannot be loaded.

    """
    if plan.placement != "streamed":
        return load_model(record, dtype, device), Placed(plan.placement, plan.blocks)
    folder = model_folder(record)
    model = empty_model(folder, dtype)
    weights = StreamedWeights(model, folder, device)
    return model, Placed(plan.placement, plan.blocks, weights, device)
