"""A table ready to be drawn, the same for Markdown and HTML: formatted cells, population and units in a note."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .show import MISSING

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
        """Whether it is too long to be taken in at a glance; one of names with their values never is."""
        return self.sortable and (len(self.rows) >= LONG or bool(self.choose))

    @property
    def printed(self) -> int:
        """How many of its rows are printed at most."""
        return PRINTED if len(self.rows) > PRINTED_WHOLE else len(self.rows)

    @property
    def shown(self) -> Table:
        """The table without the columns that have no value in any row, which its note names; the first one stays.

        So does one of tokens: what looks like no value may be the token itself.
        """
        kept = [
            place
            for place, (heading, _) in enumerate(self.columns)
            if place == 0 or heading == TOKEN or any(row[place] not in NOTHING for row in self.rows)
        ]
        if not self.rows or len(kept) in (1, len(self.columns)):
            return self
        empty = [heading for place, (heading, _) in enumerate(self.columns) if place not in kept]
        return replace(
            self,
            columns=tuple(self.columns[place] for place in kept),
            rows=[[row[place] for place in kept] for row in self.rows],
            note=f"{self.note} No row has a value for: {', '.join(empty)}.".lstrip(),
        )


NOTHING = ("", "-", MISSING)
"""Cells without a value."""
TOKEN = "token"
"""Heading of columns whose cells are tokens, any of which may be a dash."""
LONG = 15
"""From so many rows on a table can be filtered."""
PRINTED_WHOLE, PRINTED = 60, 40
"""A table of more rows than the former is printed with its first rows alone, as many as the latter says."""


def named(caption: str, pairs: list[tuple[str, str]], note: str = "") -> Table:
    """Return a table of names with their values."""
    return Table(caption, (("", TEXT), ("value", TEXT)), [list(pair) for pair in pairs], note)


def or_dash(value: Any) -> str:
    """Format a value that may be missing."""
    return "-" if value is None else str(value)
