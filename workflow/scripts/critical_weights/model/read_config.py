"""A model's config as transformers reads it; torch is not needed for that, and not imported."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from ..errors import ModelError
from .config import refuse_quantised

UNUSABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ZeroDivisionError, StrictDataclassError,
)  # fmt: skip
"""What transformers raises for a config or a tokenizer with wrong values, depending on where it first meets one."""


def read_config(folder: Path) -> PreTrainedConfig:
    """Read a model folder's config.

    Raises:
        ModelError: it is not readable, not a causal LM that transformers knows, or quantised.

    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except UNUSABLE as error:
        raise ModelError(f"the config of {folder.name} cannot be used: {first_lines(error)}") from error
    refuse_quantised(vars(config), folder.name)
    return config


def first_lines(error: Exception) -> str:
    """Return the words of an error of transformers that tell what is wrong, on one line.

    It lists every class that it knows below the first line; a validation error needs its second one.
    """
    return " ".join(str(error).strip().splitlines()[:2])[:300].strip()
