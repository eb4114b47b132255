"""Words for the ends of an order that stay true where several share one: no one of equals is told as the most."""

from __future__ import annotations

from collections.abc import Mapping

from .show import listed


def equals(told: Mapping[str, str], name: str) -> list[str]:
    """Return the other names whose figure, as it is told, is the same: a reader cannot tell them apart."""
    return [other for other, figure in told.items() if other != name and figure == told[name]]


def level(told: Mapping[str, str], name: str) -> str:
    """Say who else stands at this end: ``, level with b and c``."""
    others = equals(told, name)
    return f", level with {listed(others)}" if others else ""
