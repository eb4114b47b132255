"""Gradient and squared gradient of the loss on evaluation texts, at selected weights: what Taylor predicts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..log import progress
from ..scoring.loss import every_token_counts, text_loss

Floats = NDArray[np.float64]


def gradients_at(
    model: nn.Module, texts: Sequence[Sequence[int]], places: Mapping[str, NDArray[np.int64]], device: torch.device
) -> dict[str, tuple[Floats, Floats]]:
    """Return g = sum_s g_s / sum_s T_s and h = sum_s g_s^2 / sum_s T_s at selected weights.

    h is the empirical Fisher as a stand-in for the Hessian's diagonal (Kunstner 2019), as in the metric ``obd``. A
    tensor's gradient is dropped as soon as its entries are read: none of the model's size is held.

    Args:
        model: in eval mode, unchanged.
        texts: token ids of each text.
        places: tensor name -> flat indices in storage order.
        device: where the model lies.

    Returns:
        Tensor name -> (g, h), float64, in the order of its indices.

    """
    if not places:
        return {}
    parameters = dict(model.named_parameters())
    wanted = {name: torch.from_numpy(np.ascontiguousarray(flat)).to(device) for name, flat in places.items()}
    first = {name: torch.zeros(len(at), dtype=torch.float64, device=device) for name, at in wanted.items()}
    second = {name: torch.zeros_like(total) for name, total in first.items()}

    def read(name: str) -> object:
        def hook(parameter: Tensor) -> None:
            own = parameter.grad.reshape(-1)[wanted[name]].double()
            parameter.grad = None
            first[name] += own
            second[name] += own**2

        return hook

    before = {name: parameter.requires_grad for name, parameter in parameters.items()}
    handles = [parameters[name].register_post_accumulate_grad_hook(read(name)) for name in wanted]
    try:
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in wanted)
        with every_token_counts(model):
            for ids in progress(texts, len(texts), "gradients", "evaluation texts"):
                text_loss(model, torch.tensor([list(ids)], device=device)).backward()
    finally:
        for handle in handles:
            handle.remove()
        for name, parameter in parameters.items():
            parameter.requires_grad_(before[name])
    tokens = sum(len(ids) - 1 for ids in texts)
    return {name: (first[name].cpu().numpy() / tokens, second[name].cpu().numpy() / tokens) for name in wanted}
