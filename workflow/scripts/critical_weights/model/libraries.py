"""Importing torch and transformers, which takes longer than many a job's own work, without what is not needed."""

from __future__ import annotations

import gc
import os
import sys


def import_libraries() -> None:
    """Import torch and transformers' models, without what takes a third of that time for nothing.

    Python looks for garbage again and again while half a million objects are made that all stay in use: it does so
    only from here on, and never among them. transformers loads scipy's optimisers for the losses of object detection,
    which no language model has: until those are imported it is told that scipy is not there.
    """
    if "transformers.modeling_utils" in sys.modules:
        return
    gc.disable()
    try:
        import torch  # noqa: F401
        import transformers.utils

        is_there = transformers.utils.is_scipy_available
        transformers.utils.is_scipy_available = lambda: False
        try:
            import transformers.loss.loss_utils
        finally:
            transformers.utils.is_scipy_available = is_there
        import transformers.masking_utils
        import transformers.modeling_layers
        import transformers.models.auto.modeling_auto
    finally:
        gc.freeze()
        gc.enable()


def without_torch() -> None:
    """Let transformers be imported without torch, if that is not imported yet: tokenizers and configs need none.

    transformers looks whether torch can be found; ``None`` in its place is Python's own way to say that it cannot. The
    process then runs no model. This takes a third of the time.
    """
    if "torch" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment]
        os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # else it warns that models cannot be run
