"""Which metric to trust on this model: the damage of its selections against controls, and its scores against truth.

The rule, fixed before looking: a metric deserves trust when removing what it ranks first hurts more than removing what
other metrics rank first, and more than removing as many other weights of the same tensors and the same size. Rows are
ordered by **wins**, the number of other rows whose area under the damage curve is smaller with the whole 95 % interval
of the paired difference above 0; ties by the area itself. ``verdict`` says whether the area exceeds that of the matched
controls. Where so much of a tensor is selected that fewer weights are left for a control, the two are not compared:
gains and verdict are over the k at which every control is as large. A text whose loss does not stay finite has no
damage that could be averaged: it is left out, counted, and there is no verdict where one of a selection or its controls
was, nor a win over such a row. The rank correlation over single weights stands
beside it and does not enter the order: most single weights of a trained model do next to nothing.

Needs the tables of the validation only: no model, no score store.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import TableError
from ..evaluation.bootstrap import LEVELS, per_token, quantiles
from ..stability.resampling import bootstrap_multiplicities
from ..tables.interventions import VERDICT, in_order
from .single_agreement import single_agreement

Floats = NDArray[np.float64]
_CONTROLS = ("random", "matched")
_WORDS = ("below controls", "not told apart from controls", "above controls")
_NO_CONTROL = "not compared: no control is as large"
_NOT_FINITE = "not compared: texts did not stay finite"


def verdict_table(
    interventions: pd.DataFrame,
    texts: pd.DataFrame,
    single_weights: pd.DataFrame,
    single_scores: pd.DataFrame,
    *,
    draws: int = 1000,
    seed: int = 42,
) -> pd.DataFrame:
    """Return the table of verdicts, best first.

    Each bootstrap draw takes texts with replacement, the same for every condition, and moves the controls' mean by its
    standard error over the seeds times a draw of Student's t, n - 1 degrees of freedom: to draw a few seeds with
    replacement would give them some 75 % of coverage for 95. The spread over one seed is unknown and left out.
    Intervals are the 2.5 % and 97.5 % quantiles of the draws.

    Args:
        interventions: ``interventions.csv``.
        texts: ``texts.csv``.
        single_weights: ``single_weights.csv``.
        single_scores: ``single_scores.csv``.
        draws: bootstrap draws.
        seed: of the draws.

    Returns:
        The columns of :data:`.tables.interventions.VERDICT`.

    Raises:
        TableError: no metric has a ladder, or the two tables of conditions do not belong together.

    """
    ladder = interventions[(interventions["part"] == "ladder") & (interventions["mode"] != "list")]
    tops = ladder[ladder["kind"] == "top"]
    if tops.empty:
        raise TableError("interventions.csv has no ladder of a metric")
    changes, predicted = _by_condition(texts, len(interventions))
    times = np.vstack([np.ones(len(predicted)), bootstrap_multiplicities(len(predicted), draws, seed)])
    damage = per_token(changes, predicted, times)  # (conditions, 1 + draws); the first column is the plain mean
    finite = np.isfinite(changes)
    rows, areas = [], []
    for (metric, mode), own in tops.groupby(["metric", "mode"], sort=False):
        area = _area(damage, own)
        beside = ladder[(ladder["metric"] == metric) & (ladder["mode"] == mode)]
        row: dict[str, Any] = {"metric": metric, "mode": mode, "intervention": own["intervention"].iloc[0],
                               "k_low": own["k"].min(), "k_high": own["k"].max(), "seeds": 0}  # fmt: skip
        row["nonfinite_texts"] = int((~finite[own["condition"]]).any(0).sum())
        row |= _bounded("area", area)
        whole = _with_whole_controls(own, beside)
        row["k_compared"] = max(whole, default=pd.NA)
        compared = own[own["k"].isin(whole)]
        for kind in _CONTROLS:
            controls = beside[(beside["kind"] == kind) & beside["k"].isin(whole)]
            control = _control_area(damage, controls, seed)
            row |= _against(_area(damage, compared) if len(compared) else area, control, kind)
        row["seeds"] = beside["seed"].nunique()
        held = pd.concat([compared, beside[beside["kind"].isin(_CONTROLS) & beside["k"].isin(whole)]])
        row["verdict"] = _word(row) if finite[held["condition"]].all() else _NOT_FINITE
        rows.append(row)
        areas.append(area)
    frame = pd.DataFrame(rows)
    whole_rows = [other for other, row in zip(areas, rows, strict=True) if not row["nonfinite_texts"]]
    frame["wins"] = [sum(_wins(area, other) for other in whole_rows if other is not area) for area in areas]
    frame = frame.sort_values(["wins", "area"], ascending=False, kind="stable", ignore_index=True)
    singles = [single_agreement(single_weights, single_scores, m, draws, seed) for m in frame["metric"]]
    frame = frame.join(pd.DataFrame(singles))
    return in_order(frame.assign(trust=range(1, len(frame) + 1), n_texts=len(predicted), draws=draws), VERDICT)


def _by_condition(texts: pd.DataFrame, conditions: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return (conditions, texts) of changes, and the predicted tokens of each text."""
    if len(texts) == 0 or len(texts) % conditions or texts["condition"].max() != conditions - 1:
        raise TableError("texts.csv and interventions.csv have other conditions", fix="Run the validation again")
    ordered = texts.sort_values(["condition", "text"], kind="stable")
    n = len(texts) // conditions
    return ordered["change"].to_numpy(np.float64).reshape(conditions, n), ordered["predicted"].to_numpy()[:n]


