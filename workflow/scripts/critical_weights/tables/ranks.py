"""The table of rank pairs: where the weights of one metric's ranking stand in another's."""

from __future__ import annotations

from .schema import Column, Table

RANK_DENSITY = Table(
    "rank_density.csv",
    "the weights of the tensors that both score stores of a pair have, for pairs of score stores of one phase and "
    "model; counted by their places in both rankings over all tensors. A place is known where the store keeps enough "
    "scores and the score is above 0; weights without one are counted together",
    (
        Column("a", "str", "first metric"),
        Column("b", "str", "second metric"),
        Column("a_from", "int64", "first place of the bin in a's ranking, from 1", "places"),
        Column("a_to", "Int64", "last place of the bin; empty: weights whose place in a is not known, or whose score "
               "is 0", "places", optional=True),
        Column("b_from", "int64", "first place of the bin in b's ranking, from 1", "places"),
        Column("b_to", "Int64", "last place of the bin; empty: likewise", "places", optional=True),
        Column("weights", "int64", "weights in both bins", "weights"),
        Column("expected", "float64", "the same, if one ranking said nothing about the other: weights of a's bin x "
               "weights of b's bin / population", "weights"),
        Column("population", "int64", "weights of the tensors that both stores have", "weights"),
    ),
)  # fmt: skip
