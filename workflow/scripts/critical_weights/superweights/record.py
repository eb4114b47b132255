"""What the detection of super weights hands on: its finds as JSON, its profile of all blocks as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from ..log import logger
from ..tables.superweights import SPIKE_PROFILE
from .rule import LayerPeak, Spike

log = logger(__name__)


class Found(Protocol):
    """The rounds of a detection; see :class:`critical_weights.scoring.spikes.Detection`."""

    spikes: list[list[Spike]]
    peaks: list[list[LayerPeak]]
    complete: bool
    missing: dict[int, str]
    n_texts: int
    n_tokens: int


def profile_table(found: Found) -> pd.DataFrame:
    """Return the columns of :data:`critical_weights.tables.superweights.SPIKE_PROFILE`."""
    rows = [
        {
            "round": number,
            "layer": peak.layer,
            "component": peak.component,
            "parameter": peak.parameter,
            "max_input": peak.max_input,
            "input_col": peak.input_col,
            "input_text": peak.input_text,
            "input_position": peak.input_position,
            "max_output": peak.max_output,
            "output_row": peak.row,
            "output_text": peak.text,
            "output_position": peak.position,
            "median_input": peak.median_input,
            "median_output": peak.median_output,
            "texts": found.n_texts,
            "tokens": found.n_tokens,
        }
        for number, peaks in enumerate(found.peaks, 1)
        for peak in peaks
    ]
    return pd.DataFrame(rows, columns=[column.name for column in SPIKE_PROFILE.columns])


def record_of(
    found: Found,
    facts: Mapping[str, Any],
    settings: Mapping[str, Any],
    dtype: str,
    published: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the content of ``spikes.json``.

    Args:
        found: the rounds.
        facts: the model's ``model.json``.
        settings: the thresholds and counts that decide.
        dtype: what was computed in.
        published: the published super weights of this model with what the checkpoint has there.

    """
    for entry in published:
        if entry["weight"] is not None and entry["weight"] != entry["stored"]:
            log.warning("%s [%d, %d] is %.9g in the checkpoint, published is %.9g", entry["parameter"], entry["row"],
                        entry["col"], entry["stored"], entry["weight"])  # fmt: skip
    return {
        "model_sha256": facts["sha256"],
        "settings": dict(settings),
        "dtype": dtype,
        "n_texts": found.n_texts,
        "n_tokens": found.n_tokens,
        "rounds": len(found.peaks),
        "complete": found.complete,
        "not_applicable": {str(layer): why for layer, why in found.missing.items()},
        "spikes": [
            {
                "round": number,
                "class": spike.kind,
                "layer": spike.layer,
                "component": spike.component,
                "parameter": spike.parameter,
                "row": spike.row,
                "col": spike.col,
                "weight": spike.weight,
                "input": spike.input,
                "output": spike.output,
                "share": spike.share,
                "text": spike.text,
                "position": spike.position,
                "to_median": spike.to_median,
                "to_next": spike.to_next,
            }
            for number, spikes in enumerate(found.spikes, 1)
            for spike in spikes
        ],
        "published": [dict(entry) for entry in published],
    }
