"""Numbers and tokens as people read them: digits that mean something, units, nothing invisible."""

from __future__ import annotations

import unicodedata

from ..log import seconds as duration

MISSING = "not applicable"
UNKNOWN = "not recorded"
_SHOWN = 40
_ALL = 1 - 1e-12
"""From here on a fraction is all: a model of a trillion weights would differ by more."""


def count(value: int | None) -> str:
    """Format a whole number with separators: ``8,029,995,008``."""
    return MISSING if value is None else f"{value:,}"


def real(value: float | None, digits: int = 4) -> str:
    """Format a measured number with ``digits`` significant digits: ``0.3301``, ``1.234e-07``, ``63,750``."""
    if value is None:
        return MISSING
    if min(1e3, 10**digits) <= abs(value) < 1e9 and digits <= 4:
        return f"{float(f'{value:.{digits}g}'):,.0f}"
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """Format a fraction as a percentage with three significant digits: ``12.3 %``, ``0.00028 %``.

    What is a little less than all gets as many more as keep it from being told as all: ``99.997 %``; what differs from
    all by no more than the rounding of a sum is all.
    """
    if value is None:
        return MISSING
    told = (f"{100 * value:.{digits}g}" for digits in range(3, 18))
    return f"{next(text for text in told if not value < _ALL or float(text) < 100)} %"


def times(value: float | None) -> str:
    """Format a ratio: ``63,750 times``."""
    return MISSING if value is None else f"{real(value)} times"


def bounded(value: float | None, low: float | None, high: float | None) -> str:
    """Format a figure with its bounds where they can be told apart: ``0.912 (0.91 to 0.914)``."""
    return _with_bounds(real(value), real(low), real(high))


def bounded_share(value: float | None, low: float | None, high: float | None) -> str:
    """Format a fraction as a percentage with its bounds where they can be told apart: ``12.3 % (12.1 to 12.6 %)``."""
    return _with_bounds(share(value), share(low), share(high))


def _with_bounds(value: str, low: str, high: str) -> str:
    return value if low == high else f"{value} ({low.removesuffix(' %')} to {high})"


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """Format a figure with its interval: ``0.334 (0.282 to 0.384)``; without one where it has none."""
    if low is None or high is None:
        return real(value, digits)
    return f"{real(value, digits)} ({real(low, digits)} to {real(high, digits)})"


def chance(p: float | None) -> str:
    """Format a probability that may be too small for a float."""
    return MISSING if p is None else real(p, 2) if p > 0 else "< 1e-300"


def size(value: int | None) -> str:
    """Format bytes: ``2.1 GB`` (powers of ten)."""
    if value is None:
        return UNKNOWN
    scaled, unit = float(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if scaled < 999.5:  # from there on three digits round to a thousand
            break
        scaled, unit = scaled / 1000, larger
    return f"{scaled:.3g} {unit}"


def seconds(value: float | None) -> str:
    """Format a duration, or say that it was not recorded."""
    return UNKNOWN if value is None else duration(value)


def short_hash(value: str | None) -> str:
    """Format a SHA-256 by its first 16 digits; the whole one is in the JSON file."""
    return MISSING if value is None else value[:16]


def rate(value: float | None) -> str:
    """Format a rate (something per second), or say that it was not recorded."""
    return UNKNOWN if value is None else real(value, 3)


def yes_no(value: bool | None) -> str:
    """Format a truth value."""
    return UNKNOWN if value is None else "yes" if value else "no"


def plural(n: int, word: str, words: str | None = None) -> str:
    """Format a number with its noun: ``1 text``, ``2 texts``."""
    return f"{n:,} {word if n == 1 else words or word + 's'}"


def listed(items: list[str]) -> str:
    """Join words as in a sentence: ``a, b and c``."""
    return " and ".join(part for part in (", ".join(items[:-1]), *items[-1:]) if part)


def token(text: str) -> str:
    r"""Spell a token so that every character can be seen and none can disturb the page.

    A space is shown as an open box, a line end as ``\n``; other control, format, unpaired, unassigned and separator
    characters, and a combining mark that has nothing to combine with, by their code point: ``\u{200b}``. A backslash
    is doubled, so that no token can pass for another. Long ones are cut, with their length.
    """
    shown = "".join(_visible(character, first=place == 0) for place, character in enumerate(text[:_SHOWN]))
    return shown if len(text) <= _SHOWN else f"{shown}... ({plural(len(text), 'character')})"


def quoted(text: str) -> str:
    """Spell a token within a sentence: in quotes, and where it is read from right to left, apart from the words."""
    shown = token(text)
    apart = any(unicodedata.bidirectional(character) in ("R", "AL") for character in shown)
    return f"\u201c\u2068{shown}\u2069\u201d" if apart else f"\u201c{shown}\u201d"


def _visible(character: str, *, first: bool) -> str:
    named = {" ": "\u2423", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}.get(character)
    if named:
        return named
    category = unicodedata.category(character)
    hidden = category[0] == "C" or category in ("Zl", "Zp", "Zs") or (first and category[0] == "M")
    return f"\\u{{{ord(character):x}}}" if hidden else character
