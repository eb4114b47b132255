"""How tables and figures look on a page: what is left out, where lines may end, at every width and on paper."""

import shutil
from pathlib import Path

import pytest

from critical_weights.plots import FIGURES
from critical_weights.report.figures import CAPTIONS, caption, find_figures
from critical_weights.report.render import TEMPLATES, digest, foldable, looks, render, script_of_pages
from critical_weights.report.sheet import CODE, NUMBER, PRINTED, PRINTED_WHOLE, TEXT, TOKEN, Table, named
from synthetic_results import MODEL, make_results
from test_report_browser import BROWSER, use

METRICS = ("hutchinson_diag", "grad_x_weight", "obd")
INTERVAL = "-0.000607 (-0.000451 to 0.000261)"
SHA = "cccedb5429dca0f300cc5b54288ab25e158e54d4f90a8ee9555527855852ed49"
ANY_DAY = "2026-11-30T09:39:33Z"
DAMAGE = Table(
    "Damage",
    (("metric", CODE), ("mode", CODE), ("verdict", TEXT), ("k", NUMBER),
     *((f"{what} (nats per token)", NUMBER) for what in ("damage", "more than random ones", "more than matched ones")),
     ("KL", NUMBER), *((words, NUMBER) for words in ("same prediction", "texts not finite", "better than", "weights")),
     ("expert", NUMBER)),
    [[METRICS[n % 3], "global", "not told apart from controls", f"{n:,}", INTERVAL, INTERVAL, INTERVAL, "1.336e-05",
      "99.9 %", "0", "0 of 8", "317", "-"] for n in range(PRINTED_WHOLE + 1)],
    "Damage: change of the mean loss.",
)  # fmt: skip
STAGES = Table(
    "Stages", (("experiment", CODE), ("stage", TEXT), ("started", TEXT), ("ended", TEXT)),
    [["taylorabs_global_k300", "describe_model", ANY_DAY, ANY_DAY], ["obd_global_k300", "rank", ANY_DAY, ANY_DAY]],
)  # fmt: skip
FACTS = named("The model", [*((f"fact {n}", f"{n} of 2,001,024 (1.336e-05)") for n in range(20)), ("hash", SHA)])
CHOSEN = Table("Chosen", (("metric", CODE), ("rank", NUMBER)), [[name, str(n)] for name in METRICS for n in range(50)],
               choose="metric")  # fmt: skip
SEE = """
const seen = {}, titled = (words) => [...document.querySelectorAll(".scroll")]
  .find((region) => region.getAttribute("aria-label") === words);
seen.cut = [...document.querySelectorAll(".scroll")].map((region) => region.scrollWidth - region.clientWidth);
seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.hidden = titled("The model").scrollHeight - titled("The model").clientHeight;
seen.named = [...document.querySelectorAll(".scroll")].every((region) =>
  region.tabIndex === 0 && region.getAttribute("role") === "region" && region.getAttribute("aria-label"));
seen.text = document.querySelector("main p").getBoundingClientRect().width;
seen.reach = ["left", "right"].map((side) => titled("Damage").getBoundingClientRect()[side]);
seen.left = [titled("Stages"), document.querySelector("main p")].map((one) => one.getBoundingClientRect().left);
const broken = [], walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  if (!walk.currentNode.parentElement.closest("td:not(.solid)")) continue;
  for (const word of walk.currentNode.textContent.matchAll(/[^\\s_]+/g)) {
    const range = document.createRange();
    range.setStart(walk.currentNode, word.index);
    range.setEnd(walk.currentNode, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) broken.push(word[0]);
  }
}
seen.broken = broken;
const rows = (words) => [...titled(words).querySelectorAll("tbody tr")].filter((row) => row.checkVisibility()).length;
const left = (words) => [...titled(words).closest(".table").querySelectorAll(".paper")]
  .filter((note) => note.checkVisibility()).map((note) => note.textContent);
seen.rows = [rows("Damage"), rows("Stages"), left("Damage"), left("Stages")];
const tools = titled("Chosen").closest(".table"), field = tools.querySelector("select");
const text = tools.querySelector("input");
const choose = (value) => { field.value = value; field.dispatchEvent(new Event("change")); };
seen.chosen = [[rows("Chosen"), left("Chosen")]];
choose("obd");
seen.chosen.push([rows("Chosen"), left("Chosen")]);
choose("");
seen.chosen.push([rows("Chosen"), left("Chosen")]);
text.value = "no such row";
text.dispatchEvent(new Event("input"));
seen.chosen.push([rows("Chosen"), left("Chosen")]);
document.body.append(Object.assign(document.createElement("pre"), { id: "seen", textContent: JSON.stringify(seen) }));
"""


