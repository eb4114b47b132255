"""Importing torch and transformers, which takes longer than many a job's own work."""

from __future__ import annotations

import gc
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
