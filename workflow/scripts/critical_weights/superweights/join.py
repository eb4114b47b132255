"""The table of super weights: found and published ones, with their place in the ranking of every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import StoreError
from ..log import logger
from ..store.read import open_store, refuse_second
from ..tables.superweights import SUPERWEIGHTS
from .layers import flat_index
from .places import places_of

log = logger(__name__)

_FOUND = ("round", "class", "input", "output", "share", "text", "position", "to_median", "to_next")


def superweights_table(
    spikes: Mapping[str, Any], facts: Mapping[str, Any], stores: Sequence[str | Path]
) -> pd.DataFrame:
    """Join what the detection found, what is published, and the score stores.

    Args:
        spikes: what the stage ``spikes`` wrote.
        facts: the model's ``model.json``.
        stores: score stores of the model, one a metric; without any the places stay empty.

    Returns:
        The columns of :data:`critical_weights.tables.superweights.SUPERWEIGHTS`: the found weights by round, then the
        published ones that were not found, each once a metric.

    Raises:
        StoreError: the spikes or a store are of another model, or two stores of one metric.

    """
    if spikes["model_sha256"] != facts["sha256"]:
        raise StoreError("the spikes are of another model than the facts", got=spikes["model_sha256"],
                         expected=facts["sha256"], fix="Run the stage spikes again")  # fmt: skip
    tensors = {tensor["name"]: tensor for tensor in facts["tensors"]}
    weights = _weights(spikes, tensors)
    counts = {"texts": spikes["n_texts"], "tokens": spikes["n_tokens"]}
    addresses = [(w["parameter"], flat_index(tensors[w["parameter"]], w["row"], w["col"])) for w in weights]
    by_metric: list[tuple[str, list[dict[str, Any]]]] = []
    seen: dict[str, Path] = {}
    for path in stores:
        with open_store(path, {"model_sha256": facts["sha256"]}) as store:
            refuse_second(store, seen)
            total = sum(store.tensor_attributes(name, ("numel",))["numel"] for name in store.names)
            found = [{**asdict(place), "weights": total} for place in places_of(store, addresses)]
            by_metric.append((store.attributes["metric"], found))
    rows = [
        weight | counts | {"metric": metric} | places[number]
        for number, weight in enumerate(weights)
        for metric, places in (by_metric or [("", [{"note": "no score store was given"}] * len(weights))])
    ]
    _log(weights, spikes)
    frame = pd.DataFrame(rows, columns=[column.name for column in SUPERWEIGHTS.columns], dtype=object)
    texts = [column.name for column in SUPERWEIGHTS.columns if column.dtype == "str"]
    return frame.fillna(dict.fromkeys(texts, "")).astype({c.name: c.dtype for c in SUPERWEIGHTS.columns})


def _weights(spikes: Mapping[str, Any], tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the found weights, marked where they are published, then the published ones that were not found."""
    published = {(p["parameter"], p["row"], p["col"]): p for p in spikes["published"]}
    weights = []
    for spike in spikes["spikes"]:
        entry = published.pop((spike["parameter"], spike["row"], spike["col"]), None)
        value = {"published_weight": entry["weight"] if entry else None}
        weights.append(dict(spike) | {"published": entry is not None} | value)
    for (parameter, row, col), entry in published.items():
        place = {"layer": entry["layer"], "component": tensors[parameter]["component"], "parameter": parameter}
        value = {"weight": entry["stored"], "published_weight": entry["weight"]}
        weights.append(dict.fromkeys(_FOUND) | place | {"row": row, "col": col, "published": True} | value)
    return weights


def _log(weights: Sequence[Mapping[str, Any]], spikes: Mapping[str, Any]) -> None:
    what = f"{spikes['n_texts']} texts, {spikes['n_tokens']} tokens"
    found = [w for w in weights if w["class"]]
    log.info("%d weights or places with a spike (%s), %d of them published", len(found), what,
             sum(w["published"] for w in found))  # fmt: skip
    for weight in weights:
        if not weight["class"]:
            log.warning("published and not found: %s [%d, %d]", weight["parameter"], weight["row"], weight["col"])
