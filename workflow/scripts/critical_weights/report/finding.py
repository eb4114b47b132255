"""A finding: what, in figures; how sure; and where the evidence is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Finding = dict[str, Any]
"""``name``, ``text``, ``sure``, ``section`` (anchor of the evidence in the report) and ``files`` (below the model's
folder) that the figures come from."""

SHOWN = 3
"""Metrics, tokens or criteria that a sentence names one by one at most."""


def finding(name: str, text: str, sure: str, section: str, *files: str) -> Finding:
    """Return a finding; the text gets a capital letter and a full stop."""
    sentence = f"{text[0].upper()}{text[1:]}."
    return {"name": name, "text": sentence, "sure": sure, "section": section, "files": list(files)}


def is_estimate(metric: Mapping[str, Any]) -> bool:
    """Say whether a metric's scores are estimates from random probes, whose noise is part of every figure of them."""
    return bool(metric["family"] == "curvature")
