"""The analysis tables on structure, stability, positions, super weights and criteria of a synthetic result folder.

    write_analysis(root / "p2" / "tiny", runs, rankings, scores, facts, vocabulary)

Where the library can make a table without a store it does; the other tables hold rows of fixed figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from critical_weights.metrics import METRICS_BY_PATH
from critical_weights.names import Experiment
from critical_weights.structure.selections import Selection
from critical_weights.structure.structure import structure_table
from critical_weights.structure.tokens_table import tokens_table
from critical_weights.tables.agreement import AGREEMENT
from critical_weights.tables.criteria import CRITERIA
from critical_weights.tables.interventions import INTERVENTIONS_TABLE, VERDICT
from critical_weights.tables.schema import Table, write_table
from critical_weights.tables.stability import STABILITY, WEIGHT_STABILITY
from critical_weights.tables.structure import FIRST_POSITION, SENSITIVITY, STRUCTURE, TOKENS
from critical_weights.tables.superweights import SPIKE_PROFILE, SUPERWEIGHTS

Row = dict[str, Any]
Scores = dict[str, dict[str, np.ndarray]]
DOWN_PROJ = "model.layers.{}.mlp.down_proj.weight"
LARGEST = (19.5, 4.25)
"""Largest outputs of the two blocks."""


def write_rows(rows: list[Row], path: Path, table: Table) -> None:
    """Write rows that leave out what is empty."""
    texts = {column.name: "" for column in table.columns if column.dtype == "str"}
    columns = [column.name for column in table.columns]
    frame = pd.DataFrame([dict.fromkeys(columns) | texts | row for row in rows], columns=columns, dtype=object)
    write_table(frame, path, table)


def write_analysis(
    folder: Path,
    runs: list[Experiment],
    rankings: dict[str, pd.DataFrame],
    scores: Scores,
    facts: dict[str, Any],
    vocabulary: list[str],
) -> None:
    """Write every analysis table but ``overlap.csv`` and ``concentration.csv``.

    Args:
        folder: of the model.
        runs: the experiments.
        rankings: ``top_weights.csv`` of each, and of ``{path}_global_k20`` of each metric, by run name.
        scores: of each metric (path name), by tensor.
        facts: the model's facts.
        vocabulary: the tokens.

    """
    out, metrics = folder / "analysis", {path: METRICS_BY_PATH[path] for path in scores}
    labels = {run.label: (run.metric_full, run.mode, run.k) for run in runs}
    labels |= {f"{path}_global_k20": (metric.name, "global", 20) for path, metric in metrics.items()}
    selections = [Selection(label, *named, rankings[label]) for label, named in labels.items()]
    write_table(structure_table(selections, facts), out / "structure.csv", STRUCTURE)
    texts = {"calibration": [[0, 1, 2], [0, 1, 4]], "vocabulary": vocabulary, "special": {"bos": 0}}
    write_table(tokens_table(selections, facts, texts), out / "tokens.csv", TOKENS)
    gradients = [metric.name for metric in metrics.values() if metric.has_gradient]
    others = [metric.name for metric in metrics.values() if not metric.has_gradient]
    write_rows(_stability(gradients, others), out / "stability.csv", STABILITY)
    first = {metrics[path].name: rankings[f"{path}_global_k20"] for path in metrics if metrics[path].has_gradient}
    write_rows(_weights(first), out / "weight_stability.csv", WEIGHT_STABILITY)
    write_rows(_first_position(gradients, others), out / "first_position.csv", FIRST_POSITION)
    write_rows([], out / "superweights.csv", SUPERWEIGHTS)
    write_rows(_profile(), out / "spike_profile.csv", SPIKE_PROFILE)
    write_rows(_agreement([metric.name for metric in metrics.values()]), out / "agreement.csv", AGREEMENT)
    by_name = {metrics[path].name: own for path, own in scores.items()}
    write_rows(_sensitivity(by_name, facts), out / "sensitivity_table.csv", SENSITIVITY)
    write_rows(_criteria(), out / "criteria.csv", CRITERIA)


def _stability(gradients: list[str], others: list[str]) -> list[Row]:
    rows: list[Row] = []
    for place, metric in enumerate(gradients):
        own = {"metric": metric, "n_texts": 7}
        for mode in ("perlayer", "perblock", "global"):
            for k in (10, 30):
                value = 0.31 + 0.4 * place
                rows.append(own | {"mode": mode, "k": k, "method": "halves", "quantity": "jaccard", "value": value,
                                   "low": value - 0.06, "high": value + 0.07, "expected": 0.002, "n": 90,
                                   "unit": "fraction of the union", "note": "each half has N/2 texts"})  # fmt: skip
            rows.append(own | {"mode": mode, "method": "verdict", "quantity": "largest_k", "value": 30.0 * place,
                               "expected": 0.5, "unit": "weights", "note": "by halves"})  # fmt: skip
    rows += [{"metric": metric, "method": "none", "quantity": "resampling", "note": "not applicable: uses no text"}
             for metric in others]  # fmt: skip
    return rows


def _weights(rankings: dict[str, pd.DataFrame]) -> list[Row]:
    return [
        {"metric": metric, "rank": rank, "parameter": row["parameter"], "indices": row["indices"],
         "layer": row["layer"], "component": row["component"], "row": row["row"], "col": row["col"],
         "score": row["sensitivity_score"], "standard_error": 0.1, "low": 0.0, "high": 1.0, "k": 10,
         "probability": 1.0 - 0.015 * rank, "method": "bootstrap", "n": 200, "n_texts": 7, "unit": "nats per token"}
        for metric, ranking in rankings.items()
        for rank, row in enumerate(ranking.head(10).to_dict("records"), 1)
    ]  # fmt: skip


def _first_position(gradients: list[str], others: list[str]) -> list[Row]:
    rows: list[Row] = []
    for place, metric in enumerate(gradients):
        own = {"metric": metric, "scope": "all", "name": "all", "n": 110}
        rows.append(own | {"quantity": "position_0_share", "value": 0.144 + 0.02 * place, "unit": "fraction"})
        for k, value in ((10, 0.9), (30, 0.7 + 0.1 * place)):
            rows.append(own | {"quantity": "overlap", "k": k, "value": value, "unit": "fraction of k"})
            rows.append(own | {"quantity": "kth_over_rest", "k": k, "value": 2.375, "unit": "times"})
        line = {"metric": metric, "scope": "line", "name": DOWN_PROJ.format(0), "line": "col", "index": 3, "n": 4}
        rows.append(line | {"quantity": "fall", "value": 0.25, "unit": "units of the metric"})
        rows.append(line | {"quantity": "position_0_share", "value": 0.875, "unit": "fraction"})
    none = {"scope": "all", "name": "all", "quantity": "not_available", "n": 0, "note": "the metric reads no text"}
    return rows + [none | {"metric": metric} for metric in others]


def _profile() -> list[Row]:
    return [
        {"round": 1, "layer": layer, "component": "down_proj", "parameter": DOWN_PROJ.format(layer), "max_input": 7.5,
         "input_col": 2, "input_text": 0, "input_position": 0, "max_output": largest, "output_row": 1,
         "output_text": 0, "output_position": 0, "median_input": 1.5, "median_output": 0.75, "texts": 4, "tokens": 41}
        for layer, largest in enumerate(LARGEST)
    ]  # fmt: skip


def super_weight(metric: str) -> Row:
    """A row of ``superweights.csv``: a weight that was found, and stands third by a metric."""
    return {"round": 1, "class": "early", "published": False, "layer": 0, "component": "down_proj",
            "parameter": DOWN_PROJ.format(0), "row": 1, "col": 2, "weight": 0.5, "input": 7.5, "output": 19.5,
            "share": 0.9, "text": 0, "position": 0, "to_median": 12.25, "to_next": 6.5, "metric": metric, "score": 0.1,
            "rank": 3, "rank_in_tensor": 1, "weights": 120, "texts": 4, "tokens": 41}  # fmt: skip


def _agreement(metrics: list[str]) -> list[Row]:
    pairs = [(a, b) for place, a in enumerate(metrics) for b in metrics[place + 1 :]]
    return [
        {"scope": "global", "a": a, "b": b, "quantity": "spearman", "over": "shared", "value": 0.625 - 0.3 * place,
         "depth": 30, "n": 41 + place}
        for place, (a, b) in enumerate(pairs)
    ]  # fmt: skip


def _sensitivity(scores: Scores, facts: dict[str, Any]) -> list[Row]:
    rows = []
    for metric, own in scores.items():
        total, weights = sum(s.sum(dtype=float) for s in own.values()), sum(s.size for s in own.values())
        for tensor in facts["tensors"]:
            if tensor["name"] in own:
                s = own[tensor["name"]]
                rows.append({"metric": metric, "scope": "tensor", "tensor": tensor["name"], "layer": tensor["layer"],
                             "component": tensor["component"], "sum": s.sum(dtype=float), "mean": s.mean(dtype=float),
                             "max": float(s.max()), "weights": s.size, "share": s.sum(dtype=float) / total,
                             "weight_share": s.size / weights})  # fmt: skip
    return rows


def _criteria() -> list[Row]:
    own = {"statement": "as written before the run", "table": "stability", "column": "value", "test": ">",
           "threshold": "0.3", "n": 1}  # fmt: skip
    return [
        own | {"name": "survives", "value": 0.334, "verdict": "pass"},
        own | {"name": "agrees", "value": 0.1234, "verdict": "fail"},
        own
        | {"name": "hurts", "table": "verdict", "n": 0, "verdict": "not run", "reason": "there is no table verdict"},
    ]


def write_interventions(folder: Path, metric: str = "gradsq") -> None:
    """Write ``interventions.csv`` and ``verdict.csv`` of one metric that does more damage than its controls."""
    out = folder / "interventions"
    common = {"condition": 0, "asked": 0, "changed": 0, "unchanged": 0, "nonfinite": 0, "unmatched": 0,
              "agreement": 1.0, "perplexity": 25.5, "n_texts": 3, "n_tokens": 27, "nan_texts": 0, "inf_texts": 0,
              "collapsed_texts": 0}  # fmt: skip
    changed = {"part": "ladder", "metric": metric, "mode": "global", "k": 10, "intervention": "zero", "asked": 10,
               "changed": 10, "first_order": 0.5, "second_order": 0.75, "kl": 0.625, "agreement": 0.8125}  # fmt: skip
    write_rows([
        common | {"part": "unchanged"},
        common | changed | {"condition": 1, "kind": "top", "dnll": 0.812, "low": 0.7, "high": 0.95},
        common | changed | {"condition": 2, "kind": "matched", "seed": 0, "dnll": 0.031, "low": 0.02, "high": 0.044},
    ], out / "interventions.csv", INTERVENTIONS_TABLE)  # fmt: skip
    write_rows([{
        "trust": 1, "metric": metric, "mode": "global", "intervention": "zero", "verdict": "above controls", "wins": 0,
        "k_low": 1, "k_high": 10, "k_compared": 10, "nonfinite_texts": 0,
        "area": 0.437, "area_low": 0.39, "area_high": 0.48,
        "area_matched": 0.02, "gain_matched": 0.417, "gain_matched_low": 0.37, "gain_matched_high": 0.46,
        "n_single": 12, "n_texts": 3, "seeds": 5, "draws": 1000,
    }], out / "verdict.csv", VERDICT)  # fmt: skip
