"""The criteria that a config declares: read, checked against the tables that they are about, split by level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..config import config_errors, section_errors
from ..errors import ConfigError, no_file, unknown
from .tables import KNOWN, is_across

Criterion = Mapping[str, Any]
"""One criterion as the config has it: name, statement, table, column, test, threshold; where, aggregate, of, to."""

_CELLS = ("where", "of", "to")
_NUMBERS = ("int64", "float64", "float32", "bool")


def read_criteria(config: Mapping[str, Any]) -> list[Criterion]:
    """Return the criteria of a valid config: its list, or that of the file it names; none where it declares none.

    Raises:
        ConfigError: the file cannot be read, or holds something else than a list.

    """
    given = config.get("criteria") or []
    return list(given) if not isinstance(given, str) else _read(given)


def _read(path: str) -> list[Criterion]:
    try:
        found = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise no_file("criteria", Path(path).expanduser(), "*.y*ml") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"criteria: {path} cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # as read_config: month 13, a thousand brackets
        raise ConfigError(f"criteria: {path} is not YAML ({error})") from error
    if isinstance(found, Mapping) and set(found) == {"criteria"}:
        found = found["criteria"]
    if not isinstance(found, list):
        raise ConfigError(f"criteria: {path} holds no list", expected="a list of criteria, as the config has them")
    return found


def criteria_errors(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return every mistake in the criteria of a config that is valid but for them."""
    try:
        criteria = read_criteria(config)
    except ConfigError as error:
        return [error]
    if isinstance(config.get("criteria"), str):
        errors = config_errors({**config, "criteria": criteria})
        if errors:
            return [ConfigError(f"{config['criteria']}: {error}") for error in errors]
    return list_errors(criteria)


def list_errors(criteria: Any) -> list[ConfigError]:
    """Return every mistake in a list of criteria."""
    if not isinstance(criteria, list):
        return [ConfigError("criteria", got=criteria, expected="a list")]
    if errors := section_errors("criteria", criteria):
        return errors
    errors = [ConfigError(f"criteria.{one['name']}: {told}") for one in criteria for told in _mistakes(one)]
    names = [one["name"] for one in criteria]
    double = dict.fromkeys(name for name in names if names.count(name) > 1)
    return errors + [ConfigError(f"criteria: {name} is declared twice") for name in double]


def _mistakes(one: Criterion) -> Iterator[str | ConfigError]:
    """Yield what a schema cannot see: tables, columns, values of a wrong kind, both or none of of and to."""
    if one["test"] == "between" and one["threshold"][0] > one["threshold"][1]:
        yield f"threshold: got {one['threshold']}, expected the lower end first"
    for key in _CELLS:
        for column, value in (one.get(key) or {}).items():
            if isinstance(value, list | dict):
                yield f"{key}.{column}: got {value}, expected one value"
            elif not isinstance(value, str | float | int | None):  # which YAML makes of 2024-12-01
                yield f"{key}.{column}: got the date {value}, expected a text or a number; put it in quotes"
    if one["table"] not in KNOWN:
        yield unknown("table", one["table"], KNOWN)
        return
    columns = {column.name: column for column in KNOWN[one["table"]].columns}
    for name in [one["column"], *(name for key in _CELLS for name in one.get(key) or {})]:
        if name not in columns:
            yield unknown(f"column of {one['table']}", name, columns)
    if one["column"] in columns and columns[one["column"]].dtype.lower() not in _NUMBERS:
        yield f"column {one['column']} of {one['table']} holds text, not numbers"


def criteria_of_level(criteria: list[Criterion], *, across: bool) -> list[Criterion]:
    """Return the criteria on tables over models and phases, or those on tables of one of them."""
    return [one for one in criteria if is_across(one["table"]) == across]
