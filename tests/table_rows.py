"""Tables as plain rows and back, for tests that make and look at them with pandas."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd

from critical_weights.plots.save import Drawn
from critical_weights.tables.schema import Table

_MISSING = {"str": "", "float64": float("nan"), "float32": float("nan"), "Int64": None}


def rows_of(frame: pd.DataFrame, table: Table) -> list[Any]:
    """Return a frame's rows as `read_rows` reads them from the table's file."""
    columns = []
    for column in table.columns:
        values = frame[column.name]
        assert column.optional or column.dtype == "str" or not values.isna().any(), f"{column.name} may not be empty"
        number = int if column.dtype.lower() == "int64" else lambda value: value
        columns.append([_MISSING[column.dtype] if empty else number(value)
                        for value, empty in zip(values.to_list(), values.isna(), strict=True)])  # fmt: skip
    names = [column.name for column in table.columns]
    return [SimpleNamespace(**dict(zip(names, fields, strict=True))) for fields in zip(*columns, strict=True)]


def data_of(drawn: Drawn) -> pd.DataFrame:
    """Return the table of what a figure shows."""
    if not isinstance(drawn.data, Sequence):
        return drawn.data
    frame = pd.DataFrame(drawn.data, columns=drawn.columns or drawn.data[0]._fields)
    for place, name in enumerate(frame.columns):
        if {type(row[place]) for row in drawn.data} == {int, type(None)}:  # pandas makes them fractions
            frame[name] = pd.array([row[place] for row in drawn.data], "Int64")
    return frame
