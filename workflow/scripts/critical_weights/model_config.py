"""A look at a model's config.json before gigabytes are fetched: models that bring code of their own are not run."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import ModelError


def check_config(folder: Path, name: str) -> None:
    """Refuse a model that needs code of its own repository; one that transformers has its own code for may bring some.

    Args:
        folder: holds ``config.json``.
        name: what messages call the model.

    Raises:
        ModelError: it needs such code.

    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        return  # told when transformers reads it, as is a type that transformers does not know
    own = config.get("auto_map")
    if not own:
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if kind in CONFIG_MAPPING_NAMES:
        return
    files = sorted({str(place).split(".")[0].split("--")[-1] for place in own.values() if isinstance(place, str)})
    raise ModelError(
        f"{name} needs code of its own ({', '.join(f'{file}.py' for file in files[:3])}), and no such code is run here "
        f"(trust_remote_code is off): transformers itself knows no model type '{kind}'",
        fix="Use a version of it that transformers supports, often of the same name with -hf, or a newer transformers",
    )
