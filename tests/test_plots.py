"""The figures: what stands on their axes, that all of it can be read, and that their files are always the same."""

from __future__ import annotations

import copy
import inspect
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from critical_weights.errors import ConfigError, CriticalWeightsError, TableError
from critical_weights.plots import (
    RUN_FIGURES,
    draw,
    layer_comparison,
    lorenz_curves,
    overlap_matrix,
    sensitivity_distribution,
    sensitivity_heatmap,
)
from critical_weights.plots.cells import cells, components, panel
from critical_weights.plots.stats_file import check_stats
from critical_weights.plots.style import line_styles, styled
from critical_weights.plots.wording import percent, scientific, short
from critical_weights.report.analysis import at_one_k
from critical_weights.tables.schema import CONCENTRATION, OVERLAP, write_table
from script_call import SCRIPTS, call_script
from synthetic_stats import gpt2_tensors, llama8b_tensors, llama_tensors, make_stats

METRICS = ("magnitude", "act_mag", "wanda", "grad_x_weight", "grad_squared", "taylor_abs", "hutchinson_diag", "obd",
           "obd_hutch")  # fmt: skip
ZERO = "model.layers.1.self_attn.q_proj.weight"
SMALL = llama_tensors(blocks=4, hidden=32, mlp=64, kv=16, vocabulary=200)
CASES = {
    "one block": make_stats(llama_tensors(1, 32, 64, 16, 100, tied=True), k=10),
    "two tensors": make_stats([("h.0.w.weight", (30, 20), 0, "w"), ("head.weight", (50, 20), None, "head")], k=5),
    "twelve tensors": make_stats(gpt2_tensors(), mode="perblock", k=30, unseen=0.1),
    "zeros": make_stats(SMALL, k=100, unseen=0.3, zero_tensors=(ZERO,)),
    "fifteen components": make_stats(gpt2_tensors(12, one_dimensional=True), mode="global", k=1000, centre=-5),
    "226 tensors": make_stats(llama8b_tensors(), mode="global", k=10_000, spread=3.4),
    "226 tensors, per tensor": make_stats(llama8b_tensors(), k=100, unseen=0.02),
    "all zero": make_stats(SMALL, zero_tensors=tuple(name for name, *_ in SMALL)),
}
BUILD = {
    "layer_comparison": layer_comparison.build,
    "sensitivity_distribution": sensitivity_distribution.build,
    "sensitivity_heatmap": sensitivity_heatmap.build,
    "overlap_matrix": overlap_matrix.build,
    "lorenz_curves": lorenz_curves.build,
}


def overlap(names, exact_to=10_000, expected=True, k_max=10_000) -> pd.DataFrame:
    rows = []
    for i, (a, b) in enumerate(itertools.combinations(names, 2)):
        for k in (10, 30, 100, 300, 1000, 3000, 10_000):
            shared = k * (i % 8) // 10
            rows.append({
                "scope": "global", "tensor": "", "a": a, "b": b, "k": str(k), "shared": shared, "share": shared / k,
                "jaccard": shared / (2 * k - shared), "expected": k * k / 2_000_000 if expected else np.nan,
                "p": 0.5 if expected else np.nan, "complete": k <= exact_to,
            })  # fmt: skip
            rows.append({**rows[-1], "scope": "tensor", "tensor": "t", "shared": k, "share": 1.0, "complete": True})
    rows = [row for row in rows if int(row["k"]) <= k_max]
    return pd.DataFrame(rows, columns=[column.name for column in OVERLAP.columns])


def concentration(names, band=0.0) -> pd.DataFrame:
    rows = []
    for i, name in enumerate(names):
        # share = fraction^a has the Gini coefficient (1 - a) / (1 + a), counted from the top.
        power = 0.9 / (i + 1)
        gini = (1 - power) / (1 + power)
        points = [("gini", np.nan, gini, band / 2)]
        points += [("lorenz", at, at**power, band) for at in np.geomspace(1e-6, 1, 40)]
        points += [("top_share", 0.01, 0.01**power, 0.0)]
        for quantity, at, value, width in points:
            rows.append({
                "metric": name, "scope": "all", "name": "all", "quantity": quantity, "at": at, "value": value,
                "low": max(value - width, 0), "high": min(value + width, 1), "weights": 1_000_000, "unit": "share",
            })  # fmt: skip
        rows.append({**rows[-2], "scope": "component", "name": "q_proj", "value": 0.0})
    return pd.DataFrame(rows, columns=[column.name for column in CONCENTRATION.columns])


