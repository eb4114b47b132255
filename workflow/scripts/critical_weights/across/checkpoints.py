"""When today's critical weights become critical: the first weights of a run's checkpoints beside those of its last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..overlap.chance import chance_of_sharing
from ..overlap.chance_of_sums import chance_of_sharing_in_all
from ..ranking.top_entries import Entries
from ..store.read import open_store
from ..tables.across import CHECKPOINTS
from .study import Scored, Study, ks_of, numbers, same_shape, table_of, weights_scored
from .training_runs import Checkpoint

Row = dict[str, Any]


def checkpoints_table(study: Study, checkpoints: Sequence[Checkpoint]) -> pd.DataFrame:
    """Hold the selection of each checkpoint against that of the last one of its run, phase by phase.

    ``settled`` at a checkpoint counts the last selection's weights that are in every selection from there on.

    Args:
        study: all score stores.
        checkpoints: those of each run by step, the last one last.

    Returns:
        The columns of :data:`critical_weights.tables.across.CHECKPOINTS`.

    """
    rows: list[Row] = []
    for run in dict.fromkeys(one.run for one in checkpoints):
        steps = {one.model: one.step for one in checkpoints if one.run == run}
        for phase, metric in dict.fromkeys((one.phase, one.metric) for one in study.scored):
            own = [one for one in study.scored if (one.phase, one.metric) == (phase, metric) and one.model in steps]
            own.sort(key=lambda one: list(steps).index(one.model))
            if len(own) > 1:
                rows += [{"phase": phase, "run": run, "metric": metric} | row for row in _run_rows(study, own, steps)]
    none = "no two checkpoints of one training run in one phase with the same metric"
    return table_of(rows, CHECKPOINTS, f"not applicable: {none}")


def _run_rows(study: Study, scored: list[Scored], steps: dict[str, int | None]) -> list[Row]:
    last = scored[-1]
    facts = study.facts_of(last)
    named = {"last": last.model}
    others = [one.model for one in scored if not same_shape(study.facts_of(one), facts)]
    if others:
        return [named | {"note": f"not applicable: {', '.join(others)} and {last.model} differ in their shapes"}]
    first = {one.model: study.best(one) for one in scored}
    ks = ks_of(*first.values())
    if not ks:
        return [named | {"note": "not applicable: too few weights of all checkpoints are known by rank"}]
    facts_by_model = {one.model: _facts_of_store(one) for one in scored}
    rows = []
    for k in ks:
        settled = ranked = numbers(first[last.model].best(k), facts)
        own: list[Row] = []
        for one in reversed(scored):
            chosen = first[one.model].best(k)
            settled = np.intersect1d(settled, numbers(chosen, facts))
            shared = len(np.intersect1d(ranked, numbers(chosen, facts)))
            row = named | {"model": one.model, "step": steps[one.model], "k": k, "shared": shared}
            row |= {"share": shared / k, "jaccard": shared / (2 * k - shared), "settled": len(settled)}
            loss, weights = facts_by_model[one.model]
            row |= {"loss": loss, "weights": weights}
            if one is not last:
                row |= _chances(shared, k, weights, chosen, first[last.model].best(k), facts)
            else:
                row["note"] = "the last selection itself"
            own.append(row)
        rows += reversed(own)
    return rows


def _chances(shared: int, k: int, weights: int, a: Entries, b: Entries, facts: dict[str, Any]) -> Row:
    """Return what free draws share, and draws from each tensor apart, as often as each selection has it."""
    counts = [_by_tensor(entries, len(facts["tensors"])) for entries in (a, b)]
    both = (counts[0] > 0) & (counts[1] > 0)
    sizes = np.array([tensor["numel"] for tensor in facts["tensors"]], np.int64)[both]
    taken = [count[both] for count in counts]
    return {
        "expected": k * (k / weights),
        "p": float(chance_of_sharing(shared, weights, k, k)),
        "expected_by_tensor": float((taken[0] * (taken[1] / sizes)).sum()),
        "p_by_tensor": chance_of_sharing_in_all(shared, sizes, *taken) if both.any() else 1.0,
    }


def _by_tensor(entries: Entries, tensors: int) -> NDArray[np.int64]:
    return np.bincount(entries.tensor, minlength=tensors)


def _facts_of_store(one: Scored) -> tuple[float | None, int]:
    with open_store(one.path) as store:
        return store.attributes["corpus_loss"], weights_scored(store)
