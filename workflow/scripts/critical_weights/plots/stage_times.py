"""How long the stages took: the scoring passes by their parts, the experiments by their stages.

Times differ between two runs with equal results, so this figure belongs to the report's section on times alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ..run_times import ONCE
from .save import Drawn
from .small_multiples import nothing
from .style import LABELS_ONLY, line_styles, new_axes, new_figure, styled, words
from .wording import short

_HEADING = "time by stage"
_KINDS = {"scoring pass": "scoring passes, by their own clock", "experiment": "other stages, whole jobs"}
_ONCE = "for all experiments"
_BAR = 0.21


def time_table(recorded: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row a part of a scoring pass or stage of an experiment whose time is known.

    Args:
        recorded: the report's section on times (``times`` of quantitative_results.json).

    Returns:
        ``kind`` (scoring pass or experiment), ``name``, ``stage``, ``seconds``. Stages that ran once for all
        experiments are told once.

    """
    rows = [
        {"kind": "scoring pass", "name": family, "stage": part, "seconds": seconds}
        for family, entry in recorded["scoring"].items()
        for part, seconds in entry["stages"].items()
    ]
    rows += [
        {"kind": "experiment", "name": _ONCE if stage in ONCE else label, "stage": stage, "seconds": times["seconds"]}
        for label, entry in recorded["experiments"].items()
        for stage, times in entry["stages"].items()
        if stage != "score"
    ]
    frame = pd.DataFrame(rows, columns=["kind", "name", "stage", "seconds"]).astype({"seconds": float})
    frame = frame.dropna(subset=["seconds"])
    return frame[~((frame["name"] == _ONCE) & frame.duplicated(["name", "stage"]))].reset_index(drop=True)


def draw_bars(rows: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a bar a name, stacked by stage.

    Args:
        rows: one kind of :func:`time_table`.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    names = list(rows["name"].unique())
    start = np.zeros(len(names))
    stages = list(rows["stage"].unique())
    handles = []
    for stage, look in line_styles(stages).items():
        own = rows[rows["stage"] == stage].groupby("name")["seconds"].sum()
        seconds = np.array([own.get(name, 0.0) for name in names])
        # Eight colours: beyond them hatching tells the stages apart.
        hatch = "////" if stages.index(stage) >= 8 else None
        ax.barh(np.arange(len(names)), seconds, left=start, height=0.7, color=look["color"], hatch=hatch,
                edgecolor="white", linewidth=0.5)  # fmt: skip
        handles.append(Patch(facecolor=look["color"], hatch=hatch, edgecolor="white", label=short(stage)))
        start += seconds
    ax.set_yticks(np.arange(len(names)), [short(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", **LABELS_ONLY)
    ax.set_xlabel("seconds")
    ax.grid(True, axis="x")
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)
    return ax


def build(recorded: Mapping[str, Any], title: str | None = None) -> Drawn:
    """Draw the figure: scoring passes above, experiments below."""
    table = time_table(recorded)
    kinds = [kind for kind in _KINDS if (table["kind"] == kind).any()]
    if not kinds:
        return nothing(_HEADING, "No stage's time was recorded.", table, title)
    with styled():
        parts = [table[table["kind"] == kind] for kind in kinds]
        heights = [0.6 + max(_BAR * part["name"].nunique(), 0.19 * part["stage"].nunique()) for part in parts]
        figure = new_figure(0.8 + sum(heights))
        axes = figure.subplots(len(kinds), 1, height_ratios=heights, squeeze=False)[:, 0]
        for ax, kind, part in zip(axes, kinds, parts, strict=True):
            draw_bars(part, ax)
            ax.set_title(_KINDS[kind])
        words(figure, _HEADING, ["Wall-clock seconds; those of whole jobs include their start. They differ from run to "
                                 "run."], title)  # fmt: skip
    return Drawn(figure, table)