def drawn_text(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible())


# ------------------------------------------------------------------------------------------------ all figures


def every_figure():
    for case, name in itertools.product(CASES, RUN_FIGURES):
        yield pytest.param(name, CASES[case], id=f"{name}, {case}")
    for n in (2, 9):
        yield pytest.param("overlap_matrix", overlap(METRICS[-n:]), id=f"overlap_matrix, {n}")
        yield pytest.param("lorenz_curves", concentration(METRICS[-n:], band=0.01), id=f"lorenz_curves, {n}")
    long_names = ["lists/a_very_long_name_of_a_list_made_elsewhere.csv", "mine.csv"]
    yield pytest.param("overlap_matrix", overlap(long_names, exact_to=5), id="overlap_matrix, long names")


@pytest.mark.parametrize("name, table", list(every_figure()))
def test_nothing_is_cut_and_no_two_words_overlap(name, table):
    figure = BUILD[name](table, "a model with a rather long name, p1.1_baseline").figure
    with styled():  # ticks are made while drawing
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    renderer = canvas.get_renderer()
    boxes, beyond = {}, _beyond_the_axes(figure)
    for i, text in enumerate(figure.findobj(matplotlib.text.Text)):
        if text.get_visible() and text.get_text().strip() and text not in beyond:
            boxes[i, text.get_text(), text.get_rotation()] = text.get_window_extent(renderer)
    assert len(boxes) > 4
    frame = figure.bbox.padded(1)
    for (_, text, _), box in boxes.items():
        inside = frame.x0 <= box.x0 and frame.y0 <= box.y0 and box.x1 <= frame.x1 and box.y1 <= frame.y1
        assert inside, f"'{text}' is cut"
    # The box of a slanted label is much larger than the label.
    straight = {key: box for key, box in boxes.items() if key[2] % 90 == 0}
    for (a, box_a), (b, box_b) in itertools.combinations(straight.items(), 2):
        both = matplotlib.transforms.Bbox.intersection(box_a, box_b)
        assert both is None or both.width < 1 or both.height < 1, f"'{a[1]}' and '{b[1]}' overlap"


def _beyond_the_axes(figure) -> set[matplotlib.text.Text]:
    """Return the tick labels that matplotlib keeps beyond the ends of an axis and leaves out of the picture."""
    labels = set()
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not min(limits) <= tick.get_loc() <= max(limits):
                    labels |= {tick.label1, tick.label2}
    return labels


@pytest.mark.parametrize("name", RUN_FIGURES)
def test_figures_say_their_population_and_the_metric_with_its_unit(name):
    text = drawn_text(BUILD[name](CASES["226 tensors"]).figure)
    assert "8,029,995,008 weights of 226 tensors" in text
    assert "grad_squared" in text
    assert "[(nats per token / weight)²]" in text


@pytest.mark.parametrize("name", RUN_FIGURES)
def test_the_title_names_what_it_is_given_and_nothing_else(name):
    stats = CASES["zeros"]
    assert "a $model$ of mine, p2: " in drawn_text(BUILD[name](stats, "a $model$ of mine, p2").figure).replace("\\", "")
    assert drawn_text(BUILD[name](stats).figure).find("p2") == -1


def test_lines_stay_apart_when_colours_repeat():
    styles = line_styles(str(i) for i in range(30))
    looks = {(style["color"], str(style["linestyle"])) for style in styles.values()}
    assert len(looks) == 30


# ------------------------------------------------------------------------------------------- layer comparison


