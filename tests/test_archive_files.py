"""What an archive and a list of files hold: what the workflow makes for them, whatever else lies in the folders."""

import logging
from pathlib import PurePosixPath

import pytest

from critical_weights.archive.build import make_archive
from critical_weights.archive.files import archived_files, is_left_out
from critical_weights.archive.kinds import kind_of
from critical_weights.names import parse_experiment
from critical_weights.report.inventory import of_model, over_all
from stage_jobs import CONFIG, planned_jobs, write_study
from synthetic_results import MODEL, experiments
from synthetic_study import LABELS, PARTS, finish_study, make_study, report_again, runs

PART = PARTS[0]
OWN = [
    f"{PART}/{LABELS[0]}/mask.safetensors",
    f"{PART}/{LABELS[0]}/plots/a`b|c.png",
    f"{PART}/{LABELS[0]}/top_weights.csv~",
    f"{PART}/analysis/my_notes.csv",
    f"{PART}/analysis/q\n| `fake.csv` | 1 | `00` | rank | real |",
    f"{PART}/interventions/downstream.csv",
    f"{PART}/report/deeper/notes: todo.txt",
    "report/mine.csv",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = make_study(tmp_path_factory.mktemp("study") / "results")
    finish_study(root)
    return root


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    write_study(folder)
    return planned_jobs(folder)


def listed(root):
    groups = [group for part in PARTS for group in of_model(root, part, LABELS)] + over_all(root)
    return [(entry.name, entry.endings, entry.size) for group in groups for entry in group.entries]


def test_a_users_own_files_change_neither_archive_nor_list_nor_report(root, tmp_path, caplog):
    def everything():
        report_again(root)
        pages = {path: path.read_bytes() for path in root.rglob("report/*") if path.is_file()}
        return listed(root), make_archive(root, runs(), tmp_path / "archive").read_bytes(), pages

    with caplog.at_level(logging.INFO, logger="critical_weights"):
        before = everything()
    assert "left out" not in caplog.text
    for name in (*OWN, f"{PART}/analysis/.hidden.part"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    (root / PART / "analysis" / "link.csv").symlink_to(root)
    own = [root / name for name in OWN]
    try:
        with caplog.at_level(logging.INFO, logger="critical_weights"):
            after = everything()
        assert after[:2] == before[:2]
        assert {path: page for path, page in after[2].items() if path not in own} == before[2]
    finally:
        for path in (*own, root / PART / "analysis" / ".hidden.part", root / PART / "analysis" / "link.csv"):
            path.unlink()
        (root / PART / "report" / "deeper").rmdir()
    (line,) = (record.getMessage() for record in caplog.records if "left out" in record.getMessage())
    assert line == (
        f"files left out, made on request or not by this workflow: {len(OWN) + 1} ({PART}/analysis/link.csv, "
        f"{OWN[3]}, {OWN[4]!r}, {OWN[0]}, {OWN[1]} and 4 more)"
    )


def test_of_interventions_that_are_off_nothing_is_told(root, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="critical_weights"):
        make_archive(root, runs(), tmp_path / "archive", interventions=False)
    assert "left out" not in caplog.text


def test_the_archive_holds_what_its_rule_waits_for_and_no_other_file(jobs):
    (archive,) = (job for job in jobs if job.rule == "archive")
    configured = [parse_experiment(path, CONFIG["phases"], CONFIG["models"]) for path in CONFIG["experiments"]]
    assert sorted(archive.inputs) == sorted(f"results/{name}" for name in archived_files(configured))
    assert not any("/interventions/" in name for name in archived_files(configured, interventions=False))


def test_each_file_is_told_as_made_by_the_rule_that_makes_it(jobs):
    (archive,) = (job for job in jobs if job.rule == "archive")
    made = {file: job.rule for job in jobs for file in job.outputs}
    assert {file: kind_of(file.removeprefix("results/")).stage for file in archive.inputs} == {
        file: made[file] for file in archive.inputs
    }
    others = set(made) - set(archive.inputs)
    assert {kind_of(file.removeprefix("results/")).stage for file in others} == {"unknown"}


def test_files_of_other_experiments_stay_out(root, tmp_path):
    folder = root / PART / "mag_perlayer_k9"
    folder.mkdir()
    (folder / "top_weights.csv").write_text("x")
    manifest = make_archive(root, runs(), tmp_path / "archive").with_name("manifest.json").read_text()
    assert "mag_perlayer_k9" not in manifest
    assert f"{PART}/mag_global_k20/top_weights.csv" in manifest


def test_what_the_workflow_makes_for_reports_is_told_apart_by_its_path():
    (run,) = experiments(LABELS[:1])
    kept = archived_files([run])
    assert len(kept) > 80
    assert [name for name in kept if is_left_out(PurePosixPath(name))] == []
    assert [name for name in OWN if not is_left_out(PurePosixPath(name))] == []
    assert f"p2/{MODEL}/interventions/verdict.csv" in kept
