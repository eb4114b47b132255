"""The schema of the table of downstream tasks."""

from __future__ import annotations

from .schema import Column, Table

DOWNSTREAM = Table(
    "downstream.csv",
    "the tasks of lm-evaluation-harness that the config names, before and after each selection is changed",
    (
        Column("task", "str", "name of the task, or of a group of tasks"),
        Column("metric", "str", "the harness's name of the metric"),
        Column("filter", "str", "the harness's name of the filter of answers; empty: none", optional=True),
        Column("better", "str", "higher or lower; empty where the task does not say", optional=True),
        Column("n", "int64", "documents; 0 for a group, whose tasks have their own rows", "documents"),
        Column("before", "float64", "figure of the unchanged model", "the metric's", optional=True),
        Column("before_stderr", "float64", "the harness's standard error", "the metric's", optional=True),
        Column("after", "float64", "figure while the weights are changed; empty where it overflows", "the metric's",
               optional=True),
        Column("after_stderr", "float64", "the harness's standard error", "the metric's", optional=True),
        Column("change", "float64", "after minus before", "the metric's", optional=True),
        Column("change_stderr", "float64", "standard error of the change, paired by document (n - 1); empty where the "
               "metric is no mean over documents", "the metric's", optional=True),
        Column("intervention", "str", "what was done to the weights"),
        Column("strength", "float64", "its strength; 0 where it has none"),
        Column("selection", "str", "run folder, or name of the list"),
        Column("k", "int64", "weights selected, from the first of the list", "weights"),
        Column("changed", "int64", "weights whose bits the intervention changed", "weights"),
    ),
)  # fmt: skip