def test_layer_comparison_draws_a_line_a_component_of_the_means():
    stats = CASES["226 tensors"]
    drawn = layer_comparison.build(stats)
    blocks, outside = drawn.figure.axes
    components = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert [line.get_label() for line in blocks.lines] == components
    for line in blocks.lines:
        part = "mlp" if line.get_label() in ("gate_proj", "up_proj", "down_proj") else "self_attn"
        names = [f"model.layers.{block}.{part}.{line.get_label()}.weight" for block in range(32)]
        np.testing.assert_allclose(line.get_ydata(), [stats["tensors"][name]["mean"] for name in names], rtol=1e-12)
        np.testing.assert_array_equal(line.get_xdata(), range(32))
    assert blocks.get_yscale() == "log"
    assert blocks.get_xlabel() == "transformer block"
    assert [label.get_text() for label in outside.get_xticklabels()] == ["embed_tokens", "lm_head"]
    assert outside.lines[1].get_ydata() == pytest.approx([stats["tensors"]["lm_head.weight"]["mean"]])
    assert outside.get_ylim() == blocks.get_ylim()
    assert [text.get_text() for text in outside.get_legend().get_texts()][:2] == ["q_proj", "k_proj"]


def test_layer_comparison_of_one_block_has_one_whole_tick():
    blocks = layer_comparison.build(CASES["one block"]).figure.axes[0]
    assert [label.get_text() for label in blocks.get_xticklabels()] == ["0"]


def test_layer_comparison_marks_tensors_of_zeros_and_breaks_their_line():
    drawn = layer_comparison.build(CASES["zeros"])
    blocks = drawn.figure.axes[0]
    line = next(line for line in blocks.lines if line.get_label() == "q_proj")
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False, False]
    marks = [line for line in blocks.lines if line.get_label() == "_zero"]
    assert [list(mark.get_xdata()) for mark in marks] == [[1]]
    assert "every score of the tensor is exactly 0" in drawn_text(drawn.figure)
    assert "exactly 0" not in drawn_text(layer_comparison.build(CASES["226 tensors"]).figure)


def test_a_cell_of_several_tensors_is_the_mean_over_their_weights():
    stats = make_stats([("a", (2, 3), 0, "experts"), ("b", (10, 3), 0, "experts"), ("c", (4, 4), None, "head")], k=1)
    rows = pd.DataFrame(cells(stats))
    a, b = stats["tensors"]["a"], stats["tensors"]["b"]
    assert rows["mean"][0] == pytest.approx((6 * a["mean"] + 30 * b["mean"]) / 36)
    assert rows[["panel", "tensors", "weights", "selected"]].to_numpy().tolist() == [
        ["blocks", 2, 36, 2], ["outside", 1, 16, 1]
    ]  # fmt: skip
    assert "up to 2 tensors" in drawn_text(layer_comparison.build(stats).figure)


# ------------------------------------------------------------------------------------------------ distribution


@pytest.mark.parametrize("case", CASES)
def test_distribution_counts_every_weight_once(case):
    stats = CASES[case]
    table = pd.DataFrame(sensitivity_distribution.distribution_table(stats))
    totals = table.groupby("component", sort=False)["weights"].sum()
    assert totals["all weights"] == stats["overall"]["num_weights"]
    assert totals.drop("all weights").sum() == stats["overall"]["num_weights"]
    zeros = table[(table["component"] == "all weights") & (table["high"] == 0)]["weights"].sum()
    assert zeros == sum(stats["histogram"]["zeros"].values())


def test_distribution_has_whole_octaves_that_hold_their_finer_bins():
    stats = CASES["226 tensors"]
    table = pd.DataFrame(sensitivity_distribution.distribution_table(stats))
    bins = table[(table["component"] == "q_proj") & (table["high"] > 0)]
    assert (np.log2(bins["low"]) % 1 == 0).all()
    assert (bins["high"] == 2 * bins["low"]).all()
    assert bins["low"].to_list()[1:] == bins["high"].to_list()[:-1]
    edges, counts = np.array(stats["histogram"]["edges"][:-1]), np.array(stats["histogram"]["counts"]["q_proj"])
    for low, high, weights in zip(bins["low"], bins["high"], bins["weights"], strict=True):
        assert weights == counts[(edges >= low) & (edges < high)].sum()


