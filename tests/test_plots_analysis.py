"""The figures over all metrics: what stands on their axes, that it can be read, and that files are always the same."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import synthetic_analysis as made
from critical_weights.errors import ConfigError, StoreError, TableError
from critical_weights.overlap.rank_density import bin_edges, rank_density_table
from critical_weights.plots import ANALYSIS_FIGURES, OF_ROWS, SCORE_FIGURES, draw, draw_times, stage_times
from critical_weights.plots.chosen_selection import choose
from critical_weights.plots.save import settle
from critical_weights.plots.score_runs import Run, read_runs
from critical_weights.plots.stability_by_k import METHODS
from critical_weights.plots.style import styled
from critical_weights.plots.top_tokens import spelled
from critical_weights.plots.wording import power
from critical_weights.tables.schema import write_table
from critical_weights.tables.stability import TOO_HIGH
from script_call import SCRIPTS, call_script
from synthetic_stats import gpt2_tensors, llama8b_tensors, llama_tensors
from synthetic_stores import matrix_specs, random_scores, write_store
from table_rows import data_of, rows_of

TWO_BLOCKS = llama_tensors(blocks=2, hidden=32, mlp=64, kv=16, vocabulary=100, tied=True)
SHAPES = {"226 tensors": llama8b_tensors(), "12 tensors": gpt2_tensors()[:12], "two blocks": TWO_BLOCKS}


def runs_of(tensors, metrics=made.NAMES, **changed) -> list[Run]:
    return [Run(label, stats) for label, stats in made.runs(tensors, metrics, **changed).items()]


def tables_of(tensors) -> dict[str, pd.DataFrame]:
    """The source of each analysis figure for a model of these tensors."""
    blocks = 1 + max(layer for _, _, layer, _ in tensors if layer is not None)
    components = list(dict.fromkeys(component for *_, component in tensors))
    by_table = {
        "overlap.csv": made.overlap(), "rank_density.csv": made.rank_density(known=500),
        "concentration.csv": made.concentration(), "structure.csv": made.structure(blocks=blocks, hidden=4096),
        "tokens.csv": made.tokens(), "first_position.csv": made.first_position(components),
        "stability.csv": made.stability(), "spike_profile.csv": made.spike_profile(blocks),
    }  # fmt: skip
    return {figure: by_table[table.name] for figure, table in ANALYSIS_FIGURES.items()}


def build(figure: str, source, title=None):
    """Build a figure from a frame, though it may be drawn from plain rows; what it shows comes as a frame too."""
    if figure in OF_ROWS:
        source = rows_of(source, ANALYSIS_FIGURES[figure])
    drawn = import_module(f"critical_weights.plots.{figure}").build(source, title)
    return replace(drawn, data=data_of(drawn))


SOURCES = {
    shape: {figure: runs_of(tensors) for figure in SCORE_FIGURES} | tables_of(tensors)
    for shape, tensors in SHAPES.items()
}
SMALL = SOURCES["two blocks"]
RUNS = SMALL["block_means"]


def drawn_text(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible())


def words_of(figure) -> dict[object, tuple[str, object]]:
    """Text and box of every upright word in the picture."""
    with styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    beyond = set()  # matplotlib keeps ticks beyond the ends of an axis and leaves them out of the picture
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not min(limits) <= tick.get_loc() <= max(limits) or not axis.get_visible() or not ax.axison:
                    beyond |= {tick.label1, tick.label2}
    found = {}
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_visible() and text.get_text().strip() and text not in beyond and text.get_rotation() % 90 == 0:
            found[text] = (text.get_text(), text.get_window_extent(canvas.get_renderer()))
    return found


# ------------------------------------------------------------------------------------------------ all figures


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("figure", [*SCORE_FIGURES, *ANALYSIS_FIGURES])
def test_nothing_is_cut_and_no_two_words_overlap(figure, shape):
    picture = build(figure, SOURCES[shape][figure], "a model with a rather long name, p1.1_baseline").figure
    boxes = words_of(picture)
    assert len(boxes) > 10
    frame = picture.bbox.padded(1)
    for text, box in boxes.values():
        inside = frame.x0 <= box.x0 and frame.y0 <= box.y0 and box.x1 <= frame.x1 and box.y1 <= frame.y1
        assert inside, f"'{text}' is cut"
    for (a, box_a), (b, box_b) in itertools.combinations(boxes.values(), 2):
        both = matplotlib.transforms.Bbox.intersection(box_a, box_b)
        assert both is None or both.width < 1 or both.height < 1, f"'{a}' and '{b}' overlap"


@pytest.mark.parametrize("figure", [*SCORE_FIGURES, *ANALYSIS_FIGURES])
def test_the_title_names_what_it_is_given(figure):
    assert "a $model$, p2: " in drawn_text(build(figure, SMALL[figure], "a $model$, p2").figure).replace("\\", "")
    assert "p2" not in drawn_text(build(figure, SMALL[figure]).figure)


@pytest.mark.parametrize("figure", SCORE_FIGURES)
def test_figures_of_scores_say_their_population(figure):
    drawn = build(figure, SOURCES["226 tensors"][figure])
    assert "8,029,995,008 weights of 226 tensors" in drawn_text(drawn.figure).replace("\n", " ")


@pytest.mark.parametrize("figure", [name for name in ANALYSIS_FIGURES if name != "lorenz_curves"])
def test_an_empty_table_leaves_a_line_of_words(figure):
    drawn = build(figure, SMALL[figure][:0], "m")
    assert drawn.data.empty
    assert not drawn.figure.axes
    assert len(drawn_text(drawn.figure).splitlines()) >= 2, "a heading, and why nothing is drawn"


@pytest.mark.parametrize("figure", [*SCORE_FIGURES, *ANALYSIS_FIGURES])
def test_one_metric_alone_can_be_drawn(figure):
    source = SMALL[figure]
    if figure in SCORE_FIGURES:
        source = source[4:5]
    else:
        column = "metric" if "metric" in source else "a"
        source = source[source[column].isin(["grad_squared", ""])] if column in source else source
        source = source[:0] if column == "a" else source
    assert drawn_text(build(figure, source).figure)


@pytest.mark.parametrize("figure", SCORE_FIGURES)
def test_scores_that_are_all_zero_can_be_drawn(figure):
    zero = tuple(name for name, *_ in TWO_BLOCKS)
    drawn = build(figure, [*runs_of(TWO_BLOCKS, ["wanda"]), *runs_of(TWO_BLOCKS, ["obd"], zero_tensors=zero)])
    assert words_of(drawn.figure)
    assert words_of(build(figure, runs_of(TWO_BLOCKS, ["obd"], zero_tensors=zero)).figure)


def save_all(folder: str, out: str) -> None:
    import sys
    from pathlib import Path

    from critical_weights.plots import ANALYSIS_FIGURES, SCORE_FIGURES, draw

    stats = sorted(Path(folder).glob("*/sensitivity_stats.json"))
    for figure in SCORE_FIGURES:
        draw(figure, stats, f"{out}/{figure}.png", "m, p", dpi=50)
    # seaborn takes as long to import as a figure to draw, and scipy comes with it: one figure alone asks for them.
    for figure, table in sorted(ANALYSIS_FIGURES.items(), key=lambda item: item[0] == "overlap_matrix"):
        if figure == "overlap_matrix":
            print(sorted({"scipy", "seaborn"} & set(sys.modules)))
        draw(figure, [f"{folder}/{table.name}"], f"{out}/{figure}.png", dpi=50)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for run in RUNS:
        (folder / run.label).mkdir()
        (folder / run.label / "sensitivity_stats.json").write_text(json.dumps(run.stats))
    for figure, table in ANALYSIS_FIGURES.items():
        write_table(SMALL[figure], folder / table.name, table)
    return folder


def test_two_runs_write_the_same_bytes_import_no_torch_and_the_data_is_what_was_drawn(inputs, tmp_path):
    save_all(str(inputs), str(tmp_path / "here"))
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.hashsalt: other\naxes.linewidth: 9\n")
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "MATPLOTLIBRC": str(tmp_path)}
    code = inspect.getsource(save_all) + (
        "\nimport sys; save_all(*sys.argv[1:]); print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(inputs), str(tmp_path / "there")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[]", "[]"]
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / run).iterdir()} for run in ("here", "there"))
    assert set(here) == {f"{f}.{e}" for f in (*SCORE_FIGURES, *ANALYSIS_FIGURES) for e in ("png", "svg", "csv")}
    for name, content in here.items():
        assert content == there[name], f"{name} differs between two runs"
        assert b"dc:date" not in content
    for figure in (*SCORE_FIGURES, *ANALYSIS_FIGURES):
        source = SMALL[figure]
        if figure in SCORE_FIGURES:
            source = sorted(source, key=lambda run: run.label)
        data = build(figure, source).data.to_csv(index=False, lineterminator="\n").encode()
        assert here[f"{figure}.csv"] == data, f"{figure}.csv is not what is drawn"


def test_places_are_rounded_because_the_layout_differs_in_the_last_bit():
    figure = build("block_means", RUNS).figure
    with styled():
        settle(figure, 50)
    for ax in figure.axes:
        bounds = ax.get_position(original=True).bounds
        assert [round(number, 6) for number in bounds] == pytest.approx(bounds, abs=1e-15)


# ---------------------------------------------------------------------------------------------- figures of scores


def test_a_name_with_dollar_signs_is_no_formula():
    name = r"$\frac$"  # matplotlib fails on such a formula
    run = runs_of(TWO_BLOCKS, ["obd"])[0]
    run = replace(run, stats=json.loads(json.dumps(run.stats).replace("q_proj", json.dumps(name)[1:-1])))
    for drawn in (build("survival_curves", [run]),
                  build("top_tokens", made.tokens(made.NAMES[:2]).assign(component=name))):  # fmt: skip
        assert name in [text for text, _ in words_of(drawn.figure).values()] or name in drawn_text(
            drawn.figure
        ).replace(r"\$", "$")


def test_survival_counts_the_scores_at_or_above_each_edge_and_marks_the_thresholds():
    runs = runs_of(TWO_BLOCKS, ["grad_squared", "obd"])
    drawn = build("survival_curves", runs)
    stats = runs[0].stats
    edges = np.array(stats["histogram"]["edges"][:-1])
    counts = np.array(stats["histogram"]["counts"]["q_proj"])
    ax = drawn.figure.axes[0]
    line = next(line for line in ax.lines if line.get_label() == "q_proj")
    for score, weights in zip(line.get_xdata(), line.get_ydata(), strict=True):
        assert weights == counts[edges >= score].sum()
    everything = next(line for line in ax.lines if line.get_label() == "all weights")
    positive = sum(sum(counts) for counts in stats["histogram"]["counts"].values())
    assert everything.get_ydata()[0] >= 0.95 * positive > everything.get_ydata()[1]
    assert everything.get_ydata()[-1] >= 1
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    threshold = stats["selection"]["threshold"]
    assert any(list(line.get_xdata()) == [threshold, threshold] for line in ax.lines)
    assert "[(nats per token / weight)²]" in ax.get_xlabel()
    lines = {run.label: next(line for line in ax.lines if line.get_label() == f"_{run.stats['selection']['mode']}")
             for ax, run in zip(drawn.figure.axes, runs, strict=False)}  # fmt: skip
    assert [line.get_linestyle() for line in lines.values()] == ["--", "--"], "no cut where each tensor has its own"
    text = drawn_text(build("survival_curves", runs_of(TWO_BLOCKS, ["obd"], mode="global")).figure)
    assert "selected from here up" in text
    assert "of tensors or blocks" not in text


def test_without_a_histogram_there_is_no_curve():
    run = runs_of(TWO_BLOCKS, ["obd"])[0]
    empty = replace(run, stats=run.stats | {"histogram": {"edges": [], "counts": {}, "zeros": {}}})
    drawn = build("survival_curves", [empty])
    assert "Every score is exactly 0" in drawn_text(drawn.figure)
    assert drawn.data["kind"].tolist() == ["threshold"]


def test_statistics_that_are_no_numbers_or_of_two_folders_of_one_name_are_refused(tmp_path):
    (run,) = runs_of(TWO_BLOCKS, ["obd"])
    paths = [tmp_path / phase / run.label / "sensitivity_stats.json" for phase in ("p1", "p2")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(run.stats))
    with pytest.raises(TableError, match=f"two run folders called {run.label} are given"):
        read_runs(paths)
    next(iter(run.stats["tensors"].values()))["mean"] = float("nan")
    paths[0].write_text(json.dumps(run.stats))
    with pytest.raises(TableError, match=r"'mean' of tensor .* is not a finite number"):
        read_runs(paths[:1])


def test_block_maps_have_one_scale_and_stand_for_the_ratio():
    runs = runs_of(TWO_BLOCKS, ["magnitude", "obd"])
    for figure in ("block_means", "block_peaks"):
        drawn = build(figure, runs)
        norms = {id(ax.collections[0].norm) for ax in drawn.figure.axes[:2]}
        assert len(norms) == 1
        first = drawn.figure.axes[0].collections[0].get_array()
        entry = runs[0].stats["tensors"]["model.layers.1.self_attn.q_proj.weight"]
        tensors = runs[0].stats["tensors"].values()
        overall = sum(t["mean"] * t["num_weights"] for t in tensors) / sum(t["num_weights"] for t in tensors)
        expected = entry["mean"] / overall if figure == "block_means" else entry["max"] / entry["mean"]
        assert first[0, 1] == pytest.approx(expected)
        assert [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()][-1] == "embed_tokens"


def numbers_below(ax) -> list[str]:
    """What stands below a panel of a figure that was drawn."""
    return [label.get_text() for label in ax.get_xticklabels() if label.get_visible() and label.get_text()]


@pytest.mark.parametrize("figure", ["block_means", "layer_profile", "recurring_channels", "top_tokens"])
def test_panels_of_one_axis_have_its_numbers_below_the_lowest_alone(figure):
    drawn = build(figure, SMALL[figure]).figure
    drawn.draw_without_rendering()
    panels = [ax for ax in drawn.axes if len(ax.get_subplotspec().colspan) == 1]  # not the row below them
    lowest = {ax.get_subplotspec().colspan.start: ax for ax in panels}  # in reading order: the last of each column
    above = [ax for ax in panels if ax not in lowest.values()]
    assert len(above) >= 3
    assert not any(numbers_below(ax) for ax in above)
    assert all(len(numbers_below(ax)) >= 2 and ax.get_xlabel() for ax in lowest.values())


@pytest.mark.parametrize("figure", ["block_means", "layer_profile"])
def test_panels_whose_metrics_are_of_other_blocks_have_one_axis(figure):
    """The numbers stand below the lowest panel alone, and count for those above."""
    one = [("a", (4, 4), 2, "q_proj"), ("b", (4, 4), 9, "q_proj"), ("head", (4, 4), None, "lm_head")]
    every = runs_of(one, ["obd"]) + runs_of(one[:1] + one[2:], ["wanda"]) + runs_of(one[2:], ["magnitude"])
    drawn = build(figure, every).figure
    drawn.draw_without_rendering()
    panels = [ax for ax in drawn.axes if ax.axison][: 3 if figure == "block_means" else 9]
    assert len({ax.get_xlim() for ax in panels}) == 1
    assert numbers_below(panels[-1])[0] == "2"


def test_the_share_of_the_selection_leaves_out_what_takes_the_same_of_every_tensor():
    drawn = build("block_selected", RUNS)
    assert not drawn.data["panel"].str.contains("perlayer").any()
    np.testing.assert_allclose(drawn.data.groupby("panel")["value"].sum(), 1)
    text = drawn_text(drawn.figure)
    assert "Left out, taking the same number of every tensor: mag_perlayer_k100" in text
    assert "Grey: none selected." in text
    none = build("block_selected", [run for run in RUNS if "perlayer" in run.label])
    assert "Every selection takes the same number of each tensor" in drawn_text(none.figure)


def test_the_profile_draws_each_tensor_in_multiples_of_the_mean():
    runs = runs_of(TWO_BLOCKS, ["obd"])
    drawn = build("layer_profile", runs)
    tensors = runs[0].stats["tensors"]
    overall = sum(t["mean"] * t["num_weights"] for t in tensors.values()) / sum(
        t["num_weights"] for t in tensors.values()
    )
    for ax, quantity in zip(drawn.figure.axes, ("mean", "p99", "max"), strict=False):
        names = [f"model.layers.{block}.self_attn.q_proj.weight" for block in range(2)]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), [tensors[name][quantity] / overall for name in names])
        assert ax.get_yscale() == "log"
        marks = [line for line in ax.lines if line.get_linestyle() == "None"]
        assert [line.get_ydata()[0] for line in marks] == [
            pytest.approx(tensors["model.embed_tokens.weight"][quantity] / overall)
        ]
        assert marks[0].get_xdata()[0] > 1, "right of the last block"


def test_a_component_of_several_tensors_has_no_percentile_of_its_own():
    tensors = [("a", (2, 3), 0, "experts"), ("b", (10, 3), 0, "experts"), ("c", (4, 4), 0, "q_proj")]
    data = build("layer_profile", runs_of(tensors, ["obd"])).data
    assert set(data.loc[data["component"] == "experts", "quantity"]) == {"mean", "max"}
    assert set(data.loc[data["component"] == "q_proj", "quantity"]) == {"mean", "p99", "max"}


# -------------------------------------------------------------------------------------------- figures of analysis


def test_overlap_by_k_draws_each_pair_in_two_panels_and_chance():
    table = made.overlap(made.NAMES[:3], exact_to=1000)
    drawn = build("overlap_by_k", table)
    first = drawn.figure.axes[0]
    assert first.get_title(loc="left") == made.NAMES[0]
    pair = drawn.data[(drawn.data["a"] == made.NAMES[0]) & (drawn.data["b"] == made.NAMES[2])]
    line = next(line for line in first.lines if line.get_label() == made.NAMES[2])
    np.testing.assert_array_equal(line.get_ydata(), pair["share"].where(pair["share"] > 0))
    again = next(line for line in drawn.figure.axes[2].lines if line.get_label() == made.NAMES[0])
    np.testing.assert_array_equal(line.get_ydata(), again.get_ydata())
    chance = first.lines[-1]
    np.testing.assert_allclose(chance.get_ydata(), np.array(made.LADDER) / 2_000_000)
    hollow = [line for line in first.lines if line.get_markerfacecolor() == "white"]
    assert sorted(x for line in hollow for x in line.get_xdata()) == [3000, 3000, 10_000, 10_000]
    text = drawn_text(drawn.figure)
    assert "Hollow: not exactly the highest" in text
    assert "Marks on the lower edge: nothing shared." in text


def test_rank_density_colours_what_is_more_than_chance():
    drawn = build("rank_density", made.rank_density(made.NAMES[:3], known=500, population=10_000))
    maps = [ax for ax in drawn.figure.axes if ax.get_title() == "" and ax.collections and ax.get_xscale() == "log"][:3]
    shown = drawn.data[(drawn.data["a"] == made.NAMES[0]) & (drawn.data["b"] == made.NAMES[1])]
    norm = maps[0].collections[0].norm
    grid = shown.pivot(index="b_from", columns="a_from", values="ratio").to_numpy()
    array = maps[0].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(array), np.isnan(grid))
    np.testing.assert_allclose(array.compressed(), np.clip(grid[~np.isnan(grid)], norm.vmin, norm.vmax))
    assert norm.vmin * norm.vmax == pytest.approx(1)
    assert "Weights of score 0, or beyond the places that a store knows, are left out." in drawn_text(drawn.figure)
    assert maps[0].collections[0].get_rasterized()


def test_channels_and_tokens_are_of_one_selection_a_metric():
    table = made.structure(made.NAMES[:2], blocks=8)
    chosen = choose(table)
    assert set(chosen["k"]) == {1000}
    data = build("recurring_channels", table).data
    assert (data["blocks"] == 8).all()
    assert data.groupby("panel", sort=False)["blocks_hit"].apply(lambda hit: hit.is_monotonic_decreasing).all()
    drawn = build("recurring_channels", table).figure
    widths = [patch.get_width() for patch in drawn.axes[0].patches]
    assert widths == data.loc[data["panel"] == made.NAMES[0], "blocks_hit"].to_list()
    drawn = build("top_tokens", made.tokens(made.NAMES[:2]))
    assert [patch.get_width() for patch in drawn.figure.axes[0].patches] == drawn.data["share"].to_list()[:8]
    assert "not in the calibration texts" in drawn_text(drawn.figure)


@pytest.mark.parametrize(
    "token, text",
    [("Ġthe", "Ġthe"), ("你", "\\u4f60"), ("\u202e", "\\u202e"), ("", "row 7"), ("a" * 30, "aaaaaaaa…aaaaaaaa")],
)
def test_tokens_are_spelled_with_letters_that_the_font_has(token, text):
    assert spelled(token, 7) == text


def test_stability_marks_what_the_candidates_cannot_answer():
    """Weights that are not kept would come in there: the figure is too high, and no verdict is based on it."""
    table = made.stability(["obd"])
    table.loc[(table["method"] == "halves") & (table["k"] == 300), "note"] = f"half the texts; {TOO_HIGH}"
    drawn = build("stability_by_k", table)
    marked = drawn.data[drawn.data["too_high"]]
    assert marked[["method", "k"]].values.tolist() == [["halves", 300]]
    hollow = [line for line in drawn.figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata().tolist() for line in hollow] == [[[300, marked["value"].item()]]]
    bands = {line.get_label(): set(band.get_paths()[0].vertices[:, 0]) for line, band in
             zip((line for line in drawn.figure.axes[0].lines if line.get_label() in METHODS),
                 drawn.figure.axes[0].collections, strict=True)}  # fmt: skip
    assert {method: 300 in places for method, places in bands.items()} == {
        "bootstrap": True, "bootstrap_pair": True, "halves": False,
    }  # fmt: skip
    words = "too high: weights not kept may enter"
    assert words in drawn_text(drawn.figure)
    assert words not in drawn_text(build("stability_by_k", made.stability()).figure)


def test_the_chance_level_of_stability_is_that_of_the_verdict():
    """Of seeds it is among all weights, of halves among the candidates: a mean of both is of neither."""
    halves = made.stability(["obd"])
    seeds = halves[halves["method"] == "halves"].assign(method="seeds", expected=1e-6)
    drawn = build("stability_by_k", pd.concat([halves, seeds], ignore_index=True))
    (chance,) = [line for line in drawn.figure.axes[0].lines if line.get_label().startswith("_") and len(
        line.get_xdata()) == len(made.LADDER)]  # fmt: skip
    assert chance.get_xydata().tolist() == [[k, k / 1e6] for k in made.LADDER]


def test_stability_draws_value_interval_chance_and_threshold():
    table = made.stability(["obd"])
    drawn = build("stability_by_k", table)
    ax = drawn.figure.axes[0]
    halves = table[(table["method"] == "halves") & (table["quantity"] == "jaccard")]
    line = next(line for line in ax.lines if line.get_label() == "halves")
    np.testing.assert_array_equal(line.get_ydata(), halves["value"])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((halves["low"].min(), halves["high"].max()))
    assert any(list(line.get_ydata()) == [0.5, 0.5] for line in ax.lines)
    assert any(list(line.get_ydata()) == [k / 1e6 for k in made.LADDER] for line in ax.lines)
    assert "Without a curve: magnitude." in drawn_text(drawn.figure)
    assert "100 calibration texts" in drawn_text(drawn.figure)
    shown = drawn_text(drawn.figure).replace("\n", " ")
    assert "(halves: from half of them each)" in shown
    assert "the band of disjoint halves of the texts lies whole above the threshold" in shown


def test_stability_tells_the_bands_of_seeds_apart():
    """Seeds are few: their band goes from the lowest to the highest, and their number is none of draws."""
    table = made.stability(["obd"])
    seeds = table[(table["method"] == "bootstrap") & (table["quantity"] == "jaccard")].assign(method="seeds", n=2)
    resampled = "bands: from the 2.5 % to the 97.5 % quantile over 100 draws"
    other = "from the lowest to the highest of"
    for drawn, expected in (
        (table, f"{resampled}."),
        (pd.concat([table, seeds]), f"{resampled}, {other} 2 other seeds."),
        (
            pd.concat([table, seeds.assign(n=range(1, len(seeds) + 1))]),
            f"{resampled}, {other} 1 to {len(seeds)} other seeds.",
        ),
        (seeds.assign(n=1), f"bands: {other} 1 other seed."),
    ):
        assert expected in drawn_text(build("stability_by_k", drawn).figure).replace("\n", " ")
    table.loc[table["method"] == "halves", "n"] = 50
    assert "over 50 to 100 draws." in drawn_text(build("stability_by_k", table).figure).replace("\n", " ")


def test_lorenz_curves_are_of_the_weights_that_have_a_score():
    """A tensor that a metric skips is in the analysed set all the same, and not in the curve."""
    table = made.concentration(made.NAMES[:2])
    assert "Over all 1,000,000 scored weights." in drawn_text(build("lorenz_curves", table).figure)
    table.loc[table["metric"] == made.NAMES[0], "weights"] = 900_000
    assert "Over all 900,000 to 1,000,000 scored weights (by metric)." in drawn_text(
        build("lorenz_curves", table).figure
    )


def test_spikes_draw_the_largest_activation_of_each_round():
    table = made.spike_profile(blocks=4, rounds=2)
    inputs, outputs = build("spikes_by_block", table).figure.axes[:2]
    for ax, column in ((inputs, "max_input"), (outputs, "max_output")):
        assert ax.get_yscale() == "log"
        for line, number in zip(ax.lines, (1, 2), strict=False):
            np.testing.assert_array_equal(line.get_ydata(), table.loc[table["round"] == number, column])


def test_first_position_draws_shares_by_component_and_overlap_by_k():
    table = made.first_position(["q_proj", "lm_head"], ["obd", "wanda"])
    drawn = build("first_position_effect", table)
    shares, overlaps = drawn.figure.axes[:2]
    own = table[(table["metric"] == "obd") & (table["quantity"] == "position_0_share")]
    np.testing.assert_array_equal(shares.lines[0].get_xdata(), own["value"])
    kept = table[(table["metric"] == "obd") & (table["quantity"] == "overlap")]
    np.testing.assert_array_equal(overlaps.lines[0].get_ydata(), kept["value"])
    assert "Without the variant: magnitude." in drawn_text(drawn.figure)


def test_stage_times_stack_what_is_known():
    recorded = made.recorded_times(3)
    drawn = stage_times.build(recorded, "m")
    assert drawn.data["seconds"].notna().all()
    assert "other" not in set(drawn.data["stage"])
    bars = drawn.figure.axes[0].patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(
        drawn.data.loc[drawn.data["kind"] == "scoring pass", "seconds"].sum()
    )
    assert words_of(drawn.figure)
    picture = draw_times(recorded, "m", dpi=50)
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) == 400
    assert picture == draw_times(recorded, "m", dpi=50)
    empty = stage_times.build({"scoring": {}, "experiments": {}})
    assert "No stage's time was recorded." in drawn_text(empty.figure)


# ------------------------------------------------------------------------------------------------ the rank table


def slow_places(scores: dict[str, np.ndarray]) -> dict[tuple[str, int], int]:
    """The place of every weight above 0, by a plain sort."""
    rows = [(-float(s), t, i, name) for t, (name, v) in enumerate(scores.items()) for i, s in enumerate(v.ravel())]
    return {(name, i): place for place, (score, _, i, name) in enumerate(sorted(rows), 1) if score < 0}


@pytest.mark.parametrize("kept", ["all scores", "candidates"])
def test_rank_density_counts_what_a_plain_sort_gives(tmp_path, kept):
    specs = matrix_specs(3, (7, 11))
    n = sum(spec.numel for spec in specs)
    paths, places, known = [], [], []
    for seed, metric in enumerate(("magnitude", "obd", "wanda")):
        scores = random_scores(specs, seed)
        dense = kept == "all scores"
        path = tmp_path / f"{metric}.h5"
        paths.append(write_store(path, specs, scores, metric=metric, candidates=20, dense=dense, seed=seed))
        places.append(slow_places(scores))
        last = min(
            max((p for (name, _), p in sorted(places[-1].items(), key=lambda e: e[1]) if name == spec.name
                 and sum(q <= p for (other, _), q in places[-1].items() if other == name) <= 20), default=n)
            for spec in specs
        )  # fmt: skip
        known.append(len(places[-1]) if dense else min(last, len(places[-1])))
    table = rank_density_table(paths)
    assert table.groupby(["a", "b"])["weights"].sum().tolist() == [n] * 3
    assert table.groupby(["a", "b"])["expected"].sum().to_numpy() == pytest.approx([n] * 3)
    names = ("magnitude", "obd", "wanda")
    weights = [(spec.name, i) for spec in specs for i in range(spec.numel)]
    for row in table.itertuples():
        sides = []
        for name, low, high in ((row.a, row.a_from, row.a_to), (row.b, row.b_from, row.b_to)):
            of, end = places[names.index(name)], known[names.index(name)]
            assert low <= end + 1
            has = [low <= of.get(w, 10**9) <= high if not pd.isna(high) else of.get(w, 10**9) > end for w in weights]
            sides.append(np.array(has))
        assert row.weights == (sides[0] & sides[1]).sum()
        assert row.expected == pytest.approx(sides[0].sum() * sides[1].sum() / n)


def test_tensors_of_one_store_alone_are_no_part_of_a_pair(tmp_path):
    specs = matrix_specs(2, (5, 6))
    scores = random_scores(specs, 0)
    half = {specs[1].name: random_scores(specs, 1)[specs[1].name]}
    paths = [write_store(tmp_path / "a.h5", specs, scores, metric="obd"),
             write_store(tmp_path / "b.h5", specs, half, metric="wanda")]  # fmt: skip
    table = rank_density_table(paths)
    assert set(table["population"]) == {30}
    assert table["weights"].sum() == 30
    assert rank_density_table(paths[:1]).empty


def test_stores_that_do_not_belong_together_are_refused(tmp_path):
    specs = matrix_specs(1, (3, 3))
    scores = random_scores(specs, 0)
    a = write_store(tmp_path / "a.h5", specs, scores, metric="obd")
    b = write_store(tmp_path / "b.h5", specs, scores, metric="wanda", model="00" * 32)
    with pytest.raises(StoreError, match="two of the score stores are of obd"):
        rank_density_table([a, a])
    with pytest.raises(StoreError, match="of another model"):
        rank_density_table([a, b])
    output = tmp_path / "rank_density.csv"
    assert call_script("rank_density", "--stores", a, "--output", output) == 0
    assert output.read_text().count("\n") == 1, "a header alone: one metric has no pair"


def test_bins_are_1_2_5_and_end_with_what_is_known():
    assert bin_edges(30).tolist() == [1, 2, 5, 10, 20, 31]
    assert bin_edges(0).tolist() == [1]


# ----------------------------------------------------------------------------------------------------- mistakes


def test_wrong_requests_are_one_line(inputs, tmp_path, capsys):
    stats = sorted(inputs.glob("*/sensitivity_stats.json"))
    with pytest.raises(ConfigError, match=r"unknown figure 'block_mean'.*Did you mean block_means"):
        draw("block_mean", stats, tmp_path / "x.png")
    with pytest.raises(TableError, match="no statistics of an experiment are given"):
        draw("block_means", [], tmp_path / "x.png")
    capsys.readouterr()
    figures = ("--figure", "block_means", "block_peaks", "--source", stats[0], "--output", tmp_path / "x.png")
    assert call_script("plot", *figures) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "each figure needs its own --output" in line
    table = inputs / "stability.csv"
    mixed = ("--figure", "stability_by_k", "top_tokens", "--source", table, "--output", "a.png", "b.png")
    assert call_script("plot", *mixed) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "each figure needs its own --source; got 1 for 2 figures; expected 2" in line


def test_scripts_draw_several_figures_at_once(inputs, tmp_path):
    stats = sorted(inputs.glob("*/sensitivity_stats.json"))
    outputs = [tmp_path / f"{name}.png" for name in ("block_means", "block_peaks")]
    assert call_script("plot", "--figure", "block_means", "block_peaks", "--source", *stats, "--output",
                       *outputs, "--dpi", "40") == 0  # fmt: skip
    assert all(path.with_suffix(ending).is_file() for path in outputs for ending in (".png", ".svg", ".csv"))
    names = ("stability_by_k", "top_tokens")
    tables = [inputs / "stability.csv", inputs / "tokens.csv"]
    outputs = [tmp_path / f"{name}.png" for name in names]
    assert call_script("plot", "--figure", *names, "--source", *tables, "--output", *outputs) == 0
    assert all(path.is_file() for path in outputs)


TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    "value, text",
    [(1, "1"), (0.01, "0.01"), (5000, "5,000"), (1e4, "10⁴"), (2e6, f"2{TIMES}10⁶"), (1e-3, "10⁻³"), (300, "300")],
)
def test_ticks_are_short(value, text):
    assert power(value) == text
