"""The schema of the table of declared criteria."""

from __future__ import annotations

from .schema import Column, Table

CRITERIA = Table(
    "criteria.csv",
    "the criteria that the config declares on the tables of one phase and model (results/report/: on the tables over "
    "models and phases), in its order",
    (
        Column("name", "str", "name of the criterion"),
        Column("statement", "str", "the hypothesis in words, as written before the run"),
        Column("table", "str", "table that it is about"),
        Column("where", "str", "what the rows must hold; of a ratio, what those above and below the line must",
               optional=True),
        Column("column", "str", "column that the value comes from"),
        Column("aggregate", "str", "how several rows become one value: min, max, mean, median; empty: one row only",
               optional=True),
        Column("test", "str", ">, >=, <, <= or between (both ends included)"),
        Column("threshold", "str", "what the value is held against; two numbers for between"),
        Column("value", "float64", "the figure, or the ratio of two", optional=True),
        Column("n", "int64", "rows that match and have a value", "rows"),
        Column("verdict", "str", "pass, fail, not run (there is no such table), not applicable (no row, no value, "
               "or a ratio of two values of which none is above 0)"),
        Column("reason", "str", "why there is no value, or how else it was judged", optional=True),
    ),
)  # fmt: skip
