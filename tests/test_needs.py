"""What is looked at before a run starts; and the workflow as a part of another one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from critical_weights import config as configs
from critical_weights.errors import TextError
from critical_weights.needs import (
    TEXT_ENDINGS,
    beyond_candidates,
    missing_intervention_lists,
    missing_lists,
    missing_tasks,
    missing_texts,
    paths_with_braces,
)
from critical_weights.texts.calibration import read_texts
from forked_snakemake import run_snakemake

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = configs.read_config(ROOT / "config" / "config.yaml")
OUTER = f"""
rule mine:
    output: "mine.txt"
    shell: "touch {{output}}"

module critical_weights:
    snakefile: "{ROOT / "Snakefile"}"
    config: {{}}

use rule * from critical_weights as weights_*
"""


def complete(own: dict[str, Any] | None = None) -> dict[str, Any]:
    merged = configs.merge(DEFAULTS, own or {})
    assert configs.config_errors(merged) == []
    return configs.complete(merged)


def dry_run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_snakemake(folder, "-n", *words)


def test_a_text_file_of_another_kind_is_told(tmp_path: Path) -> None:
    for name in ("texts.csv", "texts", *(f"texts{ending}" for ending in TEXT_ENDINGS)):
        (tmp_path / name).write_text('{"text": "Some."}\n', encoding="utf-8")
        errors = missing_texts(
            ["results/p2/gpt2/tokens.json"], complete({"phases": {"p2": {"texts": str(tmp_path / name)}}})
        )
        if name.endswith(TEXT_ENDINGS):
            assert errors == []
            assert read_texts(tmp_path / name)
        else:
            expected = f"phases.p2.texts; got {tmp_path / name}; expected a file that ends in .txt or .jsonl."
            assert [str(error) for error in errors] == [expected]
            with pytest.raises(TextError, match="no known kind"):
                read_texts(tmp_path / name)


def test_a_saved_data_set_that_is_not_there_is_told_until_its_texts_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"texts": {"dataset": "./nowher"}, "evaluation": {"dataset": "Salesforce/wikitext"}}
    config, files = complete({"phases": {"p2": own}}), ["results/p2/gpt2/tokens.json"]
    (tmp_path / "nowhere").mkdir()
    (told,) = missing_texts(files, config)
    assert str(told) == "phases.p2.texts.dataset: there is no folder nowher. Did you mean nowhere?"
    made = tmp_path / "resources/texts/p2/texts.jsonl"
    made.parent.mkdir(parents=True)
    made.touch()
    assert missing_texts(files, config) == []
    made.unlink()
    (tmp_path / "nowhere").rename("nowher")
    assert missing_texts(files, config) == []


def test_a_missing_folder_of_own_tasks_is_told_where_tasks_are_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").touch()

    def told(path: str, *tasks: str) -> list[str]:
        section = {"tasks": list(tasks), "include_path": path}
        return [str(error) for error in missing_tasks(complete({"downstream": section}))]

    assert told("nowhere") == told("~/mine", "t") == missing_tasks(complete({"downstream": {"tasks": ["t"]}})) == []
    assert told("nowhere", "t") == ["downstream.include_path: there is no folder nowhere."]
    assert "is a file, not a folder" in told("~/file", "t")[0]


def test_missing_lists_are_told_of_the_comparisons_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("here.csv", "there.csv"):
        (tmp_path / name).touch()
    made = "results/p2/gpt2/mag_global_k1/top_weights.csv"
    compare = {"good": ["here.csv", made], "bad": ["her.csv", "there.csv"], "dot": {"lists": [".", "here.csv"]}}
    config = complete({"compare": compare})

    def told(*names: str) -> list[str]:
        files = [f"results/compare/{name}/{table}.csv" for name in names for table in ("overlap", "structure")]
        return [str(error) for error in missing_lists([*files, "results/p2/gpt2/model.json"], config)]

    assert told() == told("good") == []
    bad, dot = "compare.bad: there is no list her.csv. Did you mean", "compare.dot: . is a folder, not a file."
    assert told("good", "dot", "bad")[0] == dot
    assert told("bad")[0].startswith(bad)
    assert "here.csv" in told("bad")[0].removeprefix(bad)
    assert [len(told("bad")), len(told("dot", "bad"))] == [1, 2]


def test_a_comparison_without_its_list_stops_none_but_itself(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).touch()
    own = {"compare": {"study": ["a.csv", "b.csv"], "bad": ["a.csv", "aa.csv"]}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    workflow = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "own.yaml")
    done = dry_run(tmp_path, "results/compare/study", "results/p2/bundled/model.json", *workflow)
    assert done.returncode == 0, done.stderr
    for words, told in (
        (["results/compare/stduy"], "unknown comparison 'stduy'. Did you mean study?"),
        (["results/compare/bad"], "compare.bad: there is no list aa.csv. Did you mean a.csv"),
        (["all"], "compare.bad: there is no list aa.csv"),
        ([], "compare.bad: there is no list aa.csv"),
    ):
        done = dry_run(tmp_path, *words, *workflow)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert told in line


def test_paths_with_braces_are_told_with_their_places() -> None:
    own = {
        "models": {"m": {"source": "local", "path": "m{x}"}},
        "phases": {"p2": {"texts": "{x}.txt", "evaluation": {"dataset": "./{x}"}}},
        "compare": {"a": ["b.csv", "{x}.csv"], "c": {"lists": ["{x}/b.csv", "one{brace.csv"]}},
        "interventions": {"lists": ["{x}.csv"]},
        "downstream": {"include_path": "{x}"},
    }
    told = [str(error) for error in paths_with_braces(complete(own))]
    assert [line.split(":")[0] for line in told] == [
        "models.m.path", "phases.p2.texts", "phases.p2.evaluation", "compare.a[1]", "compare.c[0]",
        "interventions.lists[0]", "downstream.include_path",
    ]  # fmt: skip
    assert told[0] == (
        "models.m.path: m{x} has braces, which Snakemake takes for a wildcard. Rename it, or give a link to it."
    )
    assert paths_with_braces(complete()) == []


def warnings(run: str, scoring: dict[str, Any], **interventions: Any) -> list[str]:
    config = complete({"experiments": [run], "scoring": scoring, "interventions": interventions})
    model = run.rsplit("/", 1)[0]
    return beyond_candidates([f"results/{run}/config.json", f"results/{model}/interventions/interventions.csv"], config)


def test_a_k_beyond_the_candidates_is_warned_of_where_scores_may_not_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ladder = {"ks": [3, 9], "k": 3}
    for dense in (False, ["mag", "wanda"]):
        of_run, of_ladder = warnings("p2/bundled/gradsq_global_k7", {"candidates": 5, "dense": dense}, **ladder)
        assert of_run.startswith(
            "k = 7 of p2/bundled/gradsq_global_k7 is beyond scoring.candidates (5), and scoring.dense"
        )
        assert of_run.endswith("Set candidates: 7, or dense: true.")
        assert f"is {'[mag, wanda]' if dense else 'false'}: it fails after scoring" in of_run
        assert of_ladder.startswith("interventions.ks: 9 is beyond scoring.candidates (5)")
    gpt2 = "p2/gpt2/mag_global_k7"
    assert len(warnings(gpt2, {"candidates": 7, "dense": False}, **ladder)) == 1
    assert "auto, which keeps all scores of small models only" in warnings(gpt2, {"candidates": 5}, **ladder)[0]
    for dense in (True, ["mag"]):
        assert warnings(gpt2, {"candidates": 5, "dense": dense}, **ladder) == []
    assert warnings("p2/bundled/mag_global_k7", {"candidates": 5}, **ladder) == [], "auto keeps those of a small model"
    assert warnings(gpt2, {"candidates": 9, "dense": False}, **ladder) == []
    for made in (f"{gpt2}/top_weights.csv", "p2/gpt2/interventions/interventions.csv"):
        (tmp_path / "results" / made).parent.mkdir(parents=True)
        (tmp_path / "results" / made).touch()
    assert warnings(gpt2, {"candidates": 5}, **ladder) == []


def test_what_is_missing_is_told_at_the_start_and_a_k_too_large_warned_of(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    own = {
        "phases": {"p2": {"texts": "x.csv", "evaluation": {"dataset": "./nowhere"}}},
        "models": {"m": {"source": "local", "path": "gone"}},
        "compare": {"c": {"lists": ["x.csv", "results/p2/m/gradsq_global_k7/top_weights.csv"], "model": "m"}},
        "downstream": {"tasks": ["t"], "include_path": "none"},
        "interventions": {"enabled": False},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    workflow = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "own.yaml")
    for words in ((), ("results/compare/c",)):
        done = dry_run(tmp_path, *words, *workflow)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
        assert done.returncode == 1
        assert [line.split(":")[:2] for line in lines] == [["error", f" {place}"] for place in (
            "models.m.path", "phases.p2.texts; got x.csv; expected a file that ends in .txt or .jsonl.",
            "phases.p2.evaluation.dataset", "downstream.include_path",
        )]  # fmt: skip
    (tmp_path / "own.yaml").write_text("scoring: {candidates: 5, dense: false}", encoding="utf-8")
    done = dry_run(tmp_path, "results/p2/gpt2/mag_global_k6/", *workflow)
    assert done.returncode == 0, done.stderr
    assert "warning: k = 6 of p2/gpt2/mag_global_k6 is beyond" in done.stderr


def test_as_a_module_it_leaves_the_default_target_alone(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(OUTER, encoding="utf-8")
    done = dry_run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule mine:" in done.stdout
    assert "weights_" not in done.stdout
    assert "weights_archive" in dry_run(tmp_path, "weights_all").stdout


def test_missing_lists_of_interventions_are_told_where_something_is_to_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("folder", "home"):
        (tmp_path / name).mkdir()
    for name in ("here.csv", "home/mine.csv"):
        (tmp_path / name).touch()
    lists = ["here.csv", "her.csv", "folder", "~/mine.csv", "results/p2/gpt2/mag_global_k1/top_weights.csv"]
    own = {
        "interventions": {"lists": lists},
        "experiments": ["p2/bundled/mag_global_k10", "p1_baseline/bundled/mag_global_k10"],
    }
    config = complete(own)

    def told(*files: str) -> list[str]:
        return [str(error) for error in missing_intervention_lists([f"results/{file}" for file in files], config)]

    assert told("p2/bundled/mag_global_k10/top_weights.csv", "p2/bundled/analysis/overlap.csv") == []
    expected = [
        "interventions.lists[1]: there is no list her.csv. Did you mean here.csv?",
        "interventions.lists[2]: folder is a folder, not a file.",
    ]
    report, study = "p2/bundled/report/report.html", "report/study_report.md"
    for file in ("p2/bundled/interventions/interventions.csv", report, study, "archive/results.zip"):
        assert told(file) == expected
    measured = tmp_path / "results/p2/bundled/interventions/interventions.csv"
    measured.parent.mkdir(parents=True)
    measured.touch()
    assert told(report) == []
    assert told(study) == expected, "another phase is to be measured"
    config["interventions"]["enabled"] = False
    assert told(study) == []
