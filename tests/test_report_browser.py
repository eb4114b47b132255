"""The page in a real browser: a second script, let in by the test alone, uses it and writes down what it sees."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from critical_weights.report.render import digest
from synthetic_results import finish, make_results
from synthetic_study import PARTS, finish_study, make_study

LABELS = ["gradsq_perlayer_k3", "gradxw_perblock_k6", "mag_global_k20"]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=2000",
         "--dump-dom")  # fmt: skip
USE = """
const seen = {}, table = document.querySelector("table[data-choose]"), tools = table.closest(".table");
const shown = () => [...table.tBodies[0].rows].filter((row) => row.checkVisibility());
const cells = (place) => shown().map((row) => row.cells[place].textContent);
const turn = (select, value) => { select.value = value; select.dispatchEvent(new Event("change")); };
const type = (text) => {
  const input = tools.querySelector("input");
  input.value = text;
  input.dispatchEvent(new Event("input"));
};
const heading = (name) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent === name);
const order = (name) => [cells(heading(name).cellIndex), heading(name).getAttribute("aria-sort")];
seen.first = cells(0);
turn(tools.querySelector("select"), "");
seen.all = cells(0);
heading("score").querySelector("button").click();
seen.down = order("score");
heading("score").querySelector("button").click();
seen.up = order("score");
heading("tensor").querySelector("button").click();
seen.names = order("tensor");
seen.sorted = table.querySelectorAll("[aria-sort]").length;
type("DOWN_PROJ layers.1");
seen.filtered = [cells(2), tools.querySelector("output").textContent];
type("no such weight");
seen.none = [cells(0).length, tools.querySelector("output").textContent];
type("");
const panels = (group) => [...document.querySelectorAll(`.switch[data-group=${group}] > .panel`)]
  .filter((panel) => panel.checkVisibility()).map((panel) => panel.dataset.name);
for (const group of ["metric", "experiment", "map"]) {
  const select = document.querySelector(`.switch[data-group=${group}] select`), names = [...select.options];
  const before = panels(group);
  turn(select, names.at(-1).value);
  seen[group] = [names.map((name) => name.value), before, panels(group)];
}
const map = document.querySelector(".switch[data-group=map] > .panel:not([hidden]) table.map");
const told = map.closest(".table").querySelector("output"), cell = map.querySelectorAll("td[data-tip]")[1];
cell.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
seen.pointer = [told.textContent, cell.dataset.tip];
map.querySelector("td[tabindex='0']").focus();
document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
seen.keys = [told.textContent, document.activeElement.dataset.tip, document.activeElement.closest("tr").rowIndex];
location.hash = "#gradsq-perlayer-k3";
setTimeout(() => {
  seen.revealed = panels("experiment");
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  seen.requests = loaded.filter((name) => !name.startsWith("data:"));
  seen.pictures = [...document.images].filter((picture) => !picture.complete || !picture.naturalWidth).length;
  seen.nameless = [...document.querySelectorAll("input, select")].filter((field) => !field.labels.length).length;
  const note = document.createElement("pre");
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
  document.body.append(note);
}, 100);
"""


USE_OF_STUDY = """
const seen = {};
const tables = [...document.querySelectorAll("table[data-sort]")];
const titled = (words) => tables.find((table) => table.caption.textContent === words);
const cells = (table, place) => [...table.tBodies[0].rows].filter((row) => row.checkVisibility())
  .map((row) => row.cells[place].textContent);
const experiments = titled("Experiments"), place = [...experiments.tHead.rows[0].cells]
  .findIndex((cell) => cell.textContent === "weights selected");
experiments.tHead.rows[0].cells[place].querySelector("button").click();
seen.sorted = cells(experiments, place);
const input = experiments.closest(".table").querySelector("input");
input.value = "other magnitude";
input.dispatchEvent(new Event("input"));
seen.filtered = cells(experiments, 0);
const panels = (group) => [...document.querySelectorAll(`.switch[data-group=${group}] > .panel`)]
  .filter((panel) => panel.checkVisibility()).map((panel) => panel.dataset.name);