def test_distribution_spreads_the_wide_bin_of_subnormal_numbers():
    stats = copy.deepcopy(CASES["one block"])
    stats["histogram"] = {
        "edges": [2.0**-149, 2.0**-126, 2.0**-125.875], "counts": {"q_proj": [46, 5]}, "zeros": {"q_proj": 0},
    }  # fmt: skip
    table = pd.DataFrame(sensitivity_distribution.distribution_table(stats))
    bins = table[(table["component"] == "q_proj") & (table["high"] > 0)]
    assert bins["high"].to_list() == [2.0**-126, 2.0**-125]
    assert bins["weights_per_octave"].to_list() == [2.0, 5.0]


def test_distribution_draws_log_steps_the_tail_and_the_threshold():
    stats = CASES["226 tensors"]
    drawn = sensitivity_distribution.build(stats)
    upper, lower = drawn.figure.axes[:2]
    assert (upper.get_xscale(), upper.get_yscale()) == ("log", "log")
    steps = upper.patches[0].get_data()
    table = pd.DataFrame(drawn.data)
    bins = table[(table["component"] == "all weights") & (table["high"] > 0)]
    np.testing.assert_array_equal(steps.values, bins["weights_per_octave"])
    np.testing.assert_array_equal(steps.edges[:-1], bins["low"])
    assert steps.values[-1] >= 1 > upper.get_ylim()[0], "a single weight of the tail can be seen"
    threshold = stats["selection"]["threshold"]
    for ax in (upper, lower):
        assert threshold in [line.get_xdata()[0] for line in ax.lines]
    assert f"selected: from {scientific(threshold)} up" in drawn_text(drawn.figure)
    assert "Selected: 10,000 weights (the 10,000 highest of all weights), 0.00012 % of the weights" in drawn_text(
        drawn.figure
    )
    mesh = lower.collections[0].get_array()
    assert mesh.shape == (9, len(bins))
    assert [label.get_text() for label in lower.get_yticklabels()][:2] == ["embed_tokens", "q_proj"]
    texts = [text.get_text() for text in lower.texts]
    assert f"{stats['selection']['by_component']['v_proj']['num_weights']:,}" in texts


def test_distribution_states_zeros():
    text = drawn_text(sensitivity_distribution.build(CASES["zeros"]).figure)
    n = sum(CASES["zeros"]["histogram"]["zeros"].values())
    share = n / CASES["zeros"]["overall"]["num_weights"]
    assert f"; {n:,} ({percent(share)}) score exactly 0." in text
    assert "30 %" in text, "beside the strip of the embedding"
    assert "none scores exactly 0." in drawn_text(sensitivity_distribution.build(CASES["one block"]).figure)


def test_a_selection_that_is_no_cut_is_not_called_one():
    text = drawn_text(sensitivity_distribution.build(CASES["226 tensors, per tensor"]).figure)
    assert "lowest selected score: " in text
    assert "selected: from" not in text


def test_distribution_says_what_a_log_axis_cannot_show():
    stats = copy.deepcopy(CASES["zeros"])
    stats["selection"]["threshold"] = 0.0
    drawn = sensitivity_distribution.build(stats)
    assert "The lowest selected score is 0" in drawn_text(drawn.figure)
    stats["overall"]["num_weights"] += 7
    assert "7 have no finite score." in drawn_text(sensitivity_distribution.build(stats).figure)
    assert "every score is exactly 0" in drawn_text(sensitivity_distribution.build(CASES["all zero"]).figure)


# ----------------------------------------------------------------------------------------------------- heat map


