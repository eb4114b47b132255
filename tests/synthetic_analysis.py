"""Analysis tables of models that nobody has to run: of any number of blocks and metrics, made from distributions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from critical_weights.metrics import METRICS
from critical_weights.overlap.rank_density import Places, density_of
from critical_weights.tables.ranks import RANK_DENSITY
from critical_weights.tables.schema import CONCENTRATION, OVERLAP, Table
from critical_weights.tables.stability import STABILITY
from critical_weights.tables.structure import FIRST_POSITION, STRUCTURE, TOKENS
from critical_weights.tables.superweights import SPIKE_PROFILE
from synthetic_stats import Tensor, make_stats

NAMES = tuple(METRICS)
LADDER = (10, 30, 100, 300, 1000, 3000, 10_000)
_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "Ġthe",
    "Ċ",
    ",",
    ".",
    "Ġinternationalisation",
    "你好",
    "\u202eabc",
    "$x$",
)
_MODES = ("perlayer", "perblock", "global")


def table_of(table: Table, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame of a table's schema; what a row does not name is missing."""
    types = {column.name: column.dtype for column in table.columns}
    empty = {name: "" if kind == "str" else None for name, kind in types.items()}
    return pd.DataFrame([empty | row for row in rows], columns=list(types), dtype=object).astype(types)


def runs(tensors: list[Tensor], metrics: Sequence[str] = NAMES, **changed: Any) -> dict[str, dict[str, Any]]:
    """Statistics of an experiment a metric, modes in turn, by run folder."""
    found = {}
    for number, metric in enumerate(metrics):
        entry, mode = METRICS[metric], _MODES[number % 3]
        options = {"mode": mode, "k": 100, "metric": metric, "units": entry.units, "seed": number,
                   "centre": -20.0 - 2 * number} | changed  # fmt: skip
        stats = make_stats(tensors, **options)
        for tensor in stats["tensors"].values():
            tensor["p99"] = (tensor["mean"] * tensor["max"]) ** 0.5
        found[f"{entry.path}_{mode}_k100"] = stats
    return found


def overlap(metrics: Sequence[str] = NAMES, exact_to: int = 10_000) -> pd.DataFrame:
    rows = []
    for number, (a, b) in enumerate(itertools.combinations(metrics, 2)):
        for k in LADDER:
            shared = 0 if number % 5 == 0 and k < 300 else int(k * ((number % 8) / 10) * (k / 10_000) ** 0.1)
            rows.append({"scope": "global", "a": a, "b": b, "k": str(k), "shared": shared, "share": shared / k,
                         "jaccard": shared / (2 * k - shared), "expected": k * k / 2_000_000, "p": 0.5,
                         "complete": k <= exact_to})  # fmt: skip
    return table_of(OVERLAP, rows)


def concentration(metrics: Sequence[str] = NAMES) -> pd.DataFrame:
    rows = []
    for number, name in enumerate(metrics):
        power = 0.9 / (number + 1)
        points = [("gini", None, (1 - power) / (1 + power))]
        points += [("lorenz", at, at**power) for at in np.geomspace(1e-6, 1, 40)]
        rows += [
            {"metric": name, "scope": "all", "name": "all", "quantity": quantity, "at": at, "value": value,
             "low": value, "high": value, "weights": 1_000_000, "unit": "share"}
            for quantity, at, value in points
        ]  # fmt: skip
    return table_of(CONCENTRATION, rows)


def structure(metrics: Sequence[str] = NAMES, blocks: int = 32, hidden: int = 4096) -> pd.DataFrame:
    """Each metric's first 100 and 1000 weights: residual channels hit in fewer and fewer blocks."""
    rng = np.random.default_rng(0)
    rows = []
    for number, metric in enumerate(metrics):
        for k in (100, 1000):
            base = {"selection": f"{METRICS[metric].path}_global_k{k}", "metric": metric, "mode": "global", "k": k,
                    "n": k, "scope": "residual", "name": "all"}  # fmt: skip
            rows.append(base | {"scope": "tensor", "name": "model.layers.1.mlp.down_proj.weight", "layer": blocks - 1,
                                "depth": 1.0, "quantity": "selected", "value": k})  # fmt: skip
            channels = rng.choice(hidden, min(9 - number % 3, hidden), replace=False)
            for place, channel in enumerate(channels):
                own = base | {"line": "channel", "index": int(channel)}
                hit = max(1, blocks - 3 * place)
                rows.append(own | {"quantity": "blocks_hit", "value": hit, "expected": blocks / 10, "p": 1e-9})
                rows.append(own | {"quantity": "weights", "value": hit * 1234, "expected": 1.0, "p": 1e-9})
                rows.append(own | {"quantity": "outside_hit", "value": 1})
    return table_of(STRUCTURE, rows)


