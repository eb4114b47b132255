"""Figures say what chance explains, what was clipped and what ran once; one row of panels has room for its words."""

from __future__ import annotations

import itertools

import matplotlib
import pandas as pd
import pytest

import synthetic_analysis as made
from critical_weights.plots import SCORE_FIGURES, stage_times
from critical_weights.plots.sensitivity_distribution import build as build_distribution
from critical_weights.plots.style import GREY
from critical_weights.significance import SIGNIFICANT
from test_plots_analysis import SHAPES, SOURCES, build, words_of


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("figure", SCORE_FIGURES)
def test_no_two_words_overlap_where_there_is_one_metric(figure, shape):
    boxes = words_of(build(figure, SOURCES[shape][figure][4:5], "bundled, p1_baseline").figure)
    assert len(boxes) > 5
    for (a, box_a), (b, box_b) in itertools.combinations(boxes.values(), 2):
        both = matplotlib.transforms.Bbox.intersection(box_a, box_b)
        assert both is None or both.width < 1 or both.height < 1, f"'{a}' and '{b}' overlap"


def test_stages_that_run_once_are_told_once():
    table = stage_times.time_table(made.recorded_times(3))
    once = table[table["stage"] == "calibrate"]
    assert once["name"].to_list() == ["for all experiments"]
    assert table[table["stage"] == "rank"]["name"].nunique() == 3


def test_zeros_that_are_clipped_estimates_are_told_as_such():
    stats = next(iter(made.runs([("model.layers.0.mlp.up_proj.weight", (8, 8), 0, "up_proj")]).values()))
    stats["histogram"]["zeros"]["up_proj"] = 5
    for metric, told in (("obd_hutch", True), ("obd", False)):
        shown = "\n".join(text.get_text() for text in build_distribution(stats | {"metric": metric}).figure.texts)
        assert ("score exactly 0, as estimates of the curvature below 0 do" in shown.replace("\n", " ")) == told
        assert "score exactly 0" in shown.replace("\n", " ")


def test_channels_that_chance_explains_are_grey():
    table = made.structure(made.NAMES[:1], blocks=8)
    hit = (table["scope"] == "residual") & (table["quantity"] == "blocks_hit")
    table.loc[hit, "p"] = 1.0
    first = table.index[hit & (table["k"] == 1000) & table["index"].notna()][0]
    table.loc[first, "p"] = SIGNIFICANT / 2
    drawn = build("recurring_channels", table)
    bars = {matplotlib.colors.to_hex(bar.get_facecolor()) for bar in drawn.figure.axes[0].patches}
    assert len(bars) == 2
    assert (drawn.data["blocks_p"] < SIGNIFICANT).sum() == 1
    assert "(p not below 0.01)" in drawn.figure.texts[-1].get_text()


def test_chance_is_divided_among_the_selections_that_are_looked_at():
    table = made.structure(made.NAMES[:3], blocks=8)
    table.loc[(table["scope"] == "residual") & (table["quantity"] == "blocks_hit"), "p"] = SIGNIFICANT / 2.5
    drawn = build("recurring_channels", table)
    assert not any("Grey" in text.get_text() for text in drawn.figure.texts), "nothing else is held against chance"
    counted = table[table["quantity"] == "outside_hit"].assign(quantity="channels_hit", expected=1.0, index=None)
    drawn = build("recurring_channels", pd.concat([table, counted], ignore_index=True))
    assert "(p not below 0.01 / 3 selections)" in drawn.figure.texts[-1].get_text()
    colours = {matplotlib.colors.to_hex(bar.get_facecolor()) for ax in drawn.figure.axes for bar in ax.patches}
    assert colours == {GREY}