def test_heatmap_colours_the_mean_of_every_tensor():
    stats = copy.deepcopy(CASES["226 tensors"])
    stats["tensors"]["lm_head.weight"]["mean"] = 1.0  # outside the blocks, and beyond their range
    drawn = sensitivity_heatmap.build(stats)
    blocks, outside = drawn.figure.axes[:2]
    mesh = blocks.collections[0]
    assert mesh.get_array().shape == (7, 32)
    wanted = stats["tensors"]["model.layers.31.mlp.down_proj.weight"]["mean"]
    assert mesh.get_array()[6, 31] == pytest.approx(wanted)
    assert type(mesh.norm).__name__ == "LogNorm"
    assert outside.collections[0].norm is mesh.norm, "both panels share the scale"
    assert outside.collections[0].get_array().shape == (2, 1)
    means = [row.mean for row in drawn.data]
    assert mesh.norm.vmin == pytest.approx(min(means))
    assert mesh.norm.vmax == pytest.approx(max(means))
    assert [label.get_text() for label in blocks.get_yticklabels()][-1] == "down_proj"
    assert not blocks.texts, "numbers do not fit into 32 columns"
    assert "mean grad_squared\n[(nats per token / weight)²]" in drawn_text(drawn.figure)


def test_heatmap_counts_the_selection_or_shows_the_highest_score_where_counting_says_nothing():
    drawn = sensitivity_heatmap.build(CASES["226 tensors"])
    lower = drawn.figure.axes[3].collections[0].get_array()
    assert sum(row.selected for row in drawn.data) == 10_000
    np.testing.assert_array_equal(lower.filled(0)[2], [row.selected for row in drawn.data if row.component == "v_proj"])
    assert "none selected" in drawn_text(drawn.figure)
    stats = CASES["226 tensors, per tensor"]
    drawn = sensitivity_heatmap.build(stats)
    highest = drawn.figure.axes[3].collections[0].get_array()
    assert highest[0, 0] == pytest.approx(stats["tensors"]["model.layers.0.self_attn.q_proj.weight"]["max"])
    assert "highest grad_squared" in drawn_text(drawn.figure)


def test_heatmap_hatches_zeros_and_leaves_only_missing_tensors_blank():
    tensors = [tensor for tensor in SMALL if tensor[0] != "model.layers.2.self_attn.k_proj.weight"]
    drawn = sensitivity_heatmap.build(make_stats(tensors, zero_tensors=(ZERO,)))
    blocks = drawn.figure.axes[0]
    hatched = [(patch.get_x(), patch.get_y()) for patch in blocks.patches if patch.get_hatch()]
    assert hatched == [(1, 0)]
    assert np.argwhere(np.ma.getmaskarray(blocks.collections[0].get_array())).tolist() == [[0, 1], [1, 2]]
    text = drawn_text(drawn.figure)
    assert "all scores are 0" in text
    assert "no such tensor in this block" in text
    assert "no such tensor" not in drawn_text(sensitivity_heatmap.build(CASES["zeros"]).figure)


def test_heatmap_writes_numbers_where_they_fit():
    stats = CASES["zeros"]
    blocks = sensitivity_heatmap.build(stats).figure.axes[0]
    assert len(blocks.texts) == 7 * 4 - 1, "a number a cell, none on the hatched one"
    assert blocks.texts[0].get_text() == scientific(stats["tensors"]["model.layers.0.self_attn.q_proj.weight"]["mean"])


# ------------------------------------------------------------------------------------------------------ overlap


def test_overlap_takes_the_largest_k_up_to_1000_that_all_pairs_answer():
    assert overlap_matrix.choose_k(overlap(METRICS)) == "1000"
    assert overlap_matrix.choose_k(overlap(METRICS, exact_to=500)) == "300"
    table = overlap(METRICS[:3])
    table["complete"] = (table["a"] == "magnitude") & (table["b"] == "act_mag")
    assert overlap_matrix.choose_k(table) == "1000", "one bad metric does not take the figure from the others"
    assert overlap_matrix.choose_k(overlap(METRICS[:1])) is None
    rows = overlap(METRICS, exact_to=500)
    told = at_one_k(rows[rows["scope"] == "global"].to_dict("records"))
    assert {row["k"] for row in told} == {overlap_matrix.choose_k(rows)}, "reports choose as the figure does"