def _with_whole_controls(tops: pd.DataFrame, beside: pd.DataFrame) -> set[int]:
    """Return the k at which no control is smaller than the selection."""
    selected = dict(zip(tops["k"], tops["asked"], strict=True))
    controls = beside[beside["kind"].isin(_CONTROLS)]
    short = {k for k, asked in zip(controls["k"], controls["asked"], strict=True) if asked < selected[k]}
    return set(controls["k"]) - short


def _area(damage: Floats, ladder: pd.DataFrame) -> Floats:
    """Return, for each draw, the mean of the damage over log k: its area by trapezoids / log(k_high / k_low)."""
    ladder = ladder.sort_values("k")
    curve = damage[ladder["condition"].to_numpy()]
    at = np.log(ladder["k"].to_numpy(np.float64))
    return curve[0] if len(at) == 1 else np.trapezoid(curve, at, axis=0) / (at[-1] - at[0])


def _control_area(damage: Floats, controls: pd.DataFrame, seed: int) -> Floats | None:
    """Return the area of the controls, mean over seeds, moved in each draw but the first by what these leave open."""
    if controls.empty:
        return None
    by_seed = np.array([_area(damage, own) for _, own in controls.groupby("seed")])
    n, draws = len(by_seed), damage.shape[1] - 1
    error = by_seed[:, 0].std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
    moved = error * np.random.default_rng([seed, 3]).standard_t(max(n - 1, 1), draws)
    return by_seed.mean(axis=0) + np.concatenate([[0.0], moved])


def _against(area: Floats, control: Floats | None, kind: str) -> dict[str, float]:
    if control is None:
        return {f"area_{kind}": np.nan} | {f"gain_{kind}{end}": np.nan for end in ("", "_low", "_high")}
    return {f"area_{kind}": control[0]} | _bounded(f"gain_{kind}", area - control)


def _bounded(name: str, drawn: Floats) -> dict[str, float]:
    low, high = quantiles(drawn[None, 1:])
    return {name: drawn[0], f"{name}_low": low[0], f"{name}_high": high[0]}


def _word(row: dict[str, Any]) -> str:
    if row["k_compared"] is pd.NA:
        return _NO_CONTROL
    above, below = row["gain_matched_low"] > 0, row["gain_matched_high"] < 0
    return _WORDS[2 if above else 0 if below else 1]


def _wins(area: Floats, other: Floats) -> bool:
    difference = (area - other)[1:]
    known = difference[np.isfinite(difference)]
    return len(known) > 0 and bool(np.quantile(known, LEVELS[0]) > 0)
