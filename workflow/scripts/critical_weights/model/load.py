"""Loading a model for scoring: full precision names, no remote code, nothing silently initialised at random."""

from __future__ import annotations

import re
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ..errors import ModelError, unknown
from ..log import choice, logger
from .read_config import UNUSABLE, first_lines
from .source import model_folder

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_dtype(setting: str, facts: dict[str, Any], device: torch.device) -> torch.dtype:
    """Return the dtype to compute in: the setting, or for ``auto`` the checkpoint's.

    Where torch does not use instructions of the processor for 16-bit numbers, a matrix product in them takes up to some
    hundred times as long as in float32, so there ``auto`` is float32; the weights are the same numbers.

    Raises:
        ModelError: the name is unknown.

    """
    name, reason = (setting, "as configured")
    if setting == "auto":
        name, reason = facts["checkpoint_dtype"], "the checkpoint's own"
    if name not in DTYPES:
        raise unknown("dtype", name, ["auto", *DTYPES], ModelError)
    if not multiplies(DTYPES[name], device):
        slow = f"torch has no fast products in {name} on this processor"
        if setting == "auto":
            name, reason = "float32", f"the checkpoint is {name}, and {slow}"
        else:
            logger(__name__).warning("%s: it takes up to some hundred times as long as float32", slow)
    choice("dtype", name, reason, logger(__name__))
    return DTYPES[name]


def multiplies(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether torch multiplies matrices in a dtype by a device's own instructions for it."""
    if device.type != "cpu" or dtype.itemsize > 2:
        return True
    ask = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}[dtype]
    return torch.backends.mkldnn.is_available() and getattr(torch.ops.mkldnn, ask)()


def choose_device(setting: str) -> torch.device:
    """Return the device: the setting, or CUDA where there is one for ``auto``.

    Raises:
        ModelError: the name is unknown, or CUDA is asked for and there is none.

    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", setting):
        raise unknown("device", setting, ["auto", "cpu", "cuda"], ModelError)
    available = torch.cuda.is_available()
    if setting == "auto":
        reason = "a CUDA device is there" if available else "no CUDA device is there"
        choice("device", "cuda" if available else "cpu", reason, logger(__name__))
        return torch.device("cuda" if available else "cpu")
    if setting.startswith("cuda") and not available:
        raise ModelError("device cuda was asked for, but torch sees none", fix="Use device: auto or cpu")
    return torch.device(setting)


def load_model(record: dict[str, Any], dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """Load a fetched model in eval mode with gradients on, every weight from its file.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        dtype: floating type of the weights and of the computation.
        device: where the weights go.

    Raises:
        ModelError: a file is cut short or missing, or a tensor is missing from the files or has another shape than
            the config says.

    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    folder = model_folder(record)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported here, by name
        )
    except SafetensorError as error:
        raise ModelError(
            f"a safetensors file of model '{record['model']}' is cut short or damaged ({error})",
            fix="Fetch or copy it again",
        ) from error
    except UNUSABLE as error:
        raise ModelError(f"model '{record['model']}' cannot be loaded: {first_lines(error)}") from error
    for what in ("missing_keys", "mismatched_keys"):
        if wrong := sorted(key if isinstance(key, str) else key[0] for key in info.get(what) or ()):
            word = "lack" if what == "missing_keys" else "have another shape than config.json says for"
            many = f"{len(wrong)} tensors, first " if len(wrong) > 1 else ""
            raise ModelError(f"the files of model '{record['model']}' {word} {many}{wrong[0]}",
                             fix="They and config.json are of two models, or not all were copied")  # fmt: skip
    if extra := sorted(info.get("unexpected_keys") or ()):
        logger(__name__).info("%d tensors in the files are not part of the model, first %s", len(extra), extra[0])
    fit_experts(model, dtype)
    return model.to(device).eval().requires_grad_(True)


def fit_experts(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Let a mixture of experts run one by one in float64, which the fused products that it starts with do not know."""
    if dtype == torch.float64 and getattr(model.config, "_experts_implementation", None) not in (None, "eager"):
        model.set_experts_implementation("eager")