def tokens(metrics: Sequence[str] = NAMES) -> pd.DataFrame:
    rows = []
    for number, metric in enumerate(metrics):
        for place, token in enumerate(_TOKENS):
            selected = 400 // (place + 1 + number)
            rows.append({
                "selection": f"{METRICS[metric].path}_global_k1000", "metric": metric, "mode": "global", "k": 1000,
                "parameter": "t", "component": "lm_head" if place % 3 else "embed_tokens", "row": 128_000 + place,
                "token": token, "special": "", "count": place, "first_count": 0, "target_count": 0, "count_share": 0.0,
                "unseen": place % 4 == 0, "selected": selected, "share": selected / 1000, "score_sum": 1.0,
                "score_share": 0.1,
            })  # fmt: skip
    return table_of(TOKENS, rows)


def first_position(components: Sequence[str], metrics: Sequence[str] = NAMES[1:7]) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = [{"metric": NAMES[0], "scope": "all", "name": "all", "quantity": "not_available",
                                   "n": 0, "note": "the metric reads no text"}]  # fmt: skip
    for metric in metrics:
        common = {"metric": metric, "n": 226_000}
        for name in ("all", *components):
            scope = "all" if name == "all" else "component"
            rows.append(common | {"scope": scope, "name": name, "quantity": "position_0_share",
                                  "value": float(rng.uniform(-0.1, 0.9))})  # fmt: skip
        for k in LADDER:
            rows.append(common | {"scope": "all", "name": "all", "quantity": "overlap", "k": k,
                                  "value": float(rng.uniform(0.3, 1))})  # fmt: skip
    return table_of(FIRST_POSITION, rows)


def stability(metrics: Sequence[str] = NAMES[3:]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [{"metric": NAMES[0], "method": "none", "quantity": "resampling", "note": "no text"}]
    for number, metric in enumerate(metrics):
        for place, method in enumerate(("halves", "bootstrap", "bootstrap_pair")):
            for k in LADDER:
                value = 0.2 + 0.15 * place + 0.05 * number
                rows.append({"metric": metric, "mode": "global", "k": k, "method": method, "quantity": "jaccard",
                             "value": value, "low": value - 100 / (1000 + k), "high": value + 100 / (1000 + k),
                             "expected": k / 1e6 if method == "halves" else None, "n": 100,
                             "n_texts": 100})  # fmt: skip
        rows.append({"metric": metric, "mode": "global", "method": "verdict", "quantity": "largest_k", "value": 0.0,
                     "expected": 0.5})  # fmt: skip
    return table_of(STABILITY, rows)


def spike_profile(blocks: int = 32, rounds: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for number in range(1, rounds + 1):
        for block in range(blocks):
            spike = 500.0 if block == min(1, blocks - 1) and number == 1 else 1.0
            rows.append({
                "round": number, "layer": block, "component": "down_proj", "parameter": f"h.{block}",
                "max_input": 5 * spike * float(rng.lognormal(0, 0.3)), "input_col": 7, "input_text": 0,
                "input_position": 0, "max_output": spike * float(rng.lognormal(0, 0.5)), "output_row": 9,
                "output_text": 0, "output_position": 0, "median_input": 0.5, "median_output": 0.1, "texts": 8,
                "tokens": 564,
            })  # fmt: skip
    return table_of(SPIKE_PROFILE, rows)


def rank_density(metrics: Sequence[str] = NAMES, known: int = 20_000, population: int = 8_029_995_008) -> pd.DataFrame:
    """Rankings that share every other of their first weights, shifted against each other."""
    found = []
    for number, metric in enumerate(metrics):
        index = np.arange(known, dtype=np.int64)
        index[1::2] += known * (number + 1)
        found.append(Places(metric, np.zeros(known, np.int64), np.roll(index, 3 * number), frozenset([0])))
    table = density_of(found, np.array([population]))
    return table.astype({column.name: column.dtype for column in RANK_DENSITY.columns})


def recorded_times(experiments: int = 12) -> dict[str, Any]:
    """The report's section on times, of four passes and some experiments."""
    stages = ("describe_model", "calibrate", "rank", "summarise", "plot", "other")
    passes = ("static", "forward", "gradient", "curvature")
    return {
        "scoring": {
            family: {"stages": {"load": 1.0, "texts": 2.0 + n, "write": 0.5}} for n, family in enumerate(passes)
        },
        "experiments": {
            f"gradsq_global_k{n + 1}": {"stages": {s: {"seconds": None if s == "other" else n + 1.0} for s in stages}}
            for n in range(experiments)
        },
        "machines": [],
    }
