"""The figure of damage over k: what is drawn, from a made-up table, and the same bytes twice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from critical_weights.errors import TableError
from critical_weights.plots import dose_response
from critical_weights.plots.dose_response import KINDS
from critical_weights.plots.save import Drawn, save
from critical_weights.tables.interventions import INTERVENTIONS_TABLE
from table_rows import data_of, rows_of


def build(table: pd.DataFrame, title: str | None = None) -> Drawn:
    return dose_response.build(rows_of(table, INTERVENTIONS_TABLE), title)


def dose_table(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(dose_response.dose_table(rows_of(table, INTERVENTIONS_TABLE)))


def made_up(metrics: int = 4) -> pd.DataFrame:
    """Return ladders of some metrics, one with a negative damage, each with controls of two seeds."""
    rows = []
    for number in range(metrics):
        for k in (10, 100):
            for kind, seed in (("top", None), ("random", 1), ("random", 2), ("matched", 1), ("matched", 2)):
                damage = (number - 1) * k / 1000 if kind == "top" else 0.001 * seed
                rows.append({"part": "ladder", "metric": f"m{number}", "mode": "global", "kind": kind, "k": k,
                             "seed": seed, "asked": k, "intervention": "zero", "dnll": damage, "low": damage - 0.002,
                             "high": damage + 0.002, "n_texts": 5, "n_tokens": 50})  # fmt: skip
    frame = pd.DataFrame(rows).reindex(columns=[column.name for column in INTERVENTIONS_TABLE.columns])
    return frame.fillna({column.name: 0 for column in INTERVENTIONS_TABLE.columns if not column.optional})


def test_what_is_drawn() -> None:
    """Controls are the mean over their seeds, between their lowest and highest bounds; other parts are left out."""
    other = made_up().assign(part="strength")
    points = dose_table(pd.concat([made_up(), other])).set_index(["metric", "kind", "k"])
    assert len(points) == 4 * 3 * 2
    control = points.loc["m2", "random", 100]
    assert (control["dnll"], control["low"], control["high"]) == pytest.approx((0.0015, -0.001, 0.004))
    assert control["seeds"] == 2
    assert points.loc["m3", "top", 100]["dnll"] == pytest.approx(0.2)


def test_controls_smaller_than_their_selection_are_left_out_and_the_figure_says_so() -> None:
    """Too few weights are left at k = 100 for one of the two seeds: the other one's control stands alone."""
    table = made_up(2)
    table["asked"] = table["k"] - ((table["k"] == 100) & (table["seed"] == 2))
    points = dose_table(table).set_index(["metric", "kind", "k"])
    assert [points.loc[("m1", "random", k), "seeds"] for k in (10, 100)] == [2, 1]
    assert len(dose_table(table.assign(asked=table["k"] - table["seed"].notna()))) == 2 * 2, "tops alone"
    said = ["\n".join(t.get_text() for t in build(t_).figure.texts) for t_ in (table, made_up(2))]
    assert ["Controls end where too few" in words for words in said] == [True, False]


def test_a_panel_a_metric_the_largest_damage_first(tmp_path: Path) -> None:
    """Panels come by damage, share their axes, and the files have the same bytes every time."""
    drawn = build(made_up(), "tiny, p2")
    panels = [ax for ax in drawn.figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in panels] == ["m3", "m2", "m1", "m0"]
    assert len({ax.get_ylim() for ax in panels}) == 1
    named = build(made_up(1).assign(metric="taylorabs")).figure.axes
    assert "taylor_abs" in [ax.get_title(loc="left") for ax in named], "by the name that the other figures have"
    files = [save(build(made_up(), "tiny, p2"), tmp_path / name / "figure.png", 60) for name in ("a", "b")]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*files, strict=True))


def test_without_a_ladder() -> None:
    """Nothing to draw is one line."""
    with pytest.raises(TableError, match="no ladder"):
        build(made_up().iloc[:0])


def said(table: pd.DataFrame) -> str:
    return " ".join(text.get_text() for text in build(table, "tiny, p2").figure.texts).replace("\n", " ")


def test_where_no_damage_is_finite_the_figure_says_so(tmp_path: Path) -> None:
    """The ladder was measured, and no text kept a finite loss: words and an empty table, not an end of the run."""
    table = made_up().assign(dnll=float("nan"), low=float("nan"), high=float("nan"))
    why = "No condition of the ladder left a text with a finite loss."
    assert why in said(table)
    assert "tiny, p2" in said(table)
    picture, *_ = save(build(table), tmp_path / "figure.png", 60)
    assert picture.stat().st_size > 0
    assert len(build(table).data) == 0


def test_a_list_alone_has_no_panel_and_the_figure_says_why() -> None:
    """A list of one's own is no metric: the figure is of the metrics, and its table still holds the list."""
    own = made_up(1).assign(metric="mine", mode="list")
    assert "The ladder holds lists alone, which have no panel." in said(own)
    broken = made_up(1).assign(dnll=float("nan"))
    both = pd.concat([broken, own])
    assert "No condition of a metric's ladder left a text with a finite loss; lists have no panel." in said(both)
    assert set(data_of(build(both))["metric"]) == {"mine"}


def test_a_metric_without_a_finite_top_comes_last_and_costs_no_entry_of_the_legend() -> None:
    """Its controls are drawn; beside it the others stay in the order of their damage."""
    table = made_up()
    table.loc[(table["metric"] == "m2") & (table["kind"] == "top"), ["dnll", "low", "high"]] = float("nan")
    figure = build(table).figure
    assert [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")] == ["m3", "m1", "m0", "m2"]
    entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert entries == [KINDS[kind][0] for kind in ("top", "matched", "random")]


def test_an_infinite_damage_is_left_out() -> None:
    """It has no place on an axis, and no mean with others."""
    table = made_up(2)
    table.loc[(table["metric"] == "m1") & (table["seed"] == 1), "dnll"] = float("inf")
    table.loc[(table["metric"] == "m1") & (table["kind"] == "top") & (table["k"] == 100), "dnll"] = float("-inf")
    points = dose_table(table).set_index(["metric", "kind", "k"])
    assert points.loc[("m1", "random", 10), "seeds"] == 1
    assert ("m1", "top", 100) not in points.index
    assert "m1" in [ax.get_title(loc="left") for ax in build(table).figure.axes]
