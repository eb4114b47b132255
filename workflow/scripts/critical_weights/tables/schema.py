"""The schema of every result table: columns, types, units, meanings; writers and readers check against it."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TableError, near_names
from ..files import REMADE, written_whole

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """One column: its pandas type, unit and meaning; ``optional`` ones may be empty in a row."""

    name: str
    dtype: str
    meaning: str
    unit: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """One result table: its path pattern, population and columns."""

    name: str
    population: str
    columns: tuple[Column, ...]


TOP_WEIGHTS = Table(
    "top_weights.csv",
    "the selected weights of one experiment, by score descending; ties by tensor order, then flat index",
    (
        Column("rank", "int64", "place in the whole file, from 1"),
        Column("rank_in_tensor", "int64", "place among the selected weights of the same tensor, from 1"),
        Column("parameter", "str", "tensor name"),
        Column("indices", "str", "index tuple in storage order, such as (128000, 3303)"),
        Column("sensitivity_score", "float32", "score", "units of the metric"),
        Column("weight", "float32", "value of the weight; empty beyond the candidates kept", optional=True),
        Column("gradient", "float32", "signed gradient of the mean loss", "nats per token / weight", optional=True),
        Column("layer", "Int64", "index of the transformer block; empty outside the blocks", optional=True),
        Column("component", "str", "role of the tensor (q_proj, down_proj, embed_tokens, ...)"),
        Column("expert", "Int64", "slice of a 3-D tensor", optional=True),
        Column("row", "Int64", "output index, whatever the storage order", optional=True),
        Column("col", "Int64", "input index, whatever the storage order", optional=True),
        Column("token", "str", "token of an embedding or head row, as the tokenizer spells it", optional=True),
    ),
)
OVERLAP = Table(
    "overlap.csv",
    "pairs of score stores of one phase and model (or of lists made elsewhere), the first k of each. `expected` and "
    "`p` are those of independent draws, one weight (line) as likely as another: too simple a null, because the "
    "weights of a row or column are not independent and top weights come in whole lines, so that a small p says that "
    "the lists are not unrelated, and no more",
    (
        Column(
            "scope", "str",
            "global: over all tensors; global_by_tensor: the same beside a stricter chance level (score stores only); "
            "pooled: the first k of every tensor, together; tensor: within one tensor; row, col, neuron: lines of "
            "weights by their largest score, over all tensors or within one",
        ),
        Column(
            "tensor", "str", "the tensor (of neurons the MLP); empty where all are compared together", optional=True
        ),
        Column("a", "str", "first list"),
        Column("b", "str", "second list"),
        Column("k", "str", "weights (lines) compared of each list, or 'all'", "weights or lines"),
        Column("shared", "int64", "weights (lines) in both", "weights or lines"),
        Column("share", "float64", "shared / number compared (the smaller, where one list ends before k)", "fraction"),
        Column("jaccard", "float64", "shared / union", "fraction of the union"),
        Column(
            "expected", "float64",
            "shared by two independent draws: from all; for global_by_tensor, pooled, and global ones that are not "
            "complete, from each tensor apart, as often as it comes in each list",
            "weights or lines", optional=True,
        ),
        Column(
            "p", "float64",
            "chance of at least as many shared ones in such draws (hypergeometric; from each tensor apart: the sum of "
            "its numbers, by convolution); 0 below the smallest float64", optional=True,
        ),
        Column("complete", "bool", "whether the lists can answer this k exactly"),
    ),
)  # fmt: skip
CONCENTRATION = Table(
    "concentration.csv",
    "all weights of the analysed set of one phase and model, one score store at a time",
    (
        Column("metric", "str", "full name of the metric"),
        Column("scope", "str", "all, component or layer"),
        Column("name", "str", "the component or layer; 'all' for all; 'outside' for weights outside the blocks"),
        Column(
            "quantity", "str",
            "gini, top_share, lorenz, median, top_mean_over_median (mean of the top 1 % over the median), "
            "effective_number, max_over_mean, tail_index (Hill's alpha), tail_index_range, score_share, weight_share",
        ),
        Column(
            "at", "float64", "fraction of the weights, for top_share, lorenz and top_mean_over_median; k of tail_index",
            "fraction of weights, or weights", optional=True,
        ),
        Column("value", "float64", "the figure (tail_index_range: the median over the k)"),
        Column(
            "low", "float64",
            "lower bound, where a histogram stands in for the scores; tail_index: less one standard error; "
            "tail_index_range: least over the k; else the value",
        ),
        Column("high", "float64", "upper bound, likewise"),
        Column("weights", "int64", "weights in the population", "weights"),
        Column("unit", "str", "unit of value"),
        Column(
            "magnitude", "float64", "the same figure of the metric magnitude over the same weights, to hold it against",
            optional=True,
        ),
    ),
)  # fmt: skip
TABLES = (TOP_WEIGHTS, OVERLAP, CONCENTRATION)


def write_table(frame: pd.DataFrame, path: str | Path, table: Table) -> None:
    """Write a table whole, as UTF-8 CSV with a header, after checking its columns.

    Floats are written with as many digits as reading the same float back needs (float32 or float64).

    Raises:
        TableError: the columns are not the schema's.

    """
    check_columns(list(frame.columns), table, str(path))
    frame = frame.astype({c.name: c.dtype for c in table.columns})
    # Python before 3.13 leaves a bare carriage return (in a token) unquoted, and readers take it for a line's end.
    texts = [c.name for c in table.columns if c.dtype == "str"]
    returns = any(frame[name].str.contains("\r", regex=False).any() for name in texts)
    with written_whole(path) as part:
        quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
        frame.to_csv(part, index=False, lineterminator="\n", quoting=quoting)


def read_table(path: str | Path, table: Table) -> pd.DataFrame:
    """Read a table and check it against its schema.

    Raises:
        TableError: the file is missing, empty or cut short, or a column is missing or of another type.

    """
    import pandas as pd

    numbers = [column.name for column in table.columns if column.dtype not in ("str", "bool")]
    try:
        # A token or a tensor may be spelled "NA" or "null": only a number's empty field is missing. Numbers are parsed
        # as the file is read: parsed from a column of strings, they take four times as long.
        frame = pd.read_csv(path, dtype={c.name: str for c in table.columns if c.name not in numbers},
                            keep_default_na=False, na_values={name: [""] for name in numbers}, encoding="utf-8",
                            low_memory=False)  # fmt: skip
    except FileNotFoundError as error:
        raise TableError(f"there is no {path}", fix="Run the stage that makes it") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise TableError(f"{path} cannot be read as a table: {str(error).strip()}") from error
    if not _ends_with_a_line(path):
        raise TableError(f"{path} is cut short: its last line does not end", fix=REMADE)
    check_columns(list(frame.columns), table, str(path))
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the first field of a longer row for its name
        raise TableError(f"{path} has rows with more fields than its {len(frame.columns)} columns")
    for column in table.columns:
        try:
            frame[column.name] = _parse(frame[column.name], column)
        except (ValueError, TypeError, OverflowError) as error:
            raise TableError(f"column {column.name} of {path} is not {column.dtype} ({error})") from error
    return frame


def _ends_with_a_line(path: str | Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _parse(values: pd.Series, column: Column) -> pd.Series:
    import pandas as pd

    if column.dtype == "str":
        return values
    if column.dtype == "bool":
        parsed = values.map({"True": True, "False": False})
        if parsed.isna().any():
            raise ValueError("expected True or False")
        return parsed.astype(bool)
    empty = values.isna()
    if empty.any() and not column.optional:
        raise ValueError(f"row {int(empty.to_numpy().argmax()) + 2} is empty")
    if values.dtype == bool or (values.dtype == object and values.map(type).eq(bool).any()):
        raise ValueError("expected numbers, not True and False")
    numbers = pd.to_numeric(values)
    if column.dtype == "int64":
        numbers = numbers.astype("Int64")  # refuses a fraction, which numpy would cut off
    return numbers.astype(column.dtype)


def check_columns(got: list[str], table: Table, path: str) -> None:
    """Check the names of columns.

    Raises:
        TableError: one is missing, there are others, or their order is another.

    """
    expected = [c.name for c in table.columns]
    for name in expected:
        if name not in got:
            raise TableError(f"{path} has no column '{name}'", near=near_names(name, got), expected=", ".join(expected))
    if got != expected:
        raise TableError(f"{path} has other columns or another order", got=", ".join(got), expected=", ".join(expected))
