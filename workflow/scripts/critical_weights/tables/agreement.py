"""The schema of agreement.csv: how far two metrics rank and score the same weights alike."""

from __future__ import annotations

from .schema import Column, Table

AGREEMENT = Table(
    "agreement.csv",
    "pairs of score stores of one phase and model. Correlations are over weights that both metrics rank at the top: "
    "such a choice lowers them, below 0 too where the metrics agree on the whole, so that they compare pairs with each "
    "other and do not stand for all weights",
    (
        Column("scope", "str", "global: over all tensors; tensor: within one tensor"),
        Column("tensor", "str", "the tensor; empty for global", optional=True),
        Column("a", "str", "first metric"),
        Column("b", "str", "second metric"),
        Column("quantity", "str", "rbo: rank-biased overlap; spearman, kendall (tau-b): correlation of the scores"),
        Column(
            "over", "str",
            "what it is over. ranking: both rankings to the place where one is no longer known; shared: weights among "
            "the first `depth` of both; union: of either, where the stores hold every score",
        ),
        Column("persistence", "float64", "p of rbo: place d has weight p^(d - 1)", "probability", optional=True),
        Column("value", "float64", "the figure (rbo: extrapolated); empty where too few or equal scores leave none",
               "0 to 1 for rbo, else -1 to 1", optional=True),
        Column("low", "float64", "rbo: least that any continuation of the rankings gives; else empty", optional=True),
        Column("high", "float64", "rbo: most that any continuation gives; else empty", optional=True),
        Column("depth", "int64", "places of each ranking that were read", "weights"),
        Column("n", "int64", "rbo: weights shared by these places; else weights correlated", "weights"),
    ),
)  # fmt: skip
