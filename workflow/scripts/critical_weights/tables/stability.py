"""The tables of how much a ranking depends on the calibration texts, or on the probes."""

from __future__ import annotations

from .schema import Column, Table

JUDGES = ("halves", "probes")
"""What a verdict on a ranking comes from; a store has one of them."""
TOO_HIGH = "too high: weights beyond the candidates may get to the first k"
"""What ``note`` says of overlaps at a k that the kept candidates cannot answer; no verdict is based on them."""

STABILITY = Table(
    "stability.csv",
    "the first k weights of each score store of one phase and model, by ranking mode, among the candidates whose "
    "gradients of single texts (or standard errors) the store keeps",
    (
        Column("metric", "str", "full name of the metric"),
        Column("mode", "str", "global, perblock or perlayer (the mean over the blocks or tensors); empty: the store"),
        Column("k", "Int64", "first weights of each group", "weights", optional=True),
        Column(
            "method", "str",
            "bootstrap: texts drawn with replacement, against all texts; bootstrap_pair: two such draws against each "
            "other; halves: random disjoint halves of the texts, N/2 each, against each other; probes: two simulated "
            "Hutchinson estimates against each other; seeds: phases with other seeds against this one; check; verdict; "
            "none: not measured, the note says why",
        ),
        Column(
            "quantity", "str",
            "jaccard: shared / union of the first k; share: shared / k; relative_error: standard error / score, the "
            "median of the first k; floor_draws: share of draws whose k-th score is below what weights beyond the "
            "candidates may have; edge_share: share of a draw's first k that are of the last tenth of the candidates; "
            "groups_above: share of the tensors or blocks whose own jaccard's lower end is above threshold and chance; "
            "significant_share: share of the first k above 2 standard errors; store_agreement: largest norm-relative "
            "difference of a tensor's scores made from single texts and the kept ones; largest_k: the largest k whose "
            "jaccard's lower end is above threshold and chance, of those that half of the groups answer; 0 for none",
        ),
        Column("value", "float64", "the figure, the mean over draws unless its quantity says otherwise", optional=True),
        Column(
            "low", "float64",
            "2.5 % quantile over draws or splits (relative_error: over weights; seeds: the smallest)", optional=True,
        ),
        Column("high", "float64", "97.5 % quantile (seeds: the largest)", optional=True),
        Column(
            "expected", "float64",
            "chance level: two independent draws of k among the candidates (seeds: among all weights; bootstrap, "
            "bootstrap_pair: none, since draws of the same texts have most of them in common); store_agreement: what "
            "is allowed; largest_k: the threshold", optional=True,
        ),
        Column(
            "n", "Int64", "draws, pairs of draws, splits or other phases; relative_error, significant_share: weights; "
            "groups_above: groups; store_agreement: tensors", optional=True,
        ),
        Column("n_texts", "Int64", "calibration texts", "texts", optional=True),
        Column("unit", "str", "unit of value"),
        Column("note", "str", "what to bear in mind"),
    ),
)  # fmt: skip
WEIGHT_STABILITY = Table(
    "weight_stability.csv",
    "the first weights of all tensors together (100, fewer where the candidates do not tell so many), for each score "
    "store of one phase and model whose texts or probes can be resampled",
    (
        Column("metric", "str", "full name of the metric"),
        Column("rank", "int64", "place by score, from 1"),
        Column("parameter", "str", "tensor name"),
        Column("indices", "str", "index tuple in storage order"),
        Column("layer", "Int64", "index of the transformer block; empty outside the blocks", optional=True),
        Column("component", "str", "role of the tensor"),
        Column("expert", "Int64", "slice of a 3-D tensor", optional=True),
        Column("row", "Int64", "output index, whatever the storage order", optional=True),
        Column("col", "Int64", "input index, whatever the storage order", optional=True),
        Column("score", "float32", "score of all texts", "unit"),
        Column("standard_error", "float64", "of the score: over bootstrap draws of texts, or over probes", "unit"),
        Column("low", "float64", "2.5 % quantile of the score over the draws", "unit"),
        Column("high", "float64", "97.5 % quantile", "unit"),
        Column("k", "int64", "the first places that probability is about", "weights"),
        Column("probability", "float64", "share of draws in which the weight is among the first k again"),
        Column("method", "str", "bootstrap: texts drawn with replacement; probes: simulated Hutchinson estimates"),
        Column("n", "int64", "draws"),
        Column("n_texts", "int64", "calibration texts", "texts"),
        Column("unit", "str", "unit of score, standard_error, low and high"),
    ),
)
STABILITY_TABLES = (STABILITY, WEIGHT_STABILITY)
