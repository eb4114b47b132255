"""Two runs on one GPU give the same bits: operations that add in another order each time are left aside."""

from __future__ import annotations

import os
import warnings

import torch


def be_deterministic(device: torch.device) -> None:
    """Have PyTorch take deterministic algorithms on a GPU (the fused attention's backward is none by itself).

    To be called before the GPU is used for the first time: cuBLAS reads its setting then. Where an operation has no
    deterministic form it is used all the same; the rehearsal tells whether that shows.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # that would cost a write of every new tensor
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
