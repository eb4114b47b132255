"""How names, counts, scores and shares are written on a figure."""

from __future__ import annotations

import math

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(text: str) -> str:
    """Keep a dollar sign from being read as the start of a formula."""
    return text.replace("$", r"\$")


def short(name: str, length: int = 26) -> str:
    """Shorten a long name in its middle; the drawn data keeps it whole."""
    if len(name) <= length:
        return plain(name)
    half = (length - 1) // 2
    return plain(f"{name[: length - 1 - half]}…{name[-half:]}")


def count(n: int, noun: str = "") -> str:
    """Write a count with its noun: ``2,012,160 weights``, ``1 tensor``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}" if noun else f"{n:,}"


def scientific(value: float, digits: int = 2) -> str:
    """Write a score with ``digits`` significant digits: ``0.25``; small and large ones with a raised power of ten."""
    text = f"{value:.{digits}g}"
    if value == 0 or (abs(value) >= 0.01 and "e" not in text):
        return text
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}\N{MULTIPLICATION SIGN}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def power(value: float) -> str:
    """Write a tick of a log axis: ``0.01``, ``1``, ``5,000``; further from 1 with a raised power of ten."""
    if value <= 0 or 0.001 < value < 9_999:
        return f"{value:,.6g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    raised = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return raised if mantissa == "1" else f"{mantissa}\N{MULTIPLICATION SIGN}{raised}"


def percent(share: float) -> str:
    """Write a share as a percentage with two significant digits, never rounded to 0 or to 100."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    if value > 99:
        return ">99.99 %" if value > 99.99 else f"{value:.2f} %"
    if value < 1e-6:
        return f"{scientific(value)} %"
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f} %"


def unit_label(what: str, units: str) -> str:
    """Write an axis label, the unit on a line of its own: units such as ``(nats per token / weight)²`` are long."""
    return plain(f"{what}\n[{units.replace('^2', '²')}]")