def test_overlap_draws_and_writes_the_share_of_each_pair_twice():
    table = overlap(METRICS)
    drawn = overlap_matrix.build(table)
    ax = drawn.figure.axes[0]
    grid = ax.collections[0].get_array()
    assert [label.get_text() for label in ax.get_xticklabels()] == list(METRICS)
    assert len(drawn.data) == 36
    for (i, j), share in zip(itertools.combinations(range(9), 2), drawn.data["share"], strict=True):
        assert grid[i, j] == grid[j, i] == share
    assert sorted(text.get_text() for text in ax.texts) == sorted(2 * [percent(share) for share in drawn.data["share"]])
    text = drawn_text(drawn.figure)
    assert "the 1,000 highest scores of each metric over all tensors" in text
    assert "two independent draws would share 0.050 % (0.5 weights)" in text


def test_overlap_marks_what_cannot_be_answered_and_says_when_chance_is_unknown():
    drawn = overlap_matrix.build(overlap(METRICS[:3], exact_to=5, expected=False))
    text = drawn_text(drawn.figure)
    assert all(text.get_text().endswith("*") for text in drawn.figure.axes[0].texts)
    assert "* Not exactly the highest" in text
    assert "Chance level: not known" in text
    assert "*" not in drawn_text(overlap_matrix.build(overlap(METRICS[:3])).figure)


def test_overlap_of_one_metric_says_so():
    drawn = overlap_matrix.build(overlap(METRICS[:1]))
    assert "There is one metric only" in drawn_text(drawn.figure)
    assert drawn.data.empty


# ------------------------------------------------------------------------------------------------------- Lorenz


def test_lorenz_draws_a_curve_a_metric_with_its_gini_coefficient():
    drawn = lorenz_curves.build(concentration(METRICS))
    ax = drawn.figure.axes[0]
    curves, equal = ax.lines[:-1], ax.lines[-1]
    assert ax.get_xscale() == "log"
    assert [line.get_label().split(":")[0] for line in curves] == list(METRICS)
    assert curves[0].get_label() == f"magnitude: {0.1 / 1.9:.3f}"
    np.testing.assert_allclose(curves[2].get_ydata(), np.geomspace(1e-6, 1, 40) ** 0.3)
    np.testing.assert_array_equal(equal.get_xdata(), equal.get_ydata())
    assert ax.get_xlim() == (1e-6, 1)
    assert "all 1,000,000 scored weights" in drawn_text(drawn.figure)
    assert not ax.collections, "no band where the bounds are the value"


def test_lorenz_draws_bounds_where_they_differ():
    drawn = lorenz_curves.build(concentration(METRICS[:2], band=0.02))
    assert len(drawn.figure.axes[0].collections) == 2
    assert "Bands: bounds" in drawn_text(drawn.figure)
    assert " to " in drawn.figure.axes[0].lines[0].get_label()


def test_lorenz_names_a_metric_whose_scores_are_all_zero():
    table = concentration(METRICS[:2])
    no_curve = table["quantity"].isin(["lorenz", "gini"])
    drawn = lorenz_curves.build(table[~no_curve | (table["metric"] == "magnitude")])
    assert "Without a curve, every score being 0: act_mag." in drawn_text(drawn.figure)
    assert set(drawn.data["metric"]) == {"magnitude"}
    drawn = lorenz_curves.build(table[~no_curve])
    assert "every score being 0: magnitude, act_mag." in drawn_text(drawn.figure)
    assert drawn.data.empty
    assert "Without a curve" not in drawn_text(lorenz_curves.build(table).figure)


def test_lorenz_of_an_empty_table_or_without_a_coefficient_is_one_line():
    table = concentration(METRICS[:2])
    with pytest.raises(TableError, match="holds no metric"):
        lorenz_curves.build(table[:0])
    with pytest.raises(TableError, match="no Gini coefficient of act_mag"):
        lorenz_curves.build(table[(table["quantity"] != "gini") | (table["metric"] == "magnitude")])


# -------------------------------------------------------------------------------------------------------- files


