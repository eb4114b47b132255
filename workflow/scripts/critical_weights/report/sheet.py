"""A table ready to be drawn, the same for Markdown and HTML: formatted cells, population and units in a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TEXT, NUMBER, CODE = "text", "number", "code"
"""Kinds of columns: words; figures, set flush right; names and tokens, set apart from the words around them."""

MODE_WORDS = {
    "perlayer": "the k largest of each parameter tensor",
    "perblock": "the k largest of each transformer block, and of all tensors outside the blocks together",
    "global": "the k largest of the analysed set",
}


@dataclass(frozen=True)
class Table:
    """A table ready to be drawn.

    Attributes:
        caption: what it shows.
        columns: heading and kind (TEXT, NUMBER or CODE) of each column.
        rows: formatted cells.
        note: population, number of things, units.
        choose: heading of the first column where the page is to offer a choice among its values.

    """

    caption: str
    columns: tuple[tuple[str, str], ...]
    rows: list[list[str]]
    note: str = ""
    choose: str = ""

    @property
    def sortable(self) -> bool:
        """Whether its order may be changed: rows of one kind, more than two."""
        return len(self.rows) > 2 and self.columns[0][0] != ""

    @property
    def filterable(self) -> bool:
        """Whether it is too long to be taken in at a glance."""
        return len(self.rows) >= LONG or bool(self.choose)


LONG = 15
"""From so many rows on a table can be filtered."""


def named(caption: str, pairs: list[tuple[str, str]], note: str = "") -> Table:
    """Return a table of names with their values."""
    return Table(caption, (("", TEXT), ("value", TEXT)), [list(pair) for pair in pairs], note)


def or_dash(value: Any) -> str:
    """Format a value that may be missing."""
    return "-" if value is None else str(value)
