"""Snakemake's own report: what it shows, that each has its caption, and that it can be collected without a network."""

import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest

from critical_weights import result_paths
from critical_weights.plots import FIGURES, INTERVENTION_FIGURES, RUN_FIGURES
from forked_snakemake import run_snakemake

ROOT = Path(__file__).parents[1]
CAPTIONS = ROOT / "workflow" / "report" / "captions"
RULES = ROOT / "workflow" / "rules"
SHOWN = {
    *FIGURES, *result_paths.ANALYSIS_TABLES, *result_paths.INTERVENTION_FILES, "top_weights", "across",
}  # fmt: skip


def test_there_is_a_caption_for_each_figure_and_table_and_for_nothing_else():
    assert {path.stem for path in CAPTIONS.iterdir()} == SHOWN
    assert {path.suffix for path in CAPTIONS.iterdir()} == {".rst"}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_captions_name_what_they_are_of(name):
    words = {"phase": "p7", "model": "mine", "metric": "obd", "metric_full": "obd", "mode": "global", "k": "7"}
    if name == "across":
        words = {"across_table": "models"}
    elif name not in (*RUN_FIGURES, "top_weights"):
        words = {key: words[key] for key in ("phase", "model")}
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string((CAPTIONS / f"{name}.rst").read_text())
    text = template.render(snakemake=SimpleNamespace(wildcards=words))
    assert [word for word in words.values() if word not in text] == []
    if name == "criteria":
        assert "over all models and phases" in template.render(snakemake=SimpleNamespace(wildcards={}))


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The page of a study whose results are all there but empty: what is shown is decided before a file is read."""
    folder = tmp_path_factory.mktemp("study")
    config = folder / "own.yaml"
    config.write_text("experiments: [p2/bundled/gradsq_perlayer_k7]\n")
    words = ("--snakefile", ROOT / "Snakefile", "--configfile", config)
    wanted = run_snakemake(folder, *words, "--summary", "--quiet")
    assert wanted.returncode == 0, wanted.stderr
    for line in wanted.stdout.splitlines()[1:]:
        path = folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    done = run_snakemake(folder, *words, "--report", "page.zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / "page.zip") as made:
        (page,) = (name for name in made.namelist() if name.endswith("report.html"))
        return made.read(page).decode(), done.stderr


def test_report_of_snakemake_shows_every_figure_and_table(collected):
    page, said = collected
    shown = set(re.findall(r"Adding (\S+)", said))
    assert {f"{name}.csv" for name in (*result_paths.ANALYSIS_TABLES, *result_paths.INTERVENTION_FILES)} <= shown
    run = {f"grad_squared_k7_{figure}.png" for figure in RUN_FIGURES}
    others = {f"{figure}.png" for figure in FIGURES if figure not in RUN_FIGURES}
    assert {name for name in shown if name.endswith(".png")} == run | others
    assert "dose_response.png" in shown
    assert set(INTERVENTION_FIGURES) == {"dose_response"}
    assert "top_weights.csv" in shown
    across = {Path(file).name for file in result_paths.across_tables()}
    assert across <= shown
    assert "Configured experiments: 1" in page
    assert "gradsq_perlayer_k7" in page


def test_page_asks_for_nothing_from_elsewhere(collected):
    page, _ = collected
    assert not re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=[\"']?https?:", page)
    assert not re.findall(r"<link[^>]*\shref=[\"']?https?:", page)
