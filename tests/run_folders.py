"""Run folders with a random selection of a tiny model, as the workflow would write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from critical_weights.files import write_json
from critical_weights.model.facts import describe_model
from critical_weights.ranking.addresses import address_columns
from critical_weights.tables.schema import TOP_WEIGHTS, write_table

RUN = "p2/tiny/gradxw_global_k40"


def facts_of(folder: Path, name: str = "tiny") -> dict:
    """Return the facts of a model folder."""
    record = {"model": name, "source": "local", "repo": None, "commit": None, "checkpoint": None, "path": str(folder)}
    return describe_model(record)


def make_run(root: Path, facts: dict, n: int = 40, seed: int = 0) -> Path:
    """Write a run folder with ``n`` random weights, their scores with ties, as the workflow would."""
    rng = np.random.default_rng(seed)
    entries = []
    for tensor in facts["tensors"]:
        for flat in rng.choice(tensor["numel"], min(3, tensor["numel"]), replace=False):
            entries.append((float(np.float32(rng.integers(1, 9) / 7)), tensor["position"], int(flat), tensor))
    entries = sorted(entries, key=lambda e: (-e[0], e[1], e[2]))[:n]
    rows = []
    for rank, (score, _, flat, tensor) in enumerate(entries, 1):
        address = {key: value[0] for key, value in address_columns(tensor, np.array([flat])).items()}
        rows.append({"rank": rank, "rank_in_tensor": 1, "parameter": tensor["name"], "sensitivity_score": score,
                     "weight": 0.5, "gradient": np.nan, "layer": tensor["layer"], "component": tensor["component"],
                     "token": "", **address})  # fmt: skip
    frame = pd.DataFrame(rows).astype({"layer": "Int64"})[[column.name for column in TOP_WEIGHTS.columns]]
    run = root / "results" / RUN
    write_table(frame, run / "top_weights.csv", TOP_WEIGHTS)
    write_json(run.parent / "model.json", facts)
    return run
