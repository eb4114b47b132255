"""Declared criteria, judged: a value is looked up in a table and held against its threshold. No expression is run."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ConfigError, near_names
from ..log import logger
from ..tables.criteria import CRITERIA
from ..tables.schema import read_table
from .config import Criterion
from .tables import KNOWN

log = logger(__name__)

TESTS: dict[str, Callable[[float, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "between": lambda value, ends: ends[0] <= value <= ends[1],
}
AGGREGATES: dict[str, Callable[[np.ndarray], float]] = {
    "min": np.min, "max": np.max, "mean": np.mean, "median": np.median,
}  # fmt: skip
_SHOWN = 4


class _NoValue(Exception):
    """There is no value to judge; the text says why."""


def criteria_table(criteria: Sequence[Criterion], tables: Mapping[str, str | Path]) -> pd.DataFrame:
    """Judge criteria.

    Args:
        criteria: as the config has them; see :mod:`.criteria.config`.
        tables: files by table name. A criterion on another table, or on one whose file is not there, is `not run`.

    Returns:
        The columns of :data:`critical_weights.tables.criteria.CRITERIA`.

    Raises:
        ConfigError: several rows match a criterion that wants one; all such criteria are named.
        TableError: a table does not follow its schema.

    """
    frames = {name: read_table(path, KNOWN[name]) for name, path in tables.items() if Path(path).exists()}
    rows, mistakes = [], []
    for one in criteria:
        try:
            rows.append(_judge(one, frames.get(one["table"])))
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError(" ".join(mistakes))
    frame = pd.DataFrame(rows, columns=[column.name for column in CRITERIA.columns], dtype=object)
    return frame.astype({column.name: column.dtype for column in CRITERIA.columns})


def _judge(one: Criterion, frame: pd.DataFrame | None) -> dict[str, Any]:
    where = dict(one.get("where") or {})
    sides = [where | one[key] for key in ("of", "to")] if "of" in one else [where]
    row = {key: one[key] for key in ("name", "statement", "table", "column", "test")}
    row |= {"where": " / ".join(_words(side) for side in sides), "aggregate": one.get("aggregate", "")}
    row |= {"threshold": _words_of_threshold(one), "value": None, "n": 0, "reason": ""}
    if frame is None:
        return row | {"verdict": "not run", "reason": f"there is no table {one['table']}"}
    try:
        found = [_value(one, frame, side) for side in sides]
    except _NoValue as reason:
        log.info("%s: not applicable: %s", one["name"], reason)
        return row | {"verdict": "not applicable", "reason": str(reason)}
    row["n"] = sum(n for _, n in found)
    value, threshold = found[0][0], one["threshold"]
    judged = value
    if len(found) == 2:
        other = found[1][0]
        if other == 0:
            return row | {"verdict": "not applicable", "reason": "the ratio is to a value of 0"}
        if value <= 0 and other < 0:  # neither did damage: of two gains the larger one has the larger ratio
            reason = f"a ratio says nothing where neither value is above 0 ({value:.4g} and {other:.4g})"
            return row | {"verdict": "not applicable", "reason": reason}
        value = value / other
        if other > 0 or one["test"] == "between":
            judged = value
        else:  # controls that do no damage: any damage is more than three times theirs, and the ratio below 0
            threshold *= other
            row["reason"] = f"ratio to a value below 0: judged is {judged:.4g} against {threshold:.4g}"
    return row | {"value": value, "verdict": "pass" if TESTS[one["test"]](judged, threshold) else "fail"}


def _value(one: Criterion, frame: pd.DataFrame, where: Mapping[str, Any]) -> tuple[float, int]:
    """Return the value of the rows that match, and how many they are."""
    for name in (one["column"], *where):
        if name not in frame:  # of a table whose columns are not known beforehand
            near = near_names(name, frame.columns)
            raise _NoValue(f"{one['table']} has no column {name}" + (f"; near: {', '.join(near)}" if near else ""))
    matching = np.ones(len(frame), bool)
    for name, wanted in where.items():
        before, matching = matching, matching & _equal(frame[name], wanted)
        if not matching.any():
            raise _NoValue(_nothing(frame[before], name, wanted))
    rows = frame[matching]
    if rows.empty:
        raise _NoValue(f"{one['table']} has no rows")
    if len(rows) > 1 and "aggregate" not in one:
        raise ConfigError(
            f"criterion {one['name']}: {len(rows)} rows of {one['table']} match {_words(where) or 'no where'}; "
            f"they differ in {_differences(rows, one['column'])}",
            fix="Name one in 'where', or say how to take them together with 'aggregate'",
        )
    values = pd.to_numeric(rows[one["column"]], errors="coerce").astype(float).to_numpy()
    values = values[np.isfinite(values)]
    if not len(values):
        raise _NoValue(f"no number stands in {one['column']}{_note(rows)}")
    value = AGGREGATES[one["aggregate"]](values) if "aggregate" in one else values[0]
    return float(value), len(values)


def _equal(values: pd.Series, wanted: Any) -> np.ndarray:
    """Whether each value is the wanted one; nothing stands for an empty field, a number is equal as text or number."""
    if wanted is None:
        return (values.isna() | (values == "")).to_numpy(bool)
    if pd.api.types.is_bool_dtype(values) or isinstance(wanted, bool):
        return (values.astype(str) == str(wanted)).to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        number = _number(wanted)
        return np.zeros(len(values), bool) if number is None else (values == number).fillna(False).to_numpy(bool)
    same = values == str(wanted)
    if (number := _number(wanted)) is not None:  # 100 and 100.0 are one k
        same |= pd.to_numeric(values, errors="coerce") == number
    return same.to_numpy(bool)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _nothing(rows: pd.DataFrame, name: str, wanted: Any) -> str:
    known = [text for text in _texts(rows[name]) if text]
    near = near_names(str(wanted), known) or known[:_SHOWN]
    there = f"; there are {', '.join(near)}" if near else ""
    return f"no row has {name} = {_word(wanted)}{there}"


def _differences(rows: pd.DataFrame, column: str) -> str:
    told = []
    for name in rows.columns:
        values = _texts(rows[name])
        if name != column and len(values) > 1:
            more = ", ..." if len(values) > _SHOWN else ""
            told.append(f"{name} ({', '.join(value or 'nothing' for value in values[:_SHOWN])}{more})")
    return ", ".join(told[:_SHOWN]) or "nothing else"


def _note(rows: pd.DataFrame) -> str:
    notes = [note for note in _texts(rows["note"]) if note] if "note" in rows else []
    return f": {'; '.join(notes[:2])}" if notes else ""


def _texts(values: pd.Series) -> list[str]:
    """Return the different values as text, in their order; an empty field as an empty text."""
    return list(dict.fromkeys("" if pd.isna(value) else str(value) for value in values))


def _words(where: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_word(value)}" for name, value in where.items())


def _word(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _words_of_threshold(one: Criterion) -> str:
    ends = one["threshold"] if one["test"] == "between" else [one["threshold"]]
    return " and ".join(json.dumps(end) for end in ends)
