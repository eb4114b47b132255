"""Rows of result tables as plain dictionaries, fit for JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tables.schema import Table, read_table

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a table; an empty field is None, because JSON knows no NaN."""
    columns = []
    for _, values in frame.items():
        plain = values.to_numpy(dtype=object, copy=True)  # a column of texts is ten times as slow one by one
        plain[values.isna().to_numpy()] = None
        columns.append(plain.tolist())
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def read_if_there(path: Path, table: Table) -> pd.DataFrame | None:
    """Return a table, or None where its stage has not run (results of an earlier version, a stage left out).

    Raises:
        TableError: the file does not follow its schema.

    """
    return read_table(path, table) if path.is_file() else None


def kept(rows: list[Row], *names: str) -> list[Row]:
    """Return some columns of some rows."""
    return [{name: row[name] for name in names} for row in rows]
