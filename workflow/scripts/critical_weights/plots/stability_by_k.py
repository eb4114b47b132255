"""Up to which k a ranking survives other texts: overlap of the first k with its interval, and the chance level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

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


def stability_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: the Jaccard index of each metric, k and method over all tensors together.

    Args:
        table: ``stability.csv``.

    Returns:
        ``metric, k, method, value, low, high, expected, n, too_high`` (whether weights beyond the kept candidates could
        get to the first k) and ``threshold`` (of the table's verdict; empty without one).

    """
    rows = table[(table["quantity"] == "jaccard") & (table["mode"] == "global") & table["method"].isin(METHODS)]
    verdicts = table[(table["quantity"] == "largest_k") & (table["mode"] == "global")]
    rows = rows.assign(too_high=rows["note"].str.contains(TOO_HIGH, regex=False))
    columns = ["metric", "k", "method", "value", "low", "high", "expected", "n", "too_high"]
    rows = rows[columns].dropna(subset=["k", "value"])
    threshold = verdicts.drop_duplicates("metric").set_index("metric")["expected"]
    return rows.assign(threshold=rows["metric"].map(threshold).astype(float)).reset_index(drop=True)


def draw_metric(rows: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw a line a method with a band from its 2.5 % to its 97.5 % quantile, log x; chance level and threshold.

    Of seeds, which are few, the band goes from the lowest to the highest. Where the kept candidates cannot tell, and
    the figure is too high, the marker is hollow and there is no band.

    Args:
        rows: one metric of :func:`stability_table`.
        styles: colour and marker of each method.
        ax: where to draw; a new figure if not given.

    """
    ax = ax if ax is not None else new_axes()
    for method, line in rows.groupby("method", sort=False):
        line = line.sort_values("k")
        k = line["k"].to_numpy(dtype=float)
        ax.plot(k, line["value"], label=method, **options(**styles[method]))
        unsure = line["too_high"].to_numpy(dtype=bool)
        if unsure.any():
            ax.plot(k[unsure], line["value"][unsure], **options(**styles[method] | _HOLLOW))
        band = (line[end].astype(float).mask(unsure) for end in ("low", "high"))
        ax.fill_between(k, *band, color=styles[method]["color"], alpha=0.2, linewidth=0)
    judged = rows[rows["method"].isin(JUDGES)]
    # Among the candidates, as the verdict has it; that of seeds is among all weights.
    chance = (judged if len(judged) else rows).dropna(subset=["expected"]).groupby("k")["expected"].mean()
    if len(chance):
        ax.plot(chance.index.to_numpy(dtype=float), chance, color=DARK, linestyle=_CHANCE, linewidth=1.2)
    for threshold in rows["threshold"].dropna().unique():
        ax.axhline(threshold, color=MUTED, linewidth=0.8, linestyle=(0, (5, 3)))
    log_axis(ax.xaxis, 5)
    ax.set_ylim(-0.02, 1.02)
    ax.grid(True)
    return ax


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    """Draw the figure; where no metric can be resampled, it says so."""
    rows = stability_table(table)
    names = list(rows["metric"].unique())
    without = [name for name in table["metric"].unique() if name not in names]
    if not names:
        why = f"No metric's ranking could be repeated: {', '.join(without)}." if without else "The table is empty."
        return nothing(_HEADING, why, rows, title)
    methods = [method for method in METHODS if method in set(rows["method"])]
    styles = line_styles(methods)
    with styled():
        entries = len(methods) + 1 + rows["threshold"].notna().any() + rows["too_high"].any()
        made = panels(names, 1.8, foot=legend_inches(entries, _LEGEND_COLUMNS),
                      share={"sharex": "all", "sharey": "all"})  # fmt: skip
        for place, (ax, name) in enumerate(zip(made.axes, names, strict=True)):
            draw_metric(rows[rows["metric"] == name], styles, ax)
            ax.tick_params(labelleft=made.at_left(place), labelbottom=made.at_bottom(place))
            ax.set_ylabel("shared / union" if made.at_left(place) else "")
            ax.set_xlabel("first weights (k)" if made.at_bottom(place) else "")
        handles = [Line2D([], [], **options(**styles[method])) for method in methods]
        labels = [METHODS[method] for method in methods]
        handles.append(Line2D([], [], color=DARK, linestyle=_CHANCE, linewidth=1.2))
        labels.append("chance level")
        if rows["threshold"].notna().any():
            handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (5, 3))))
            labels.append("threshold of the verdict")
        if rows["too_high"].any():
            handles.append(Line2D([], [], **options(color=MUTED, marker="o") | _HOLLOW))
            labels.append("too high: weights not kept may enter")
        legend(made, handles, labels, _LEGEND_COLUMNS)
        texts = table["n_texts"].dropna().unique()
        n = f" from {int(texts[0])} calibration texts" if len(texts) == 1 else ""
        n += " (halves: from half of them each)" if n and "halves" in methods else ""
        lines = [f"Jaccard index of the first k weights of all tensors between two rankings{n}; "
                 f"bands: {', '.join(_bands(rows))}."]  # fmt: skip
        notes = []
        judged = " or ".join(METHODS[method] for method in JUDGES if method in methods)
        if judged and rows["threshold"].notna().any():
            notes.append(f"The verdict: a ranking holds at a k where the band of {judged} lies whole above the "
                         "threshold and the chance level.")  # fmt: skip
        notes += [f"Without a curve: {', '.join(without)}."] if without else []
        return finish(made, rows, _HEADING, lines, title, notes)


def _bands(rows: pd.DataFrame) -> list[str]:
    """Say what the bands are: quantiles over draws; of seeds, of which there are too few for quantiles, the ends."""
    seeds = rows["method"] == "seeds"
    said = []
    if not seeds.all():
        said.append(f"from the 2.5 % to the 97.5 % quantile over {_span(rows.loc[~seeds, 'n'])} draws")
    if seeds.any():
        n = rows.loc[seeds, "n"]
        said.append(f"from the lowest to the highest of {_span(n)} other seed{'' if n.max() == 1 else 's'}")
    return said


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(high) if low == high else f"{low} to {high}"
