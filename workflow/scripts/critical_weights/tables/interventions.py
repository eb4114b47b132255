"""The tables of interventions: what each condition did, single weights, and which metric to trust."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .schema import Column, Table

if TYPE_CHECKING:
    import pandas as pd

INTERVENTIONS_TABLE = Table(
    "interventions.csv",
    "conditions: one set of weights, changed in one way, measured on the same evaluation texts of one phase and model; "
    "the first row is the unchanged model",
    (
        Column("condition", "int64", "its number, from 0"),
        Column(
            "part", "str", "unchanged, ladder (over k), strength (factors), other (further interventions), line (whole "
            "rows, columns, neurons)",
        ),
        Column("metric", "str", "path name of the metric that chose the weights, or the selection beside a control"),
        Column("mode", "str", "perlayer, perblock, global; list: a file's"),
        Column(
            "kind", "str", "top or bottom k; random: as many others of the same tensors; matched: and of the same "
            "decile of abs(w); list; row, col, neuron",
        ),
        Column("name", "str", "of a line: which"),
        Column("k", "Int64", "weights asked for of each group", "weights", optional=True),
        Column("seed", "Int64", "of a control's draw and of random changes", optional=True),
        Column("intervention", "str", "what was done to each weight"),
        Column("strength", "float64", "how strongly", optional=True),
        Column("asked", "int64", "weights selected", "weights"),
        Column("changed", "int64", "with other bits than before", "weights"),
        Column("unchanged", "int64", "as before: already so, or the stored format cannot hold the change", "weights"),
        Column("nonfinite", "int64", "that became infinite or NaN", "weights"),
        Column("unmatched", "int64", "of a matched control: of another decile, their own being used up", "weights"),
        Column(
            "dnll", "float64", "change of the mean negative log-likelihood per token; over the texts that are finite",
            "nats per token", optional=True,
        ),
        Column("low", "float64", "2.5 % quantile over bootstrap draws of texts", "nats per token", optional=True),
        Column("high", "float64", "97.5 % quantile", "nats per token", optional=True),
        Column(
            "first_order", "float64", "predicted change, sum of g (new - old), g of the same evaluation texts",
            "nats per token", optional=True,
        ),
        Column(
            "second_order", "float64", "first_order + sum of 1/2 h (new - old)^2, h the Fisher diagonal of the same "
            "texts; no interactions between weights", "nats per token", optional=True,
        ),
        Column("perplexity", "float64", "exp of the mean negative log-likelihood per token, finite texts",
               optional=True),
        Column("agreement", "float64", "predictions whose most likely token is the unchanged model's", "fraction"),
        Column("kl", "float64", "mean KL(unchanged, changed) over tokens, finite texts", "nats per token",
               optional=True),
        Column("n_texts", "int64", "evaluation texts", "texts"),
        Column("n_tokens", "int64", "predicted tokens", "tokens"),
        Column("nan_texts", "int64", "with a NaN among their logits", "texts"),
        Column("inf_texts", "int64", "without NaN, with an infinite logit or loss", "texts"),
        Column("collapsed_texts", "int64", "more than half of whose predictions are uniform to a factor of 2", "texts"),
        Column("start", "Int64", "first block run again; blocks: only norm and head; -1: everything", optional=True),
    ),
)  # fmt: skip
TEXTS_TABLE = Table(
    "texts.csv",
    "conditions of interventions.csv by evaluation text",
    (
        Column("condition", "int64", "its number in interventions.csv"),
        Column("text", "int64", "place among the evaluation texts, from 0"),
        Column("predicted", "int64", "predicted tokens", "tokens"),
        Column("change", "float64", "change of the summed negative log-likelihood; inf or empty (NaN) as it came out",
               "nats", optional=True),
        Column("agreed", "int64", "predictions whose most likely token is the unchanged model's", "tokens"),
        Column("divergence", "float64", "sum of KL(unchanged, changed)", "nats", optional=True),
    ),
)  # fmt: skip
SINGLE_WEIGHTS = Table(
    "single_weights.csv",
    "single weights, each changed alone, on the first few evaluation texts: the top of every metric and a sample over "
    "the range of each metric's scores",
    (
        Column("number", "int64", "of the weight, from 0"),
        Column("parameter", "str", "tensor name"),
        Column("indices", "str", "index tuple in storage order"),
        Column("layer", "Int64", "index of the transformer block; empty outside the blocks", optional=True),
        Column("component", "str", "role of the tensor"),
        Column("weight", "float64", "value before"),
        Column("change", "float64", "new minus old value"),
        Column("dnll", "float64", "change of the mean negative log-likelihood per token, finite texts",
               "nats per token", optional=True),
        Column("low", "float64", "2.5 % quantile over bootstrap draws of texts", "nats per token", optional=True),
        Column("high", "float64", "97.5 % quantile", "nats per token", optional=True),
        Column("gradient", "float64", "g of the mean loss of the same texts", "nats per token / weight"),
        Column("first_order", "float64", "g * change", "nats per token"),
        Column("second_order", "float64", "first order + 1/2 h change^2, h the Fisher diagonal of the same texts",
               "nats per token"),
        Column("kl", "float64", "mean KL(unchanged, changed) over tokens", "nats per token", optional=True),
        Column("n_texts", "int64", "evaluation texts", "texts"),
        Column("n_tokens", "int64", "predicted tokens", "tokens"),
    ),
)  # fmt: skip
SINGLE_SCORES = Table(
    "single_scores.csv",
    "the weights of single_weights.csv by metric",
    (
        Column("number", "int64", "of the weight"),
        Column("metric", "str", "path name"),
        Column("score", "float64", "its score; empty where the store does not keep it", "unit of the metric",
               optional=True),
        Column("drawn", "str", "why it is here: top, sample or both (top sample); empty: for another metric"),
    ),
)  # fmt: skip
VERDICT = Table(
    "verdict.csv",
    "metrics and modes whose selections were intervened on over a ladder of k, best first",
    (
        Column("trust", "int64", "place, from 1: by wins, then by area"),
        Column("metric", "str", "path name"),
        Column("mode", "str", "ranking mode"),
        Column("intervention", "str", "what was done over the ladder"),
        Column("verdict", "str", "above, not told apart from or below controls, by gain_matched's interval; or not "
               "compared"),
        Column("wins", "int64", "other rows whose area is smaller, the interval of the difference above 0", "rows"),
        Column("k_low", "int64", "smallest k", "weights"),
        Column("k_high", "int64", "largest k", "weights"),
        Column("k_compared", "Int64", "largest k at which the controls are as large as the selection; gains, areas of "
               "the controls and the verdict are over the k up to it", "weights", optional=True),
        Column("nonfinite_texts", "int64", "evaluation texts whose loss did not stay finite at one of the k; they are "
               "left out there", "texts"),
        Column("area", "float64", "mean damage over log k: area under the damage curve / log(k_high / k_low)",
               "nats per token", optional=True),
        Column("area_low", "float64", "2.5 % quantile over draws of texts", "nats per token", optional=True),
        Column("area_high", "float64", "97.5 % quantile", "nats per token", optional=True),
        Column("area_random", "float64", "of the random controls, mean over seeds", "nats per token", optional=True),
        Column("area_matched", "float64", "of the controls of the same abs(w) decile", "nats per token", optional=True),
        Column("gain_random", "float64", "area up to k_compared - area_random", "nats per token", optional=True),
        Column("gain_random_low", "float64", "2.5 % quantile over draws of texts, and of Student's t for the mean of "
               "the controls over seeds (of one seed the spread is unknown)", "nats per token", optional=True),
        Column("gain_random_high", "float64", "97.5 % quantile", "nats per token", optional=True),
        Column("gain_matched", "float64", "area up to k_compared - area_matched", "nats per token", optional=True),
        Column("gain_matched_low", "float64", "2.5 % quantile over draws of texts, and of Student's t for the mean of "
               "the controls over seeds (of one seed the spread is unknown)", "nats per token", optional=True),
        Column("gain_matched_high", "float64", "97.5 % quantile", "nats per token", optional=True),
        Column("spearman", "float64", "rank correlation of score and abs(damage) over the sample of single weights",
               optional=True),
        Column("spearman_low", "float64", "2.5 % quantile over draws of weights", optional=True),
        Column("spearman_high", "float64", "97.5 % quantile", optional=True),
        Column("spearman_signed", "float64", "of score and damage with its sign", optional=True),
        Column("n_single", "int64", "single weights of the sample whose score is known", "weights"),
        Column("first_order_ratio", "float64", "median of abs(first order / measured) over the metric's own weights",
               optional=True),
        Column("second_order_ratio", "float64", "the same of the second order", optional=True),
        Column("first_order_sign", "float64", "share of them whose predicted sign is right", "fraction", optional=True),
        Column("largest_single", "float64", "largest damage among the metric's top single weights, finite ones",
               "nats per token",
               optional=True),
        Column("n_texts", "int64", "evaluation texts", "texts"),
        Column("seeds", "int64", "seeds of each control", "seeds"),
        Column("draws", "int64", "bootstrap draws", "draws"),
    ),
)  # fmt: skip
INTERVENTION_TABLES = (INTERVENTIONS_TABLE, TEXTS_TABLE, SINGLE_WEIGHTS, SINGLE_SCORES, VERDICT)


def in_order(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Return a table's columns in its schema's order."""
    return frame[[column.name for column in table.columns]]
