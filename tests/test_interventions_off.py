"""Interventions of an earlier run, and tables made on request: no report tells of them, no archive holds them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from critical_weights.archive.build import make_archive
from critical_weights.archive.files import is_left_out
from critical_weights.archive.verify import verify_archive
from critical_weights.errors import ArchiveError
from critical_weights.report import write_report
from critical_weights.report.study import write_study_report
from critical_weights.result_paths import downstream_file, intervention_figures, intervention_tables
from script_call import call_script
from stage_jobs import CONFIG, Job, planned_jobs, write_study
from synthetic_results import MODEL, PNG, experiments
from synthetic_study import LABELS, PARTS, finish_study, make_study, runs

PART = f"p2/{MODEL}"
FIGURE = "interventions/plots/dose_response.png"
FLAG = "--without-interventions"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a study of two models in three phases, interventions among them."""
    root = make_study(tmp_path_factory.mktemp("study") / "results")
    for part in PARTS:
        (root / part / FIGURE).parent.mkdir()
        (root / part / FIGURE).write_bytes(PNG)
    finish_study(root)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "results"))


def everything(root: Path, *, interventions: bool) -> dict[str, bytes]:
    """Write all reports and the archive; return the pages and the files of the zip, by their paths."""
    for part in PARTS:
        write_report(root, *part.split("/"), runs([part]), root / part / "report", interventions=interventions)
    write_study_report(root, runs(), root / "report")
    path = make_archive(root, runs(), root / "archive", interventions=interventions)
    assert verify_archive(path) == []
    with zipfile.ZipFile(path) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    assert {name for name in inside if "report/" in name} == {
        path.relative_to(root).as_posix() for path in root.rglob("report/*")
    }
    return inside


def of_interventions(files: dict[str, bytes]) -> list[str]:
    return [name for name in files if "/interventions/" in name]


def test_what_an_earlier_run_left_is_as_if_it_were_not_there(root: Path) -> None:
    covered = everything(root, interventions=True)
    assert len(of_interventions(covered)) == 3 * len(PARTS)
    assert "Whether the weights really matter" in covered[f"{PART}/report/report.html"].decode()

    left = everything(root, interventions=False)
    for part in PARTS:
        shutil.rmtree(root / part / "interventions")
    assert left == everything(root, interventions=True)

    assert of_interventions(left) == []
    assert json.loads(left[f"{PART}/report/quantitative_results.json"])["validation"] is None
    assert json.loads(left["report/quantitative_results.json"])["parts"][PART]["validation"] is None
    pages = [content.decode() for name, content in left.items() if "report/" in name]
    assert not any("interventions/" in page or "Whether the weights really matter" in page for page in pages)


def test_what_is_made_on_request_or_by_older_code_changes_nothing(root: Path) -> None:
    before = everything(root, interventions=True)
    for name in ("downstream.csv", "ladder.csv", "plots/ladder.png", "notes.txt"):
        (root / PART / "interventions" / name).write_bytes(b"of other settings")
    assert everything(root, interventions=True) == before


def test_a_link_in_place_of_the_figures_is_still_refused(root: Path) -> None:
    plots = root / PART / "interventions" / "plots"
    plots.rename(root / "elsewhere")
    plots.symlink_to(root / "elsewhere")
    with pytest.raises(ArchiveError, match=f"{PART}/interventions/plots is a link"):
        make_archive(root, runs(), root / "archive")
    make_archive(root, runs(), root / "archive", interventions=False)


def test_what_a_report_is_made_from_is_not_left_out() -> None:
    (run, *_) = experiments(["gradsq_perlayer_k3"])
    files = [*intervention_tables(run.phase, run.model), *intervention_figures(run.phase, run.model)]
    paths = [Path(file).relative_to("results") for file in files]
    assert len(paths) > 6
    assert not any(is_left_out(path) for path in paths)
    assert is_left_out(Path(downstream_file(run.phase, run.model)).relative_to("results"))
    assert is_left_out(Path(run.path, "mask.safetensors"))
    assert not is_left_out(Path(run.path, "top_weights.csv"))


def test_the_stages_are_told_on_their_command_line(root: Path) -> None:
    phase, model = PART.split("/")
    place = ("--root", root, "--phase", phase, "--model", model, "--experiments", ",".join(LABELS))
    facts = root / PART / "report" / "quantitative_results.json"
    for words, known in (((), True), ((FLAG,), False)):
        assert call_script("report", *place, *words) == 0
        assert (json.loads(facts.read_text())["validation"] is not None) == known
        archive = root / "archive" / ("with" if known else "without")
        paths = ",".join(run.path for run in runs([PART]))
        made = ("make", "--root", root, "--experiments", paths, "--output-dir", archive)
        assert call_script("archive", *made, *words) == 0
        assert (f"{PART}/interventions/verdict.csv" in (archive / "manifest.json").read_text()) == known


def planned(folder: Path, *, enabled: bool) -> dict[str, Job]:
    """Return the jobs of a study by rule, one of each, with interventions or without."""
    folder.mkdir()
    write_study(folder)
    config = CONFIG | {"interventions": CONFIG["interventions"] | {"enabled": enabled}}
    (folder / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return {job.rule: job for job in planned_jobs(folder)}


def test_the_rules_tell_the_stages_what_the_config_says(tmp_path: Path) -> None:
    on, off = (planned(tmp_path / name, enabled=name == "on") for name in ("on", "off"))
    for jobs, known in ((on, True), (off, False)):
        assert ("validate" in jobs) == known
        for rule in ("report", "study_report", "archive"):
            assert any("/interventions/" in file for file in jobs[rule].inputs) == known
            assert not any(file.endswith("downstream.csv") for file in jobs[rule].inputs)
        assert [FLAG in jobs[rule].words for rule in ("report", "archive")] == [not known] * 2
