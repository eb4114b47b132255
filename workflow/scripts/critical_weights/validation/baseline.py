"""The file of a baseline, whole or refused: what of it is damaged must not pass for weights that are unchanged."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from ..errors import ConfigError
from ..files import read_json
from ..model.safetensors_read import WIDTHS

BASELINE_FORMAT, FORMAT_VERSION = "critical_weights.baseline", 1

_NUMBERS = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_WORDS = {"type": "array", "items": {"type": "string"}}
_TENSOR = {
    "type": "object",
    "required": ["shape", "tied_to", "dtype", "index", "bits"],
    "properties": {
        "shape": _NUMBERS,
        "tied_to": _WORDS,
        "dtype": {"enum": list(WIDTHS)},
        "index": _NUMBERS,
        "bits": {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]+$"}},
    },
}
_SCHEMA = Draft202012Validator(
    {
        "type": "object",
        "required": ["model", "n_weights", "tensors"],
        "properties": {
            "model": {"type": "object", "required": ["model"]},
            "n_weights": {"type": "integer", "minimum": 1},
            "tensors": {"type": "object", "additionalProperties": _TENSOR},
        },
    }
)


def read_baseline(path: str | Path) -> dict[str, Any]:
    """Read a baseline.

    Raises:
        ConfigError: the file is no baseline, is one of another format version, or is not as it was recorded: keys are
            missing, or the weights are not as many as it says, not in their tensor, or not of their type's width.

    """
    baseline = read_json(path)
    kind = (baseline.get("format"), baseline.get("format_version")) if isinstance(baseline, dict) else None
    if kind != (BASELINE_FORMAT, FORMAT_VERSION):
        expected = f"{BASELINE_FORMAT} {FORMAT_VERSION}"
        raise ConfigError(f"{path} is no baseline of critical weights", got=kind, expected=expected,
                          fix="Make one with: monitor.py record")  # fmt: skip
    if wrong := _damage(baseline):
        raise ConfigError(f"the baseline {path} is damaged: {wrong}", fix="Record it again with: monitor.py record")
    return baseline


def _damage(baseline: dict[str, Any]) -> str:
    """Return what of a baseline cannot be; empty where all can."""
    for error in _SCHEMA.iter_errors(baseline):
        return f"{'/'.join(map(str, error.absolute_path)) or 'its top level'}: {error.message[:200]}"
    for name, own in baseline["tensors"].items():
        size, digits = prod(own["shape"]), 2 * WIDTHS[own["dtype"]]
        if len(own["bits"]) != len(own["index"]):
            return f"{name} has {len(own['index'])} indices and bits of {len(own['bits'])} weights"
        if len(set(own["index"])) != len(own["index"]) or max(own["index"], default=0) >= size:
            return f"{name} has an index twice, or one beyond its {size} weights"
        if any(len(bits) != digits for bits in own["bits"]):
            return f"{name} is of {own['dtype']}, whose bits are {digits} hexadecimal digits"
    if (found := sum(len(own["index"]) for own in baseline["tensors"].values())) != baseline["n_weights"]:
        return f"it holds {found} weights and says {baseline['n_weights']}"
    return ""
