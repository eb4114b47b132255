"""A look at a model's config.json before gigabytes are fetched: no model's own code is run, no quantised one scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError

_QUANTISED = ("quantization_config", "compression_config", "quantization")
"""Keys under which quantisers describe themselves: transformers', earlier compressed-tensors', MLX's."""
QUANTISER_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files in which earlier versions of these did so, with no word in config.json."""


def check_config(folder: Path, name: str) -> None:
    """Refuse a model that needs code of its own repository or whose weights are quantised.

    One that transformers has its own code for may bring some: it is not run.

    Args:
        folder: holds ``config.json``.
        name: what messages call the model.

    Raises:
        ModelError: it needs such code, or is quantised.

    """
    for file, method in QUANTISER_FILES.items():
        if (folder / file).is_file():
            told = _read(folder / file)
            refuse_quantised(
                {"quantization": {"quant_method": method, **(told if isinstance(told, dict) else {})}}, name
            )
    config = _read(folder / "config.json")
    if not isinstance(config, dict):
        return  # told when transformers reads it, as is a type that transformers does not know
    refuse_quantised(config, name)
    own = config.get("auto_map")
    if not isinstance(own, dict) or not own:
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


def _read(path: Path) -> Any:
    """Return what a JSON file holds; None where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def refuse_quantised(config: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose config says that its weights are quantised.

    Args:
        config: the content of ``config.json``.
        name: what messages call the model.

    Raises:
        ModelError: it is quantised; the message says how and what to use instead.

    """
    parts = (config, config.get("text_config"))
    found = [part[key] for part in parts if isinstance(part, Mapping) for key in _QUANTISED if part.get(key)]
    if not found:
        return
    raise ModelError(
        f"{name} is a quantised checkpoint{_how(found[0])}: it holds rounded codes that share scales, and a single "
        "code is no weight with a gradient of its own",
        fix="Name the checkpoint that it was made from, in float32, bfloat16 or float16; its page often names it as "
        "the base model",
    )


def _how(quantiser: object) -> str:
    """Return the method and the bits in brackets, as far as the config tells."""
    if not isinstance(quantiser, Mapping):
        return ""
    bits = next((n for n in (4, 8) if quantiser.get(f"load_in_{n}bit")), quantiser.get("bits", quantiser.get("w_bit")))
    told = [str(quantiser["quant_method"])[:30]] if quantiser.get("quant_method") else []
    told += [f"{bits} bits"] if isinstance(bits, int) else []
    return f" ({', '.join(told)})" if told else ""