def look(folder: Path, width: int, *, paper: bool = False) -> dict:
    """Open a page of the four tables above in a browser; on paper, what is said of print holds for the screen."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    templates = shutil.copytree(TEMPLATES, folder / "templates")
    (templates / "try.html.j2").write_text(
        '{% extends "page.html.j2" %}{% from "parts.html.j2" import table %}{% block main %}'
        "<p>" + "Some words that fill more than one line of the page. " * 9 + "</p>"
        "{% for t in tables %}{{ table(t, file='../all/rows.csv') }}{% endfor %}{% endblock %}"
    )
    script = script_of_pages()
    values = {"title": "Tables", "sections": (), "script": script, "script_digest": digest(script)}
    page = folder / "page.html"
    text = render("try.html.j2", values | {"tables": [FACTS, STAGES, DAMAGE, CHOSEN]}, templates)
    page.write_text(text.replace("@media print {", "@media all {") if paper else text)
    return use(page, SEE, folder, f"--window-size={width},900", *(["--hide-scrollbars"] if paper else []))


@pytest.mark.parametrize("width", [1280, 1920])
def test_a_wide_table_reaches_beyond_the_text_and_not_beyond_the_window(tmp_path, width):
    seen = look(tmp_path, width)
    assert (seen["cut"], seen["wide"], seen["broken"], seen["console"]) == ([0, 0, 0, 0], 0, [], [])
    assert seen["text"] <= 46 * 16
    left, right = seen["reach"]
    assert right - left > 67.5 * 16
    assert left >= 20
    assert right <= width - 20
    assert seen["left"][0] == pytest.approx(seen["left"][1]), "a small table begins where the text does"
    assert seen["named"]


def test_in_a_narrow_window_a_table_scrolls_and_the_page_does_not(tmp_path):
    seen = look(tmp_path, 500)
    assert (seen["wide"], seen["broken"]) == (0, [])
    assert seen["cut"][2] > 0
    assert seen["named"]


def test_a_table_of_names_with_their_values_shows_all_its_rows(tmp_path):
    assert not FACTS.filterable
    assert look(tmp_path, 1280)["hidden"] == 0


@pytest.mark.parametrize("width", [739, 718], ids=["letter", "A4"])
def test_on_paper_words_and_numbers_are_whole_and_long_tables_short(tmp_path, width):
    seen = look(tmp_path, width, paper=True)
    assert (seen["cut"], seen["wide"], seen["broken"]) == ([0, 0, 0, 0], 0, [])
    told = f"Not printed: {len(DAMAGE.rows) - PRINTED} of {len(DAMAGE.rows)} rows. All of them are in all/rows.csv."
    assert seen["rows"] == [PRINTED, len(STAGES.rows), [told], []]


def test_on_paper_the_first_rows_are_those_that_a_filter_leaves(tmp_path):
    first, last, everything, nothing = look(tmp_path, 739, paper=True)["chosen"]
    assert first == last == [PRINTED, [f"Not printed: {50 - PRINTED} of 50 rows. All of them are in all/rows.csv."]]
    assert everything == [PRINTED, [f"Not printed: {150 - PRINTED} of 150 rows. All of them are in all/rows.csv."]]
    assert nothing == [0, []]


def test_on_the_screen_no_row_is_left_out(tmp_path):
    seen = look(tmp_path, 1280)
    assert seen["rows"] == [len(DAMAGE.rows), len(STAGES.rows), [], []]
    assert seen["chosen"] == [[50, []], [50, []], [150, []], [0, []]]


def test_rows_on_paper_are_as_many_in_the_style_as_in_the_note():
    assert f".first tbody tr:nth-child(n + {PRINTED + 1} of :not([hidden]))" in (TEMPLATES / "style.css").read_text()


def test_columns_without_a_value_are_left_out_and_named():
    table = Table("Lines", (("tensor", CODE), ("expert", NUMBER), ("p", NUMBER), ("block", NUMBER), ("note", TEXT)),
                  [["a", "-", "0.1", "not applicable", ""], ["b", "-", "-", "not applicable", ""]], "All.")  # fmt: skip
    shown = table.shown
    assert [heading for heading, _ in shown.columns] == ["tensor", "p"]
    assert shown.rows == [["a", "0.1"], ["b", "-"]]
    assert shown.note == "All. No row has a value for: expert, block, note."
    assert shown.shown is shown


@pytest.mark.parametrize(
    "columns, rows",
    [
        ((("metric", CODE), ("k", NUMBER)), []),
        ((("", TEXT), ("value", TEXT)), [["seed", "-"]]),
        ((("metric", CODE), ("k", NUMBER)), [["-", "1"], ["-", "2"]]),
        ((("metric", CODE), (TOKEN, CODE), ("k", NUMBER)), [["mag", "-", "1"]]),
        ((("metric", CODE), ("k", NUMBER), ("note", TEXT)), [["mag", "0", "-"], ["obd", "0", "exact"]]),
    ],
    ids=["no rows", "nothing else", "the first", "tokens may be dashes", "some row has one"],
)
def test_other_columns_stay(columns, rows):
    table = Table("Any", columns, rows, "Note.")
    assert table.shown == table


@pytest.mark.parametrize(
    "text, kind, wanted",
    [
        ("0.6 (0.5 to 0.7)", NUMBER, "0.6 <wbr>(0.5 to 0.7)"),
        ("1.336e-05", NUMBER, "1.336e-05"),
        ("hutchinson_diag", CODE, "hutchinson_<wbr>diag"),
        ("obd_hutch", CODE, "obd_hutch"),
        ("weights_up_to_100", CODE, "weights_<wbr>up_<wbr>to_100"),
        ("grad_squared, obd", CODE, 'grad_squared, <wbr class="list">obd'),
        ("<|end_of_text|>", CODE, "&lt;|end_<wbr>of_<wbr>text|&gt;"),
        ("analysis/rank_density.csv", "path", "analysis/<wbr>rank_density.csv"),
        (f"k_proj, 1.5e-05 & {ANY_DAY}", TEXT, f"k_proj, <span>1.5e-05</span> &amp; <span>{ANY_DAY}</span>"),
    ],
)
def test_lines_may_end_in_few_places(text, kind, wanted):
    assert str(foldable(text, kind)) == wanted


@pytest.mark.parametrize(
    "text, kind, wanted",
    [("1", NUMBER, ""), ("few words", TEXT, "text"), ("many words " * 9, TEXT, "text long"), ("", TEXT, "text"),
     (SHA, TEXT, "text long solid"), (SHA, CODE, "code solid"), ("a_name" * 9, CODE, "code")],
)  # fmt: skip
def test_only_what_is_too_long_for_a_line_may_be_cut_anywhere(text, kind, wanted):
    assert looks(text, kind) == wanted


@pytest.mark.parametrize("figure", sorted(FIGURES))
def test_a_figures_caption_is_what_snakemakes_report_says_without_markup(figure):
    words = caption(figure)
    assert (CAPTIONS / f"{figure}.rst").read_text().replace("``", "").startswith(words)
    assert words.endswith(".")
    assert not {"{", "`", "\n"} & set(words)
    assert "Of model" not in words
    assert "The same" not in words, "it stands alone as the text in place of the picture"


def test_captions_name_the_experiment_and_no_metric_that_may_not_be_drawn(tmp_path):
    labels = ["gradsq_perlayer_k3", "mag_global_k20"]
    folder = make_results(tmp_path / "results", labels, everything=True) / "p2" / MODEL
    runs = {"gradsq_perlayer_k3": "grad_squared", "mag_global_k20": "magnitude"}
    facts = {"validation": None, "metrics": dict.fromkeys(runs.values()), "experiments": {
        label: {"metric": metric, "k": label.rpartition("k")[2],
                "figures": [path.relative_to(folder / label).as_posix() for path in (folder / label).glob("*/*.png")]}
        for label, metric in runs.items()}}  # fmt: skip
    found = find_figures(folder, facts)
    for label in labels:
        assert len(found[label]) == 3
        assert all(figure["caption"].endswith(f" Of {label}.") for figure in found[label])
    others = [figure["caption"] for name, group in found.items() if name not in labels for figure in group]
    assert len(others) >= 10
    assert not [words for words in others if any(metric in words for metric in (*runs.values(), *labels))]
