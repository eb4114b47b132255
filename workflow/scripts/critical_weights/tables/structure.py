"""The schema of the tables on where top weights lie: lines, tokens, the first position, sensitivity by group."""

from __future__ import annotations

from .schema import Column, Table

STRUCTURE = Table(
    "structure.csv",
    "the weights of a selection whose score is above 0: configured experiments, the first 100, 1000 and 10000 of each "
    "score store, or lists made elsewhere",
    (
        Column("selection", "str", "run name (gradsq_global_k100), or the name of a list"),
        Column("metric", "str", "full name of the metric; empty for lists made elsewhere", optional=True),
        Column("mode", "str", "perlayer, perblock, global; list for lists made elsewhere"),
        Column("k", "int64", "weights asked for of each group; the length of a list", "weights"),
        Column("scope", "str", "all, component, layer, tensor, residual (channels) or neuron"),
        Column(
            "name",
            "str",
            "the tensor or component; 'outside' for the layer of tensors outside the blocks; of a neuron its "
            "MLP where a block has several; else all",
        ),
        Column("layer", "Int64", "index of the transformer block", optional=True),
        Column("depth", "float64", "layer / (blocks - 1): 0 the first block, 1 the last", optional=True),
        Column(
            "quantity",
            "str",
            "all, tensor: selected, zero_scores (left out of everything else), rows_hit and cols_hit (lines with any), "
            "lines_to_cover (least number of rows and columns that hold all, exact), half_rows, half_cols (exact), "
            "half_lines (greedy: the line that adds most first) that hold half, best_1_share, best_5_share (greedy); "
            "scope all: rows_hit to best_5_share over tensors of two dimensions or more with two selected weights or "
            "more (n of them); line_1 to line_5 (share that the greedy cover's lines of two weights or more add), "
            "mean_depth; component, layer: selected_share; residual: channels_hit, channels_in_half (of the blocks), "
            "blocks_hit, weights, outside_hit (tensors outside the blocks); neuron: "
            "neurons_hit, neurons_hit_twice (in two tensors of the MLP or more), tensors_hit, weights",
        ),
        Column("line", "str", "row or col of line_1 to line_5; channel or neuron", optional=True),
        Column("index", "Int64", "row, column, channel or neuron", optional=True),
        Column(
            "expert",
            "Int64",
            "slice of a 3-D tensor; of a neuron also the expert whose own MLP it is of",
            optional=True,
        ),
        Column("value", "float64", "the figure"),
        Column(
            "expected",
            "float64",
            "the same of as many weights in each tensor (selected_share, mean_depth, selected: in all tensors that the "
            "metric scores; of lists made elsewhere, in all analysed ones) placed at random; exact, but for "
            "`lines_to_cover`, `half_*`, `best_*`, `line_*`: mean of seeded draws",
            optional=True,
        ),
        Column(
            "p",
            "float64",
            "chance of at least this value at random (hypergeometric); of line_1, blocks_hit, tensors_hit and "
            "weights: that any line of the tensor, channel or neuron reaches it (upper bound)",
            optional=True,
        ),
        Column("n", "int64", "selected weights in the population of the row", "weights"),
        Column("unit", "str", "unit of value and expected"),
    ),
)
TOKENS = Table(
    "tokens.csv",
    "the rows of embeddings and heads with a selected weight of score above 0, by selection, tensor and number of "
    "weights descending",
    (
        Column("selection", "str", "run name (gradsq_global_k100)"),
        Column("metric", "str", "full name of the metric"),
        Column("mode", "str", "perlayer, perblock or global"),
        Column("k", "int64", "weights asked for of each group", "weights"),
        Column("parameter", "str", "tensor name"),
        Column("component", "str", "role of the tensor (embed_tokens, lm_head, ...)"),
        Column("row", "int64", "row of the tensor: the token's id"),
        Column("token", "str", "token as the tokenizer spells it", optional=True),
        Column(
            "special",
            "str",
            "BOS, EOS, UNK, PAD, joined by / ; 'no token' for rows beyond the tokenizer",
            optional=True,
        ),
        Column("count", "int64", "occurrences in the calibration texts", "tokens"),
        Column("first_count", "int64", "texts that begin with it", "texts"),
        Column("target_count", "int64", "occurrences as a token to predict", "tokens"),
        Column("count_share", "float64", "count / tokens of the calibration texts", "fraction of the tokens"),
        Column("unseen", "bool", "whether the calibration texts never have it"),
        Column("selected", "int64", "selected weights in the row", "weights"),
        Column("share", "float64", "selected / all selected weights of the selection", "fraction of the selection"),
        Column("score_sum", "float64", "sum of their scores", "units of the metric"),
        Column("score_share", "float64", "score_sum / the selection's", "fraction of the selection's score"),
    ),
)
FIRST_POSITION = Table(
    "first_position.csv",
    "the first candidates of each tensor, of which a score store keeps the score without position 0 of each text too",
    (
        Column("metric", "str", "full name of the metric"),
        Column("scope", "str", "all, component, tensor, line or token"),
        Column("name", "str", "the tensor (of a line or a token too) or component; 'all' for all"),
        Column(
            "quantity",
            "str",
            "overlap (share of the top k by the score that is in the top k by the variant, among the candidates kept), "
            "kth_over_rest (the variant's k-th score / the largest score that a weight outside the candidates has at "
            "most: it enters only if leaving position 0 out raises its score by more than that), position_0_share "
            "(1 - sum of the variant / sum of the scores; below 0 where it is larger without position 0), fall (sum of "
            "the scores - sum of the variant), not_available",
        ),
        Column("k", "Int64", "of overlap and kth_over_rest", "weights", optional=True),
        Column("line", "str", "row or col", optional=True),
        Column("index", "Int64", "of the row or column", optional=True),
        Column("expert", "Int64", "slice of a 3-D tensor", optional=True),
        Column("token", "str", "token of an embedding or head row, as the tokenizer spells it", optional=True),
        Column("value", "float64", "the figure", optional=True),
        Column("n", "int64", "candidates in the population of the row", "weights"),
        Column("unit", "str", "unit of value"),
        Column("note", "str", "why a figure is not available", optional=True),
    ),
)
SENSITIVITY = Table(
    "sensitivity_table.csv",
    "all weights of the analysed set, one score store at a time, cut in five ways: each way holds every weight of the "
    "tensors that it covers once",
    (
        Column("metric", "str", "full name of the metric"),
        Column("scope", "str", "tensor, block, expert (slices of 3-D tensors), head, or group (128 input columns)"),
        Column("tensor", "str", "tensor name; empty for blocks", optional=True),
        Column("layer", "Int64", "index of the transformer block; empty outside the blocks", optional=True),
        Column("component", "str", "role of the tensor; empty for blocks", optional=True),
        Column("part", "str", "of heads: q, k, v or o; of k and v a key-value head", optional=True),
        Column("expert", "Int64", "slice of a 3-D tensor", optional=True),
        Column("index", "Int64", "the head, or the group", optional=True),
        Column("start", "Int64", "first column of a group", optional=True),
        Column("stop", "Int64", "column after a group's last", optional=True),
        Column("sum", "float64", "sum of the scores", "units of the metric"),
        Column("mean", "float64", "sum / weights", "units of the metric"),
        Column("max", "float64", "largest score", "units of the metric"),
        Column("weights", "int64", "weights in the row", "weights"),
        Column(
            "share", "float64", "sum / sum of all scores of the store", "fraction of the total score", optional=True
        ),
        Column("weight_share", "float64", "weights / all analysed weights of the store", "fraction of the weights"),
        Column("note", "str", "'not split' and why, where heads cannot be told apart", optional=True),
    ),
)
STRUCTURE_TABLES = (STRUCTURE, TOKENS, FIRST_POSITION, SENSITIVITY)
