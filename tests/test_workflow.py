"""Real Snakemake on a copy of the workflow: one tiny study made once, then what each change would rerun."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from forked_snakemake import run_snakemake
from tiny_models import SENTENCES, save_tiny_folder

ROOT = Path(__file__).resolve().parents[1]
TASKS = ROOT / "tests" / "data" / "downstream"
RUN = "results/a/tiny/gradxw_perlayer_k5"
CONFIG = {
    "models": {"tiny": {"source": "local", "path": "model"}},
    "phases": {
        "a": {"texts": "texts_a.txt", "evaluation": "evaluation.txt", "max_samples": 3, "max_length": 12},
        "b": {"texts": "texts_b.txt", "evaluation": "evaluation.txt", "max_samples": 3, "max_length": 12},
    },
    "experiments": ["a/tiny/gradxw_perlayer_k5", "a/tiny/mag_global_k9"],
    "scoring": {"device": "cpu", "candidates": 20},
    "interventions": {
        "ks": [5], "k": 5, "seeds": 1, "strengths": [0], "others": [], "lines": 0, "top": 1, "singles": 4,
    },
}  # fmt: skip
SCORED_B = ("results/b/tiny/scores/mag.h5", "results/b/tiny/tokens.json")
EVERYTHING = ("all", *SCORED_B)

pytestmark = pytest.mark.timeout(900)


def snakemake(directory: Path, *words: str, checkout: Path = ROOT, end: str = "") -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a directory; with ``end``, check that it ends with status 1 and this among its words."""
    snakefile = [] if checkout == directory else ["--snakefile", str(checkout / "Snakefile")]
    done = run_snakemake(directory, *words, *snakefile)
    assert done.returncode == (1 if end else 0), done.stdout + done.stderr
    assert end in done.stdout + done.stderr
    return done


