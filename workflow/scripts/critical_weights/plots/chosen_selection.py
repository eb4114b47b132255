"""The selections that figures of single weights are about: one a metric, all of the same kind."""

from __future__ import annotations

import pandas as pd

MOST_K = 1000


def choose(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each metric's largest selection over all tensors of at most :data:`MOST_K` weights.

    Lists made elsewhere have no metric and stand for themselves.

    Args:
        table: ``structure.csv`` or ``tokens.csv``.

    Returns:
        The rows, and ``panel``: the metric, or the list's name.

    """
    rows = table[table["mode"].isin(["global", "list"])]
    panel = rows["metric"].where(rows["metric"].ne("") & rows["metric"].notna(), rows["selection"])
    rows = rows.assign(panel=panel)
    fitting = rows[(rows["k"] <= MOST_K) | (rows["mode"] == "list")]
    best = fitting.groupby("panel", sort=False)["k"].max()
    kept = fitting[fitting["k"] == fitting["panel"].map(best)]
    one = kept.drop_duplicates("panel").set_index("panel")["selection"]
    return kept[kept["selection"] == kept["panel"].map(one)]


def selections(rows: pd.DataFrame) -> str:
    """Say which selections these are: ``the 1,000 highest scores of each metric over all tensors``."""
    sizes = sorted({f"{k:,}" for k in rows["k"]})
    if (rows["mode"] == "list").all():
        return "the weights of each list"
    number = sizes[0] if len(sizes) == 1 else f"at most {max(rows['k']):,}"
    return f"the {number} highest scores of each metric over all tensors"
