"""Result tables as plain rows: to import pandas takes ten times as long as all that is done with a few hundred."""

from __future__ import annotations

import csv
import io
import math
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from ..errors import TableError
from ..files import REMADE
from .schema import Column, Table, check_columns

Row = TypeVar("Row")
Key = TypeVar("Key")


def read_rows(path: str | Path, table: Table) -> list[Any]:
    """Read a table and check it against its schema, as :func:`.schema.read_table` does; rows cut short are refused too.

    Returns:
        A namespace a row, an attribute a column. An empty field is "" in a column of text, NaN in one of ``float``,
        None in one of ``Int64``.

    Raises:
        TableError: the file is missing, empty or cut short, or a column is missing or of another type.

    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        header, *lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line] or [[]]
    except FileNotFoundError as error:
        raise TableError(f"there is no {path}", fix="Run the stage that makes it") from error
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise TableError(f"{path} cannot be read as a table: {str(error).strip()}") from error
    if not header:
        raise TableError(f"{path} cannot be read as a table: it is empty")
    if not text.endswith("\n"):
        raise TableError(f"{path} is cut short: its last line does not end", fix=REMADE)
    check_columns(header, table, str(path))
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            more = "more" if len(line) > len(header) else "fewer"
            raise TableError(f"{path} has rows with {more} fields than its {len(header)} columns, such as {number}")
    parsed = [_parsed([line[at] for line in lines], column, path) for at, column in enumerate(table.columns)]
    return [SimpleNamespace(**dict(zip(header, fields, strict=True))) for fields in zip(*parsed, strict=True)]


def _parsed(texts: list[str], column: Column, path: str | Path) -> list[Any]:
    if column.dtype == "str":
        return texts
    parse, missing = _PARSE[column.dtype]
    values = []
    for number, text in enumerate(texts, 2):
        try:
            if text == "" and not column.optional:
                raise ValueError(f"row {number} is empty")
            values.append(parse(text) if text else missing)
        except (ValueError, OverflowError) as error:
            raise TableError(f"column {column.name} of {path} is not {column.dtype} ({error})") from error
    return values


_NUMBER = re.compile(r"[ -^`-~]*")
"""Printed ASCII without the underscore, which Python takes for nothing between digits."""


def _float(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if math.isnan(value):  # an empty field is the only one without a number
        raise ValueError(f"{text!r} is no number")
    return value


def _float32(text: str) -> float:
    return struct.unpack("f", struct.pack("f", _float(text)))[0]


_WHOLE = re.compile(r"[+-]?[0-9]+")


def _int(text: str) -> int:
    value = _float(text)
    exact = _WHOLE.fullmatch(text) is not None  # above 2^53 not every one is a float
    if not (exact or value.is_integer()) or not -(2**63) <= (whole := int(text if exact else value)) < 2**63:
        raise ValueError(f"{text!r} is no whole number of 64 bits")
    return whole


def _bool(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError("expected True or False")
    return text == "True"


_PARSE: dict[str, tuple[Callable[[str], Any], Any]] = {
    "float64": (_float, math.nan), "float32": (_float32, math.nan), "int64": (_int, None), "Int64": (_int, None),
    "bool": (_bool, None),
}  # fmt: skip
"""How a field is read, and what an empty one is."""


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return rows by key, keys in the order in which they first come."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def unique(values: Iterable[Key]) -> list[Key]:
    """Return values, each once, in the order in which they first come."""
    return list(dict.fromkeys(values))