for (const group of ["map", "folder"]) {
  const select = document.querySelector(`.switch[data-group=${group}] select`), names = [...select.options];
  const before = panels(group);
  select.value = names.at(-1).value;
  select.dispatchEvent(new Event("change"));
  seen[group] = [names.map((name) => name.value), before, panels(group)];
}
const sizeOf = (table) => [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === "size");
const files = tables.find((table) => sizeOf(table) >= 0 && /kB[^]*\\d B|\\d B[^]*kB/.test(table.textContent));
files.tHead.rows[0].cells[sizeOf(files)].querySelector("button").click();
seen.sizes = [...files.tBodies[0].rows].map((row) => row.cells[sizeOf(files)].textContent);
const cell = document.querySelector(".switch[data-group=map] > .panel:not([hidden]) td[data-tip]");
cell.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
seen.pointer = [cell.closest(".table").querySelector("output").textContent, cell.dataset.tip];
seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.nameless = [...document.querySelectorAll("input, select")].filter((field) => !field.labels.length).length;
const note = document.createElement("pre");
note.id = "seen";
note.textContent = JSON.stringify(seen);
document.body.append(note);
"""


USE_OF_PRINT = """
const seen = {}, styles = (names) => [...document.querySelectorAll(names)].map((each) => getComputedStyle(each));
seen.buttons = [...new Set(styles(".sort").map((style) => style.display))];
seen.headings = [...new Set(styles("thead th").map((style) => style.position))];
seen.fields = [...new Set(styles(".tool:has(input)").map((style) => style.display))];
seen.cut = styles(".scroll").filter((style) => style.overflowY !== "visible" || style.maxHeight !== "none").length;
const note = document.createElement("pre");
note.id = "seen";
note.textContent = JSON.stringify(seen);
document.body.append(note);
"""


def use(page: Path, script: str, folder: Path, *flags: str) -> dict:
    """Open a copy of a page with a script let in, and return what that saw."""
    text = page.read_text().replace("script-src ", f"script-src '{digest(script)}' ")
    used = folder / "used.html"
    used.write_text(text.replace("</body>", f"<script>{script}</script>\n</body>"))
    command = [BROWSER, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", used.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr
    return json.loads(html.unescape(found[1])) | {"console": re.findall(r".*CONSOLE.*", done.stderr)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    folder = tmp_path_factory.mktemp("browser")
    root = make_results(folder / "results", LABELS, everything=True)
    return use(finish(root, LABELS) / "report.html", USE, folder)


def test_page_loads_without_errors_and_asks_for_nothing(seen):
    assert (seen["console"], seen["requests"], seen["pictures"]) == ([], [], 0)


def test_the_first_experiment_is_shown_first_and_all_on_request(seen):
    assert set(seen["first"]) == {LABELS[0]}
    assert set(seen["all"]) == set(LABELS)
    assert len(seen["all"]) == 15 + 18 + 20


def test_headings_sort_by_number_and_by_name(seen):
    down, up = ([float(text.replace(",", "")) for text in seen[way][0]] for way in ("down", "up"))
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert (seen["down"][1], seen["up"][1]) == ("descending", "ascending")
    assert seen["names"][0] == sorted(seen["names"][0])
    assert seen["sorted"] == 1


def test_filter_keeps_rows_with_all_words(seen):
    names, told = seen["filtered"]
    assert set(names) == {"model.layers.1.mlp.down_proj.weight"}
    assert told == f"{len(names)} of 53 rows"
    assert seen["none"] == [0, "0 of 53 rows"]


@pytest.mark.parametrize("group", ["metric", "experiment", "map"])
def test_switches_show_one_panel(seen, group):
    names, before, after = seen[group]
    assert len(names) >= 3
    assert (before, after) == ([names[0]], [names[-1]])


def test_pointer_and_arrow_keys_tell_a_cells_figures(seen):
    assert seen["pointer"][0] == seen["pointer"][1] != ""
    assert "weights selected" in seen["pointer"][0]
    told, tip, row = seen["keys"]
    assert told == tip != seen["pointer"][0]
    assert row > 1


def test_a_link_into_a_hidden_panel_shows_it(seen):
    assert seen["revealed"] == [LABELS[0]]


def test_every_field_has_a_label(seen):
    assert seen["nameless"] == 0


def test_a_script_that_is_not_the_pages_own_is_refused(tmp_path):
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    root = make_results(tmp_path / "results", LABELS[:1], everything=True)
    page: Path = finish(root, LABELS[:1]) / "report.html"
    foreign = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\"></body>"
    page.write_text(page.read_text().replace("</body>", foreign))
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert "<title>Critical weights of tiny, phase p2</title>" in done.stdout
    assert "Content Security Policy" in done.stderr


@pytest.mark.parametrize("width", [390, 1280])
def test_page_over_models_and_phases_sorts_filters_and_switches(tmp_path, width):
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    page = finish_study(make_study(tmp_path / "results")) / "report.html"
    seen = use(page, USE_OF_STUDY, tmp_path, f"--window-size={width},900")
    assert (seen["console"], seen["requests"], seen["nameless"]) == ([], [], 0)
    sizes = [int(text) for text in seen["sorted"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 3 * len(PARTS)
    told = [text.split() for text in seen["sizes"] if text != "-"]
    bytes_ = [float(n) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit] for n, unit in told]
    assert bytes_ == sorted(bytes_, reverse=True)
    assert bytes_[0] > 1e3 > bytes_[-1], "units are told apart"
    assert seen["filtered"] == ["p1/other", "p2/other", "p3/other"]
    for group in ("map", "folder"):
        names, before, after = seen[group]
        assert len(names) >= 3
        assert (before, after) == ([names[0]], [names[-1]])
    assert seen["pointer"][0] == seen["pointer"][1] != ""
    assert seen["wide"] <= 0


def test_on_paper_nothing_is_cut_and_headings_can_be_repeated(tmp_path):
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    root = make_results(tmp_path / "results", LABELS, everything=True)
    page: Path = finish(root, LABELS) / "report.html"
    page.write_text(page.read_text().replace("@media print {", "@media all {"))
    seen = use(page, USE_OF_PRINT, tmp_path)
    assert seen["cut"] == 0
    assert seen["buttons"] == ["contents"], "Chromium repeats no heading on the next sheet that is a button"
    assert seen["headings"] == ["static"], "nor one that sticks"
    assert seen["fields"] == ["none"]


STYLE = (Path(__file__).parents[1] / "workflow" / "report" / "style.css").read_text()


def brightness(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((brightness(a), brightness(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", range(3), ids=["light", "dark", "paper"])
def test_words_and_marks_stand_out_from_what_is_behind_them(theme):
    own = dict(re.findall(r"--(\w+): (#\w{6})", re.findall(r":root \{([^}]*)\}", STYLE)[theme]))
    for words in ("text", "soft", "link"):
        for behind in ("page", "band"):
            assert contrast(own[words], own[behind]) >= 4.5, (words, behind)
    seen = float(re.search(r"\.sort::after \{[^}]*opacity: ([\d.]+)", STYLE)[1])
    mixed = (round(seen * int(own["soft"][p : p + 2], 16) + (1 - seen) * int(own["page"][p : p + 2], 16))
             for p in (1, 3, 5))  # fmt: skip
    assert contrast("#" + "".join(f"{part:02x}" for part in mixed), own["page"]) >= 3, "the arrow of a heading"


def test_figures_in_maps_stand_out_from_their_colour():
    steps = re.findall(r"\.l\d \{ background: (#\w{6}); color: (#\w{6}); \}", STYLE)
    assert len(steps) == 9
    assert min(contrast(*step) for step in steps) >= 4.5
