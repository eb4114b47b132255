"""Up to which k a ranking survives other texts: overlap of the first k with its interval, and the chance level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..tables.rows import grouped, unique
from ..tables.stability import JUDGES, TOO_HIGH
from .save import Drawn
from .small_multiples import finish, legend, legend_inches, nothing, options, panels
from .style import DARK, MUTED, line_styles, log_axis, new_axes, styled

METHODS = {
    "halves": "disjoint halves of the texts", "bootstrap": "bootstrap, against all texts",
    "bootstrap_pair": "two bootstrap draws", "probes": "two sets of probes", "seeds": "another seed",
}  # fmt: skip
"""The ways to repeat a ranking, as the table names them, and what they compare."""
_HEADING = "stability of the first k weights"
_LEGEND_COLUMNS = 3
_CHANCE = (0, (1, 1.5))
_HOLLOW: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "markersize": 4}


class Overlap(NamedTuple):
    """The Jaccard index of the first k weights of all tensors together between two rankings.

    Attributes:
        metric: full name.
        k: weights.
        method: how the ranking was repeated.
        value: mean over draws.
        low: 2.5 % quantile; of seeds the lowest.
        high: 97.5 % quantile; of seeds the highest.
        expected: by chance; NaN for none.
        n: draws, or other seeds.
        too_high: whether weights beyond the kept candidates could get to the first k.
        threshold: of the table's verdict on the metric; NaN for none.

    """

    metric: str
    k: int
    method: str
    value: float
    low: float
    high: float
    expected: float
    n: int | None
    too_high: bool
    threshold: float


def stability_table(table: Sequence[Any]) -> list[Overlap]:
    """Return what is drawn.

    Args:
        table: rows of ``stability.csv``.

    """
    whole = [row for row in table if row.mode == "global"]
    threshold = {row.metric: row.expected for row in reversed(whole) if row.quantity == "largest_k"}  # the first counts
    return [
        Overlap(row.metric, row.k, row.method, row.value, row.low, row.high, row.expected, row.n,
                TOO_HIGH in row.note, threshold.get(row.metric, math.nan))
        for row in whole
        if row.quantity == "jaccard" and row.method in METHODS and row.k is not None and not math.isnan(row.value)
    ]  # fmt: skip


def draw_metric(rows: Sequence[Overlap], styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a line a method with a band from its 2.5 % to its 97.5 % quantile, log x; chance level and threshold.

    Of seeds, which are few, the band goes from the lowest to the highest. Where the kept candidates cannot tell, and
    the figure is too high, the marker is hollow and there is no band.

    Args:
        rows: one metric of :func:`stability_table`.
        styles: colour and marker of each method.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    for method, line in grouped(rows, lambda row: row.method).items():
        line.sort(key=lambda row: row.k)
        k = [row.k for row in line]
        ax.plot(k, [row.value for row in line], label=method, **options(**styles[method]))
        unsure = [row for row in line if row.too_high]
        if unsure:
            hollow = options(**styles[method] | _HOLLOW)
            ax.plot([row.k for row in unsure], [row.value for row in unsure], **hollow)
        low = [math.nan if row.too_high else row.low for row in line]
        high = [math.nan if row.too_high else row.high for row in line]
        ax.fill_between(k, low, high, color=styles[method]["color"], alpha=0.2, linewidth=0)
    # Among the candidates, as the verdict has it; that of seeds is among all weights.
    judged = [row for row in rows if row.method in JUDGES] or rows
    chance = grouped((row for row in judged if not math.isnan(row.expected)), lambda row: row.k)
    if chance:
        mean = [fmean(row.expected for row in chance[k]) for k in sorted(chance)]
        ax.plot(sorted(chance), mean, color=DARK, linestyle=_CHANCE, linewidth=1.2)
    for threshold in unique(row.threshold for row in rows if not math.isnan(row.threshold)):
        ax.axhline(threshold, color=MUTED, linewidth=0.8, linestyle=(0, (5, 3)))
    log_axis(ax.xaxis, 5)
    ax.set_ylim(-0.02, 1.02)
    ax.grid(True)
    return ax


def build(table: Sequence[Any], title: str | None = None) -> Drawn:
    """Draw the figure; where no metric can be resampled, it says so."""
    rows = stability_table(table)
    by_metric = grouped(rows, lambda row: row.metric)
    without = unique(row.metric for row in table if row.metric not in by_metric)
    if not rows:
        why = f"No metric's ranking could be repeated: {', '.join(without)}." if without else "The table is empty."
        return nothing(_HEADING, why, rows, title, Overlap._fields)
    used = {row.method for row in rows}
    methods = [method for method in METHODS if method in used]
    styles = line_styles(methods)
    judged, unsure = any(not math.isnan(row.threshold) for row in rows), any(row.too_high for row in rows)
    with styled():
        entries = len(methods) + 1 + judged + unsure
        made = panels(list(by_metric), 1.8, foot=legend_inches(entries, _LEGEND_COLUMNS),
                      share={"sharex": "all", "sharey": "all"})  # fmt: skip
        for place, (ax, own) in enumerate(zip(made.axes, by_metric.values(), strict=True)):
            draw_metric(own, styles, ax)
            ax.tick_params(labelleft=made.at_left(place), labelbottom=made.at_bottom(place))
            ax.set_ylabel("shared / union" if made.at_left(place) else "")
            ax.set_xlabel("first weights (k)" if made.at_bottom(place) else "")
        handles = [Line2D([], [], **options(**styles[method])) for method in methods]
        labels = [METHODS[method] for method in methods]
        handles.append(Line2D([], [], color=DARK, linestyle=_CHANCE, linewidth=1.2))
        labels.append("chance level")
        if judged:
            handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (5, 3))))
            labels.append("threshold of the verdict")
        if unsure:
            handles.append(Line2D([], [], **options(color=MUTED, marker="o") | _HOLLOW))
            labels.append("too high: weights not kept may enter")
        legend(made, handles, labels, _LEGEND_COLUMNS)
        texts = unique(row.n_texts for row in table if row.n_texts is not None)
        n = f" from {texts[0]} calibration texts" if len(texts) == 1 else ""
        n += " (halves: from half of them each)" if n and "halves" in methods else ""
        lines = [f"Jaccard index of the first k weights of all tensors between two rankings{n}; "
                 f"bands: {', '.join(_bands(rows))}."]  # fmt: skip
        notes = []
        judges = " or ".join(METHODS[method] for method in JUDGES if method in methods)
        if judges and judged:
            notes.append(f"The verdict: a ranking holds at a k where the band of {judges} lies whole above the "
                         "threshold and the chance level.")  # fmt: skip
        notes += [f"Without a curve: {', '.join(without)}."] if without else []
        return finish(made, rows, _HEADING, lines, title, notes)


def _bands(rows: Sequence[Overlap]) -> list[str]:
    """Say what the bands are: quantiles over draws; of seeds, of which there are too few for quantiles, the ends."""
    draws = [row.n for row in rows if row.method != "seeds"]
    seeds = [row.n for row in rows if row.method == "seeds"]
    said = []
    if draws:
        said.append(f"from the 2.5 % to the 97.5 % quantile over {_span(draws)} draws")
    if seeds:
        said.append(f"from the lowest to the highest of {_span(seeds)} other seed{'' if set(seeds) == {1} else 's'}")
    return said


def _span(numbers: Sequence[int | None]) -> str:
    known = [number for number in numbers if number is not None]
    if not known:
        return "an unknown number of"
    low, high = min(known), max(known)
    return str(high) if low == high else f"{low} to {high}"