@dataclass(frozen=True)
class Study:
    """A copy of the workflow in which the tiny study was made."""

    folder: Path

    def jobs(self, *words: str, config: str = "own.yaml") -> dict[str, int]:
        """Return how many jobs of each rule a dry run lists, rules that only gather files left out."""
        done = snakemake(self.folder, *(words or EVERYTHING), "-n", "--configfile", config, checkout=self.folder)
        table = re.search(r"^job +count\n-.*\n((?:.+\n)+?)total ", done.stdout, re.MULTILINE)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {name: int(count) for name, count in rows if name != "all" and "/" not in name}

    def other_config(self, **sections: dict) -> str:
        """Write the config with some keys changed, and return its name."""
        config = {name: {**section} if isinstance(section, dict) else section for name, section in CONFIG.items()}
        for name, section in sections.items():
            for key, value in section.items():
                old = config[name].get(key)
                config[name][key] = {**old, **value} if isinstance(old, dict) else value
        (self.folder / "other.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        return "other.yaml"

    @contextmanager
    def changed(self, path: str, text: str = "\n# A change.\n") -> Iterator[None]:
        """Append to a file; afterwards it is as it was, its times too."""
        file = self.folder / path
        before, times = file.read_bytes(), (file.stat().st_atime, file.stat().st_mtime)
        file.write_bytes(before + text.encode())
        try:
            yield
        finally:
            file.write_bytes(before)
            os.utime(file, times)

    @contextmanager
    def without(self, path: str) -> Iterator[None]:
        """Take a file or folder away for a while."""
        shutil.move(self.folder / path, self.folder / "away")
        try:
            yield
        finally:
            shutil.move(self.folder / "away", self.folder / path)


def write_inputs(folder: Path) -> None:
    save_tiny_folder(folder / "model")
    for name, texts in {"texts_a": SENTENCES[:3], "texts_b": SENTENCES[1:4], "evaluation": SENTENCES[4:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (folder / "own.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("workflow") / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "checkpoints", "bundled_model")
    for name in ("workflow", "config", "envs", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("Snakefile", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    write_inputs(folder)
    before = {path.name for path in folder.iterdir()}
    command = [sys.executable, "-m", "snakemake", *EVERYTHING, "--cores", "2", "--configfile", "own.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name for path in folder.iterdir()} - before
    assert made == {"results", "resources", "logs", "benchmarks", ".snakemake"}
    return Study(folder)


def test_study_is_complete_and_each_manifest_is_written_last(study: Study):
    for run in ("gradxw_perlayer_k5", "mag_global_k9"):
        folder = study.folder / "results" / "a" / "tiny" / run
        files = {path.relative_to(folder).as_posix(): path.stat().st_mtime for path in folder.rglob("*.*")}
        assert {"config.json", "experiment_manifest.json", "sensitivity_stats.json", "top_weights.csv"} <= set(files)
        assert len([name for name in files if name.startswith("plots/")]) == 9
        assert max(files, key=lambda name: files[name]) == "experiment_manifest.json"
    for path in (
        "a/tiny/report/report.html",
        "report/report.html",
        "a/tiny/analysis/plots/overlap_matrix.svg",
        "archive/MANIFEST.md",
    ):
        assert (study.folder / "results" / path).stat().st_size > 0


def test_results_hold_no_path_of_this_machine(study: Study):
    places = [str(study.folder.parent).encode(), str(ROOT).encode(), str(Path.home()).encode() + b"/"]
    files = [path for path in (study.folder / "results").rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        content = path.read_bytes()
        assert not [place for place in places if place in content], path


def test_each_job_has_a_log_and_a_benchmark(study: Study):
    logs = {path.relative_to(study.folder / "logs").with_suffix("") for path in study.folder.glob("logs/**/*.log")}
    folder = study.folder / "benchmarks"
    benchmarks = {path.relative_to(folder).with_suffix("") for path in folder.glob("**/*.tsv")}
    assert logs == benchmarks
    assert {"score_gradient", "score_static"} <= {path.name for path in logs}


def test_nothing_changed_reruns_nothing(study: Study):
    assert study.jobs() == {}
    assert study.jobs(RUN) == study.jobs(f"./{RUN}/") == {}


def test_changed_report_code_or_force_reruns_report_and_archive(study: Study):
    with study.changed("workflow/scripts/critical_weights/report/summary.py"):
        assert study.jobs() == {"report": 1, "study_report": 1, "archive": 1}
    with study.changed("workflow/report/style.css", "\n/* A change. */\n"):
        assert study.jobs() == {"report": 1, "study_report": 1, "archive": 1}
    assert study.jobs(*EVERYTHING, "-R", "report") == {"report": 1, "study_report": 1, "archive": 1}


def test_changed_plot_code_reruns_plots_and_what_shows_them(study: Study):
    with study.changed("workflow/scripts/critical_weights/plots/style.py"):
        tables = ("scores", "overlap", "structure", "stability", "spikes", "dose_response")
        figures = {f"plot_{table}": 1 for table in tables}
        expected = {"plot_run": 2, **figures, "manifest": 2, "report": 1, "study_report": 1, "archive": 1}
        assert study.jobs() == expected


def test_changed_scoring_code_without_a_new_version_reruns_no_scores(study: Study):
    with (
        study.changed("workflow/scripts/critical_weights/scoring/plain.py"),
        study.changed("workflow/scripts/score.py"),
    ):
        assert study.jobs() == {}


def test_raised_scoring_version_reruns_scores(study: Study):
    with study.changed("workflow/rules/common.smk", "\nSCORING_VERSION = 10**6\n"):
        jobs = study.jobs()
    assert jobs["score_gradient"] == 1
    assert jobs["score_static"] == 2


def test_new_k_of_a_scored_metric_reruns_no_scoring(study: Study):
    expected = {"record_config": 1, "rank": 1, "summarise": 1, "plot_run": 1, "manifest": 1}
    assert study.jobs("results/a/tiny/gradxw_perlayer_k6") == expected
    assert study.jobs("results/a/tiny/gradxw_global_k2/top_weights.csv") == {"rank": 1}


def test_unlisted_metric_of_a_scored_family_reruns_no_scoring(study: Study):
    assert "score_gradient" not in study.jobs("results/a/tiny/taylorabs_perblock_k3/")


def test_one_deleted_picture_is_remade_alone(study: Study):
    with study.without(f"{RUN}/plots/grad_x_weight_k5_layer_comparison.png"):
        assert study.jobs() == {"plot_run": 1, "manifest": 1, "report": 1, "study_report": 1, "archive": 1}


def test_edited_texts_rerun_their_phase_alone_and_no_score_that_reads_no_text(study: Study):
    with study.changed("texts_b.txt", "Nobody had heard of the other boat.\n"):
        assert study.jobs() == {"calibrate": 1}
    with study.changed("texts_a.txt", "Nobody had heard of the other boat.\n"):
        jobs = study.jobs()
    assert (jobs["calibrate"], jobs["score_gradient"]) == (1, 1)
    assert "score_static" not in jobs


def test_edited_evaluation_texts_score_nothing_again(study: Study):
    with study.changed("evaluation.txt", "Nobody had heard of the other boat.\n"):
        jobs = study.jobs()
    assert (jobs["evaluation_texts"], jobs["validate"], jobs["report"]) == (1, 1, 1)
    assert not [job for job in jobs if job.startswith(("calibrate", "score", "rank", "stability", "structure"))]


def test_samples_of_one_phase_rerun_that_phase(study: Study):
    jobs = study.jobs(config=study.other_config(phases={"a": {"max_samples": 2}}))
    assert (jobs["calibrate"], jobs["score_gradient"]) == (1, 1)
    assert "score_static" not in jobs


def test_touched_inputs_with_equal_bytes_rerun_nothing(study: Study):
    with study.changed("texts_a.txt", ""), study.changed("results/a/tiny/model.json", ""):
        for path in ("texts_a.txt", "results/a/tiny/model.json"):
            os.utime(study.folder / path)
        assert study.jobs() == {}


def older(study: Study, path: str) -> None:
    """Give a file the time of yesterday, as `rsync -a` and `mv` leave one that takes another's place."""
    yesterday = time.time() - 86_400
    os.utime(study.folder / path, (yesterday, yesterday))


def test_a_file_that_an_older_one_took_the_place_of_is_noticed(study: Study):
    with study.changed("model/model.safetensors", "x"):
        older(study, "model/model.safetensors")
        assert study.jobs()["describe_model"] == 2
    with study.changed("texts_b.txt", "Nobody had heard of the other boat.\n"):
        older(study, "texts_b.txt")
        assert study.jobs() == {"calibrate": 1}
    (study.folder / "model" / "added_tokens.json").write_text("{}")
    try:
        older(study, "model/added_tokens.json")
        assert study.jobs()["calibrate"] == 2
    finally:
        (study.folder / "model" / "added_tokens.json").unlink()
    assert study.jobs() == {}


def test_changed_model_is_scored_again(study: Study):
    with study.changed("model/model.safetensors", "x"):
        jobs = study.jobs()
    assert jobs["describe_model"] == 2
    assert (jobs["score_gradient"], jobs["score_static"]) == (1, 2)


def test_settings_rerun_what_they_decide(study: Study):
    assert study.jobs(config=study.other_config(scoring={"device": "auto"})) == {}
    # No score of the study depends on the probes; the archive holds the settings.
    assert study.jobs(config=study.other_config(scoring={"probes": 50})) == {"archive": 1}
    assert "score_gradient" in study.jobs(config=study.other_config(scoring={"dtype": "float64"}))
    dense = study.jobs(config=study.other_config(scoring={"dense": ["gradxw"]}))
    assert dense["score_gradient"] == 1


def test_deleted_scores_rerun_nothing_until_something_needs_them(study: Study):
    with study.without("results/a/tiny/scores"):
        assert study.jobs("all") == {}
        with study.changed("workflow/scripts/critical_weights/report/summary.py"):
            assert study.jobs("all") == {"report": 1, "study_report": 1, "archive": 1}
        with study.changed("workflow/scripts/critical_weights/plots/style.py"):
            assert "score_gradient" not in study.jobs("all")


def test_moved_checkout_reruns_nothing(study: Study):
    moved = study.folder.with_name("moved")
    study.folder.rename(moved)
    try:
        assert Study(moved).jobs() == {}
    finally:
        moved.rename(study.folder)


def test_killed_scoring_is_the_only_job_to_be_repeated(study: Study):
    target = "results/b/tiny/scores/gradxw.h5"
    command = [sys.executable, "-m", "snakemake", target, "--cores", "1", "--configfile", "own.yaml"]
    process = subprocess.Popen(
        command, cwd=study.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        for line in process.stderr:
            if "rule score_gradient" in line:
                break
        time.sleep(0.5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    snakemake(study.folder, target, "--unlock", "--configfile", "own.yaml", checkout=study.folder)
    assert study.jobs(target) == {"score_gradient": 1}


def test_default_study_lists_every_configured_experiment(tmp_path: Path):
    done = snakemake(tmp_path, "-n")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert {rule: int(counts[rule]) for rule in ("rank", "manifest", "report", "study_report", "archive")} == {
        "rank": 12, "manifest": 12, "report": 2, "study_report": 1, "archive": 1,
    }  # fmt: skip
    assert "--checkpoint=final" in snakemake(tmp_path, "resources/models/bundled.json", "-n", "-p").stdout


@pytest.mark.parametrize("cores, threads", [(2, 1), (5, 2), (64, 4)])
def test_a_small_model_is_validated_with_half_the_cores(cores: int, threads: int, tmp_path: Path):
    said = snakemake(tmp_path, "results/p2/bundled/interventions/interventions.csv", "-n", f"--cores={cores}").stdout
    job = said.split("rule validate:")[1].split("rule ")[0]
    assert [int(number) for number in re.findall(r"threads: (\d+)", job)] == [threads][: threads > 1]


def test_own_config_keeps_the_defaults_and_works_in_another_directory(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("phases: {mine: {texts: mine.txt}}\n", encoding="utf-8")
    (tmp_path / "mine.txt").write_text("A text.\n", encoding="utf-8")
    words = ("results/mine/pythia_410m/gradsq_global_k3/", "-n", "-p", "--directory", str(tmp_path))
    command = snakemake(ROOT, *words, "--configfile", str(tmp_path / "own.yaml")).stdout
    assert "--texts=mine.txt --max-samples=100" in command
    assert "--repo=EleutherAI/pythia-410m" in command


def test_selection_and_mask_are_made_on_request_and_hold_the_list(study: Study):
    made = [f"{RUN}/selection.safetensors", f"{RUN}/mask.safetensors"]
    snakemake(study.folder, *made, "--cores", "1", "--configfile", "own.yaml", checkout=study.folder)
    listed = pd.read_csv(study.folder / RUN / "top_weights.csv").groupby("parameter").size().to_dict()
    masks = load_file(study.folder / made[1])
    assert {name: int(mask.sum()) for name, mask in masks.items() if mask.any()} == listed
    assert {name: len(load_file(study.folder / made[0])[name]) for name in listed} == listed
    for path in made:
        (study.folder / path).unlink()


def test_downstream_tasks_run_where_the_harness_is_installed_and_else_say_what_to_install(study: Study):
    installed = all(importlib.util.find_spec(name) for name in ("lm_eval", "accelerate"))
    config = CONFIG | {"downstream": {"tasks": ["completions"], "include_path": str(TASKS), "k": 3, "bootstrap": 10}}
    (study.folder / "tasks.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    table = "results/a/tiny/interventions/downstream.csv"
    words = (table, "--cores", "1", "--configfile", "tasks.yaml")
    end = "" if installed else "is not installed. Run: pip install lm_eval accelerate."
    done = snakemake(study.folder, *words, checkout=study.folder, end=end)
    assert "Traceback" not in done.stdout + done.stderr
    assert (study.folder / table).exists() == installed
    (study.folder / table).unlink(missing_ok=True)


def error_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stdout + done.stderr
    return [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]


@pytest.mark.parametrize(
    "word, parts",
    [
        ("results/p2/bundled/gradq_perlayer_k1", ["metric 'gradq'", "gradsq"]),
        ("results/p2/gpt2/report/report.html", ["report of p2/gpt2", "none is configured"]),
        ("reprot", ["'reprot'", "report?"]),
    ],
)
def test_wrong_target_ends_with_one_line(tmp_path: Path, word: str, parts: list[str]):
    lines = error_lines(snakemake(tmp_path, word, "-n", end="error: "))
    assert len(lines) == 1
    assert all(part in lines[0] for part in parts)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("phases: {p2: {max_sample: 3}}", [["'max_sample' in phases.p2", "max_samples"]]),
        ("{scorin: {}, experiments: [p2/x/mag_global_k1]}", [["'scorin'"]]),
        ("experiments: [p2/x/mag_global_k1, p2/gpt2/mag_globl_k1]", [["model 'x'"], ["'globl'", "global"]]),
        ("experiments: []", [["none is configured"]]),
        ("phases: {p2: {texts: no.txt}}", [["phases.p2.texts", "no.txt"]]),
        (
            "interventions: {ks: [10], others: [zeroo], lists: [no.csv]}",
            [["others[0]", "zero?"], ["interventions.k", "expected one of 10"]],
        ),
        (
            "interventions: {lists: [no.csv]}",
            [["interventions.lists[0]", "there is no list no.csv"]],
        ),
        (
            "{models: {m: {source: local, path: gone}}, experiments: [p2/m/mag_global_k1]}",
            [["models.m.path", "there is no folder gone"]],
        ),
    ],
)
def test_wrong_config_ends_with_a_line_for_each_mistake(tmp_path: Path, text: str, parts: list[list[str]]):
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    lines = error_lines(snakemake(tmp_path, "-n", "--configfile", "own.yaml", end="error: "))
    assert len(lines) == len(parts)
    for line, expected in zip(lines, parts, strict=True):
        assert all(part in line for part in expected)


def test_config_that_is_no_yaml_ends_without_a_traceback(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("phases: [", encoding="utf-8")
    assert not error_lines(snakemake(tmp_path, "-n", "--configfile", "own.yaml", end="not valid JSON or YAML"))


def test_results_that_cannot_be_written_end_with_one_line(tmp_path: Path):
    (tmp_path / "results").write_text("A file where the folder should be.\n", encoding="utf-8")
    lines = error_lines(snakemake(tmp_path, "-n", end=f"error: {tmp_path / 'results'} "))
    assert len(lines) == 1
    assert "--directory" in lines[0]
