"""The schema of the tables over models and phases: shares, determinism, training time, text sets, kinds of blocks."""

from __future__ import annotations

from .schema import Column, Table

_NOTE = Column("note", "str", "why a figure is missing, or what to bear in mind", optional=True)
_K = Column("k", "Int64", "first weights by score, over all tensors", "weights", optional=True)
_PHASE = Column("phase", "str", "phase", optional=True)
_MODEL = Column("model", "str", "model", optional=True)
_METRIC = Column("metric", "str", "full name of the metric", optional=True)
_FIRST = Column("a", "str", "first phase", optional=True)
_SECOND = Column("b", "str", "second phase", optional=True)
_UNION = Column("jaccard", "float64", "shared / union", "fraction of the union", optional=True)
_EXPECTED = Column(
    "expected", "float64", "shared weights of two independent draws from all weights", "weights", optional=True
)
_CHANCE = Column(
    "p", "float64", "chance of as many in such draws; weights are not independent, so it is too small", optional=True
)
_WEIGHTS = Column("weights", "Int64", "weights that could have been selected", "weights", optional=True)

MODELS = Table(
    "models.csv",
    "the first k weights of each score store over all tensors, by component and by relative depth, for every pair of "
    "models of one phase. A test of unit `weights` takes them for independent draws, which they are not (top weights "
    "come in whole lines, so its p is too small); unit `lines` counts lines instead, unit `tensors` permutes tensors. "
    "Believe a difference that all three see",
    (
        _PHASE,
        _METRIC,
        _K,
        Column("scope", "str", "component, or depth: fifths of layer / (blocks - 1)"),
        Column("name", "str", "the component; 1 (first blocks) to 5; outside (the blocks); all: all of them at once"),
        Column(
            "unit", "str",
            "weights; lines: the least number of rows and columns that hold a tensor's selected weights, added up; "
            "tensors: a tensor's share of the selection, times the number of tensors of that name in its model",
        ),
        Column("a", "str", "first model", optional=True),
        Column("b", "str", "second model", optional=True),
        Column("count_a", "Int64", "units of a in this component or depth (tensors: tensors)", "unit", optional=True),
        Column("count_b", "Int64", "units of b", "unit", optional=True),
        Column("n_a", "Int64", "units of a in all (tensors: as count_a)", "unit", optional=True),
        Column("n_b", "Int64", "units of b in all", "unit", optional=True),
        Column("share_a", "float64", "share of a's units (tensors: of its weights)", "fraction", optional=True),
        Column("share_b", "float64", "share of b's units", "fraction", optional=True),
        Column("expected_a", "float64", "share of all analysed weights of a", "fraction of the weights", optional=True),
        Column("expected_b", "float64", "share of all analysed weights of b", "fraction of the weights", optional=True),
        Column("difference", "float64", "share_a - share_b", "fraction", optional=True),
        Column(
            "test", "str", "fisher: exact, two-sided; g: likelihood ratio over all names; permutation: of the tensors "
            "of this name between the models, two-sided", optional=True,
        ),
        Column("p", "float64", "chance of so large a difference if the models were alike", optional=True),
        Column("q", "float64", "p after Benjamini and Hochberg's correction over all tests of this unit in the table",
               optional=True),
        _NOTE,
    ),
)  # fmt: skip
PHASES = Table(
    "phases.csv",
    "the score stores of one model and metric in every pair of phases: their settings, every kept number of every "
    "tensor, their first weights",
    (
        _MODEL,
        _METRIC,
        _FIRST,
        _SECOND,
        Column("scope", "str", "all, setting or tensor"),
        Column("name", "str", "the setting or tensor; all", optional=True),
        Column(
            "quantity", "str",
            "setting: equal; tensor: identical (bit for bit), shared_candidates, max_difference (of the scores of "
            "shared candidates); all: determinism, differing_tensors, max_difference, same_order (length of the common "
            "beginning of the two rankings), jaccard (of the first k), sum_ratio (total score of a / of b)",
        ),
        _K,
        Column("value", "float64", "the figure; 1 for yes, 0 for no", optional=True),
        Column("n", "Int64", "of what the figure is taken", optional=True),
        Column("unit", "str", "unit of value and n", optional=True),
        Column(
            "verdict", "str",
            "identical; 'differs in: ...'; of determinism: 'deterministic', 'not deterministic: differs in ...', or "
            "'no check: settings differ in ...'", optional=True,
        ),
        _NOTE,
    ),
)  # fmt: skip
CHECKPOINTS = Table(
    "checkpoints.csv",
    "the first k weights of each checkpoint of one training run, held against those of its last one; weights with a "
    "score of 0 are in no selection",
    (
        _PHASE,
        Column("run", "str", "what the checkpoints are of", optional=True),
        _METRIC,
        Column("model", "str", "the checkpoint", optional=True),
        Column("step", "Int64", "training steps; empty for a last one whose name holds none", "steps", optional=True),
        Column("last", "str", "the last checkpoint", optional=True),
        _K,
        Column("shared", "Int64", "weights in both selections", "weights", optional=True),
        Column("share", "float64", "shared / k", "fraction of k", optional=True),
        _UNION,
        Column("settled", "Int64", "weights of the last selection that are in this one and in all later ones",
               "weights", optional=True),
        _EXPECTED,
        _CHANCE,
        Column("expected_by_tensor", "float64", "shared weights of draws from each tensor apart, as many as each "
               "selection has of it: what agreement on tensors alone would give", "weights", optional=True),
        Column("p_by_tensor", "float64", "chance of as many in those draws", optional=True),
        Column("loss", "float64", "loss of the checkpoint on the calibration texts", "nats per token", optional=True),
        _WEIGHTS,
        _NOTE,
    ),
)  # fmt: skip
TASKS = Table(
    "tasks.csv",
    "pairs of phases with other calibration texts and the same model: the first k weights of each metric that reads "
    "texts. Two draws of texts of one kind differ too: hold `jaccard` against that of stability.csv",
    (
        _MODEL,
        _METRIC,
        _FIRST,
        _SECOND,
        _K,
        Column("shared", "Int64", "weights critical for both", "weights", optional=True),
        Column("only", "Int64", "weights critical for a only; as many are for b only", "weights", optional=True),
        _UNION,
        _EXPECTED,
        _CHANCE,
        Column("deepest_a", "Int64", "largest rank in b of a weight that is critical for a; empty where one lies "
               "beyond the candidates", "rank", optional=True),
        Column("deepest_b", "Int64", "largest rank in a of a weight that is critical for b, likewise", "rank",
               optional=True),
        Column("ratio_a", "float64", "median of (score in b / score in a) over weights critical for a only, those with "
               "both scores", optional=True),
        Column("ratio_b", "float64", "median of (score in a / score in b) over weights critical for b only, likewise",
               optional=True),
        _WEIGHTS,
        _NOTE,
    ),
)  # fmt: skip
TASK_WEIGHTS = Table(
    "task_weights.csv",
    "the weights that are among the first k of one phase and not of the other, with what both say of them, for the "
    "pairs of tasks.csv; those of a first, each by rank",
    (
        _MODEL,
        _METRIC,
        _FIRST,
        _SECOND,
        _K,
        Column("critical_for", "str", "the phase in whose first k the weight is", optional=True),
        Column("parameter", "str", "tensor name", optional=True),
        Column("indices", "str", "index tuple in storage order", optional=True),
        Column("layer", "Int64", "index of the transformer block; empty outside the blocks", optional=True),
        Column("component", "str", "role of the tensor", optional=True),
        Column("expert", "Int64", "slice of a 3-D tensor", optional=True),
        Column("row", "Int64", "output index, whatever the storage order", optional=True),
        Column("col", "Int64", "input index, whatever the storage order", optional=True),
        Column("score_a", "float32", "score in a; empty beyond the kept scores", "units of the metric", optional=True),
        Column("score_b", "float32", "score in b, likewise", "units of the metric", optional=True),
        Column("rank_a", "Int64", "place by score in a, from 1; empty beyond the candidates and place 10,000",
               optional=True),
        Column("rank_b", "Int64", "place by score in b, likewise", optional=True),
        _NOTE,
    ),
)  # fmt: skip
CLUSTERS = Table(
    "clusters.csv",
    "the transformer blocks of one phase, model and metric, clustered by their score profile: each component's share "
    "of the block's score and the log of its mean score, standardised over the blocks; Ward's linkage",
    (
        _PHASE,
        _MODEL,
        _METRIC,
        Column("layer", "Int64", "index of the transformer block", optional=True),
        Column("depth", "float64", "layer / (blocks - 1): 0 the first block, 1 the last", optional=True),
        Column("cluster", "Int64", "from 1, by first block", optional=True),
        Column("silhouette", "float64", "how much nearer the block is to its own cluster than to the next: -1 to 1; 0 "
               "for a cluster of one", optional=True),
        Column("clusters", "Int64", "number of clusters: the one with the largest mean silhouette", optional=True),
        Column("mean_silhouette", "float64", "mean of silhouette over the blocks", optional=True),
        Column("p", "float64", "chance of so large a mean, at its best number of clusters, in blocks drawn from one "
               "normal cloud of the same covariance: without kinds, but changing with depth as these do. Conservative: "
               "kinds widen that cloud too, so that a large p is no evidence against kinds", optional=True),
        Column("n", "Int64", "blocks", "blocks", optional=True),
        Column("features", "Int64", "figures in a profile", optional=True),
        _NOTE,
    ),
)  # fmt: skip
ACROSS_TABLES = (MODELS, PHASES, CHECKPOINTS, TASKS, TASK_WEIGHTS, CLUSTERS)