def draw_all(folder: str, out: str) -> None:
    from critical_weights.plots import RUN_FIGURES, draw

    for figure in RUN_FIGURES:
        draw(figure, [f"{folder}/stats.json"], f"{out}/{figure}.png", "m, p", dpi=50)
    for figure, table in {"overlap_matrix": "overlap", "lorenz_curves": "concentration"}.items():
        draw(figure, [f"{folder}/{table}.csv"], f"{out}/{figure}.png", dpi=50)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "stats.json").write_text(json.dumps(CASES["zeros"]))
    write_table(overlap(METRICS[:4]), folder / "overlap.csv", OVERLAP)
    write_table(concentration(METRICS[:4], band=0.01), folder / "concentration.csv", CONCENTRATION)
    return folder


def test_two_runs_write_the_same_bytes_and_import_no_torch(inputs, tmp_path):
    # The one here, after other figures; the other in a process of its own, of a user with settings of his own.
    draw_all(str(inputs), str(tmp_path / "here"))
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.hashsalt: other\naxes.linewidth: 9\n")
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "MATPLOTLIBRC": str(tmp_path)}
    code = inspect.getsource(draw_all) + (
        "\nimport sys; draw_all(*sys.argv[1:]); print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(inputs), str(tmp_path / "there")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / run).iterdir()} for run in ("here", "there"))
    assert len(here) == 3 * (len(RUN_FIGURES) + 2)
    assert set(here) == set(there)
    for name, content in here.items():
        assert content == there[name], f"{name} differs between two runs"
        assert b"dc:date" not in content
        assert b"Matplotlib" not in content, f"{name} names a version"


def test_figures_of_one_experiment_are_drawn_without_pandas(inputs, tmp_path):
    # Importing it takes as long as drawing one of them.
    code = (
        "import sys; from critical_weights.plots import RUN_FIGURES, draw\n"
        "for figure in RUN_FIGURES: draw(figure, sys.argv[1:2], f'{sys.argv[2]}/{figure}.png', dpi=50)\n"
        "print('pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(inputs / "stats.json"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_the_three_files_lie_beside_each_other_and_the_csv_holds_what_is_drawn(inputs, tmp_path):
    files = draw("layer_comparison", [inputs / "stats.json"], tmp_path / "plots" / "x.png")
    assert [file.name for file in files] == ["x.csv", "x.svg", "x.png"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["x.csv", "x.png", "x.svg"]
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_text().startswith("<?xml")
    data = pd.read_csv(files[0])
    line = layer_comparison.build(CASES["zeros"]).figure.axes[0].lines[0]
    rows = data[data["component"] == line.get_label()]
    np.testing.assert_array_equal(rows["mean"], np.nan_to_num(line.get_ydata()))
    assert data["weights"].sum() == CASES["zeros"]["overall"]["num_weights"]


def test_a_png_has_the_dots_an_inch_that_are_asked_for(inputs, tmp_path):
    sizes = []
    for dpi in (50, 100):
        draw("layer_comparison", [inputs / "stats.json"], tmp_path / "x.png", dpi=dpi)
        sizes.append(int.from_bytes((tmp_path / "x.png").read_bytes()[16:20]))
    assert sizes == [400, 800]


def test_drawing_leaves_the_users_own_settings_alone():
    before = dict(matplotlib.rcParams)
    layer_comparison.build(CASES["one block"])
    assert dict(matplotlib.rcParams) == before


def test_a_panel_can_be_drawn_into_axes_of_the_users():
    ax = matplotlib.figure.Figure().subplots()
    table = cells(CASES["one block"])
    styles = line_styles(components(table))
    assert layer_comparison.draw_blocks(panel(table, "blocks"), styles, ax) is ax
    assert len(layer_comparison.draw_blocks(panel(table, "blocks"), styles).lines) == 7


# ----------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "path, word",
    [
        (("histogram",), "'histogram'"),
        (("units",), "'units'"),
        (("overall", "num_weights"), "'num_weights'"),
        (("selection", "threshold"), "'threshold'"),
        (("selection", "mode"), "'mode'"),
        (("tensors", ZERO, "mean"), f"{ZERO} of there.json has no 'mean'"),
        (("tensors", ZERO, "component"), f"{ZERO} of there.json has no 'component'"),
        (("histogram", "edges"), "'edges'"),
        (("histogram", "zeros", "q_proj"), "'q_proj'"),
    ],
)
def test_a_missing_key_is_named(path, word):
    stats = copy.deepcopy(CASES["zeros"])
    parent = stats
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    with pytest.raises(TableError) as caught:
        check_stats(stats, "there.json")
    assert word in str(caught.value)
    assert "there.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, word",
    [
        (
            lambda stats: stats["overall"].update(num_weights=None),
            "'num_weights' of overall of f is not a finite number",
        ),
        (lambda stats: stats["tensors"][ZERO].update(mean="much"), "is not a finite number; got much"),
        (lambda stats: stats["histogram"]["counts"]["q_proj"].pop(), "histogram of q_proj of f does not fit"),
        (lambda stats: stats.update(tensors={}), "names no tensor"),
        (lambda stats: stats.update(overall=[]), "overall of f is no JSON object"),
    ],
)
def test_figures_of_another_kind_are_refused(change, word):
    stats = copy.deepcopy(CASES["zeros"])
    change(stats)
    with pytest.raises(TableError, match=word):
        check_stats(stats, "f")


def test_a_wrong_figure_name_output_or_table_is_one_line(inputs, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown figure 'layer_comparision'.*Did you mean layer_comparison"):
        draw("layer_comparision", [inputs / "stats.json"], tmp_path / "x.png")
    with pytest.raises(ConfigError, match=r"a name in \.png"):
        draw("layer_comparison", [inputs / "stats.json"], tmp_path / "x.svg")
    with pytest.raises(TableError, match="has no column 'metric'"):
        draw("lorenz_curves", [inputs / "overlap.csv"], tmp_path / "x.png")
    with pytest.raises(CriticalWeightsError, match="cannot read"):
        draw("layer_comparison", [inputs / "nothing.json"], tmp_path / "x.png")
    for sources in ([], [inputs / "stats.json"] * 2):
        with pytest.raises(
            ConfigError, match=r"layer_comparison is drawn from one file; got \d; expected sensitivity_"
        ):
            draw("layer_comparison", sources, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_the_scripts_draw_and_turn_a_mistake_into_one_line(inputs, tmp_path, capsys):
    output = tmp_path / "x.png"
    stats, table = inputs / "stats.json", inputs / "concentration.csv"
    given = ("--figure", "sensitivity_heatmap", "--source", stats, "--output", output, "--title", "m", "--dpi", "40")
    assert call_script("plot", *given) == 0
    assert int.from_bytes(output.read_bytes()[16:20]) == 320
    assert call_script("plot", "--figure", "lorenz_curves", "--source", table, "--output", output) == 0
    capsys.readouterr()
    wrong = inputs / "overlap.csv"
    assert call_script("plot", "--figure", "lorenz_curves", "--source", wrong, "--output", output) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("[plot] error: ")


# ------------------------------------------------------------------------------------------------------ wording


@pytest.mark.parametrize(
    "share, text",
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (2.8e-6, "0.00028 %"), (0.00123, "0.12 %"), (0.99995, ">99.99 %"),
     (0.995, "99.50 %"), (1e-12, "1.0\N{MULTIPLICATION SIGN}10⁻¹⁰ %")],
)  # fmt: skip
def test_percent_rounds_to_neither_end(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (0.25, "0.25"),
        (3.24e-9, "3.2\N{MULTIPLICATION SIGN}10⁻⁹"),
        (123.0, "1.2\N{MULTIPLICATION SIGN}10²"),
        (7, "7"),
    ],
)
def test_scores_are_written_with_raised_powers(value, text):
    assert scientific(value) == text


def test_long_names_keep_both_ends():
    assert short("q_proj") == "q_proj"
    assert len(short("a" * 40 + "b" * 40)) == 26
    assert short("a$b$") == r"a\$b\$"
