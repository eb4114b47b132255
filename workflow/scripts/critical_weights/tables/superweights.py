"""The schema of the tables on super weights."""

from __future__ import annotations

from .schema import Column, Table

SUPERWEIGHTS = Table(
    "superweights.csv",
    "weights that make an activation spike in a block's down_proj over a few calibration texts, and weights published "
    "as super weights of the same model; one row a weight and metric with a score store",
    (
        Column("round", "Int64", "round that found it, from 1, with the finds before set to 0; empty: not found",
               optional=True),
        Column("class", "str", "early: it makes the spike, alone or with a few of its column, and was set to 0; last: "
               "in the last blocks, left as it is; shared: early, but no few weights make it; empty: not found",
               optional=True),
        Column("published", "bool", "whether the weight is in workflow/resources/super_weights.csv"),
        Column("layer", "int64", "index of the transformer block"),
        Column("component", "str", "role of the tensor"),
        Column("parameter", "str", "tensor name"),
        Column("row", "int64", "output index, whatever the storage order"),
        Column("col", "int64", "input index, whatever the storage order"),
        Column("weight", "float64", "value of the weight"),
        Column("published_weight", "float64", "value that was published", optional=True),
        Column("input", "float64", "signed input of the column at the spike", "activation", optional=True),
        Column("output", "float64", "signed output of the row at the spike", "activation", optional=True),
        Column("share", "float64", "weight * input / output", "fraction of the output", optional=True),
        Column("text", "Int64", "calibration text of the spike, from 0", optional=True),
        Column("position", "Int64", "token of the spike in its text, from 0", optional=True),
        Column("to_median", "float64", "abs(output) / median of the other blocks' largest abs(output)", "ratio",
               optional=True),
        Column("to_next", "float64", "abs(output) / the next block's largest abs(output), of the last the one before",
               "ratio", optional=True),
        Column("metric", "str", "full name of the metric; empty where no score store was given", optional=True),
        Column("score", "float64", "score of the weight; empty beyond the kept scores", "units of the metric",
               optional=True),
        Column("rank", "Int64", "place among all scored weights by score, from 1; empty where the kept scores cannot "
               "tell", optional=True),
        Column("rank_above", "Int64", "the place is greater than this; empty where the rank is known", optional=True),
        Column("rank_in_tensor", "Int64", "place within the tensor, from 1", optional=True),
        Column("rank_in_tensor_above", "Int64", "the place is greater than this, likewise", optional=True),
        Column("weights", "Int64", "weights with a score of this metric", "weights", optional=True),
        Column("note", "str", "why there is no score", optional=True),
        Column("texts", "int64", "texts run", "texts"),
        Column("tokens", "int64", "tokens run", "tokens"),
    ),
)  # fmt: skip
SPIKE_PROFILE = Table(
    "spike_profile.csv",
    "the down_proj of each block, over all tokens of a few calibration texts, in each round of the detection",
    (
        Column("round", "int64", "from 1: the model as it is; then with the finds of the rounds before set to 0"),
        Column("layer", "int64", "index of the transformer block"),
        Column("component", "str", "role of the tensor"),
        Column("parameter", "str", "tensor name"),
        Column("max_input", "float64", "largest abs(input)", "activation"),
        Column("input_col", "int64", "its input index"),
        Column("input_text", "int64", "its text, from 0"),
        Column("input_position", "int64", "its token in the text, from 0"),
        Column("max_output", "float64", "largest abs(output)", "activation"),
        Column("output_row", "int64", "its output index"),
        Column("output_text", "int64", "its text, from 0"),
        Column("output_position", "int64", "its token in the text, from 0"),
        Column("median_input", "float64", "median over tokens of the token's largest abs(input)", "activation"),
        Column("median_output", "float64", "median over tokens of the token's largest abs(output)", "activation"),
        Column("texts", "int64", "texts run", "texts"),
        Column("tokens", "int64", "tokens run", "tokens"),
    ),
)
