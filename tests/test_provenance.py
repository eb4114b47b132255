import getpass
import json
import os
import re
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from critical_weights.errors import ConfigError, TableError
from critical_weights.files import sha256_file
from critical_weights.provenance import git_state, hardware, package_versions
from critical_weights.run_manifest import experiment_of, write_run_manifest
from critical_weights.run_times import interval, parse_benchmarks, read_benchmark
from synthetic_results import CALIBRATION_SHA256, MODEL_SHA256, experiments, make_results

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
LABEL = "gradsq_perlayer_k3"
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
TIMING = {"family": "gradient", "stages": {"load": 1.0, "score": 4.0, "write": 0.5}, "weights": 120, "tensors": 5,
          "blocks": 2, "texts": 7, "peak_memory_bytes": 5_000_000, "device": "cpu", "threads": 2}  # fmt: skip


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "repository" / "code"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("1")
    git(tmp_path / "repository", "init")
    git(tmp_path / "repository", "add", ".")
    git(tmp_path / "repository", "commit", "-m", "first")
    return folder


def test_git_state_of_a_clean_checkout(checkout):
    state = git_state(checkout)
    assert re.fullmatch("[0-9a-f]{40}", state["commit"])
    assert (state["checkout"], state["dirty"]) == (True, False)


@pytest.mark.parametrize("change", ["a.py", "new.py"])
def test_git_state_sees_changed_and_untracked_files_of_the_folder(checkout, change):
    (checkout / change).write_text("2")
    assert git_state(checkout)["dirty"] is True


def test_git_state_does_not_mind_changes_outside_the_code(checkout):
    (checkout.parent / "notes.txt").write_text("2")
    assert git_state(checkout)["dirty"] is False


def test_git_state_is_none_outside_a_checkout(tmp_path):
    assert git_state(tmp_path) == {"checkout": False, "commit": None, "dirty": None}


def test_git_state_is_none_where_nothing_was_added_yet(tmp_path):
    git(tmp_path, "init")
    assert git_state(tmp_path) == {"checkout": False, "commit": None, "dirty": None}


def test_git_state_is_none_for_code_that_only_lies_in_a_foreign_repository(checkout):
    inside = checkout.parent / "site-packages"
    inside.mkdir()
    (inside / "b.py").write_text("1")
    assert git_state(inside) == {"checkout": False, "commit": None, "dirty": None}


def test_git_state_is_not_misled_by_the_environment_of_a_git_hook(checkout, monkeypatch, tmp_path):
    here = git_state(checkout)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git_state(checkout) == here


def test_versions_are_those_installed_and_none_for_what_is_not(monkeypatch):
    monkeypatch.setattr("critical_weights.provenance.PACKAGES", ("numpy", "no-such-package-here"))
    versions = package_versions()
    assert versions["numpy"] == metadata.version("numpy")
    assert versions["no-such-package-here"] is None
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def test_hardware_counts_cores_and_memory_and_takes_the_gpu_as_told():
    facts = hardware("NVIDIA H200")
    assert facts["gpu"] == "NVIDIA H200"
    assert 1 <= facts["cores_usable"] <= facts["cores"]
    assert facts["memory_bytes"] > 100e6


def test_benchmark_is_read_in_seconds_and_bytes(tmp_path):
    path = tmp_path / "rank.tsv"
    path.write_text(HEADER + "2.5\t0:00:02\t120.5\t1\t1\t1\t0\t0\t90\t2\n")
    assert read_benchmark(path) == {"seconds": 2.5, "peak_memory_bytes": round(120.5 * 2**20)}


@pytest.mark.parametrize("unknown", ["-", "NA", ""])
def test_benchmark_of_a_job_too_short_to_be_measured_has_no_memory(tmp_path, unknown):
    path = tmp_path / "rank.tsv"
    path.write_text(HEADER + f"0.1\t0:00:00\t{unknown}\t{unknown}\t{unknown}\t{unknown}\t0\t0\t0\t0\n")
    assert read_benchmark(path) == {"seconds": 0.1, "peak_memory_bytes": None}


def test_benchmark_whose_first_look_met_a_shell_alone_tells_the_largest_share_of_memory(tmp_path):
    path = tmp_path / "summarise.tsv"
    path.write_text(HEADER + "0.51\t0:00:00\t2.84\t4.26\t60.89\t75.84\t0\t0.09\t0\t0.48\n")
    assert read_benchmark(path)["peak_memory_bytes"] == round(75.84 * 2**20)


def test_missing_benchmark_gives_no_invented_time(tmp_path):
    assert read_benchmark(tmp_path / "none.tsv") == {"seconds": None, "peak_memory_bytes": None}


@pytest.mark.parametrize("content", ["", "nothing\n", HEADER])
def test_a_file_that_is_no_benchmark_is_refused(tmp_path, content):
    path = tmp_path / "rank.tsv"
    path.write_text(content)
    with pytest.raises(TableError, match=r"rank\.tsv is no benchmark file"):
        read_benchmark(path)


@pytest.mark.parametrize(
    "pairs, message",
    [(["rank"], "'rank' names no benchmark"), (["=x"], "'=x' names no"), (["a=1", "a=2"], "stage 'a' is given two")],
)
def test_wrong_benchmark_arguments_are_told(pairs, message):
    with pytest.raises(ConfigError, match=message):
        parse_benchmarks(pairs)


def test_interval_starts_with_the_first_stage_and_ends_with_the_last_file(tmp_path):
    score, output = tmp_path / "score.json", tmp_path / "top.csv"
    for path, time in ((score, 1_000_000_100), (output, 1_000_000_200)):
        path.write_text("x")
        os.utime(path, (time, time))
    started, completed = interval([(score, 40.0), (tmp_path / "none", None)], [output])
    assert (started, completed) == ("2001-09-09T01:47:40Z", "2001-09-09T01:50:00Z")


@pytest.fixture
def run(tmp_path):
    """A run folder and a call that writes its manifest and returns it."""
    root = make_results(tmp_path / "results", [LABEL])
    (experiment,) = experiments([LABEL])
    folder = root / experiment.path

    def write(**given):
        facts, calibration = folder.parent / "model.json", folder.parent / "calibration.json"
        arguments = {"facts": facts, "calibration": calibration, "benchmarks": {}, "timing": None} | given
        write_run_manifest(folder, experiment, **arguments, output=folder / "experiment_manifest.json")
        return json.loads((folder / "experiment_manifest.json").read_text())

    return folder, write


def test_manifest_lists_every_other_file_with_bytes_and_hash(run):
    folder, write = run
    (folder / ".top_weights.csv.x.part").write_text("half")
    write()
    outputs = write()["outputs"]
    assert [o["path"] for o in outputs] == [
        "config.json",
        "plots/grad_squared_k3_layer_comparison.png",
        "plots/grad_squared_k3_sensitivity_distribution.png",
        "plots/grad_squared_k3_sensitivity_heatmap.png",
        "sensitivity_stats.json",
        "top_weights.csv",
    ]
    for output in outputs:
        assert output["sha256"] == sha256_file(folder / output["path"])
        assert output["bytes"] == (folder / output["path"]).stat().st_size


def test_manifest_says_what_the_run_was_made_from(run):
    manifest = run[1]()
    assert manifest["experiment"] == f"p2/tiny/{LABEL}"
    assert manifest["complete"] is True
    assert manifest["model"]["sha256"] == MODEL_SHA256
    assert manifest["calibration"]["sha256"] == CALIBRATION_SHA256
    assert manifest["seeds"] == {"texts": 42, "scoring": 42}
    assert manifest["config"]["k"] == 3
    assert manifest["versions"]["scoring"] == {"torch": "2.13.0"}
    assert manifest["hardware"]["gpu"] is None
    assert manifest["started"] <= manifest["completed"]


def test_manifest_gives_times_rates_and_the_largest_memory(run, tmp_path):
    timing, rank = tmp_path / "score.json", tmp_path / "rank.tsv"
    timing.write_text(json.dumps(TIMING))
    rank.write_text(HEADER + "2.0\t0:00:02\t100\t1\t1\t1\t0\t0\t90\t2\n")
    manifest = run[1](benchmarks={"rank": rank, "plot": tmp_path / "none.tsv"}, timing=timing)
    assert manifest["scoring"]["weights_per_second"] == 120 / 4.5
    assert manifest["scoring"]["tensors_per_second"] == 5 / 4.5
    assert manifest["scoring"]["blocks_per_second"] == 2 / 4.5
    assert manifest["stages"]["rank"]["weights_per_second"] == 120 / 2.0
    assert manifest["stages"]["plot"] == {"seconds": None, "peak_memory_bytes": None}
    assert manifest["peak_memory_bytes"] == 100 * 2**20


def test_manifest_without_any_time_invents_none(run):
    manifest = run[1](benchmarks={"rank": Path("none.tsv")}, timing="none.json")
    assert manifest["scoring"] is None
    assert manifest["peak_memory_bytes"] is None
    assert manifest["stages"]["rank"]["weights_per_second"] is None


@pytest.mark.parametrize("device, gpu", [("NVIDIA H200", "NVIDIA H200"), ("cpu", None)])
def test_manifest_names_the_accelerator_that_scored(run, tmp_path, device, gpu):
    timing = tmp_path / "score.json"
    timing.write_text(json.dumps(TIMING | {"device": device}))
    assert run[1](timing=timing)["hardware"]["gpu"] == gpu


def test_manifest_holds_nothing_that_names_person_or_machine(run, monkeypatch):
    folder, write = run
    monkeypatch.setenv("HOME", "/home/some-person")
    monkeypatch.setenv("USER", "some-person")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    write()
    text = (folder / "experiment_manifest.json").read_text()
    names = ["some-person", "hf_secret", socket.gethostname(), str(folder), os.getcwd()]
    names += [name for name in [getpass.getuser()] if name != "root"]
    assert [name for name in names if name in text] == []


@pytest.mark.parametrize("name", ["config.json", "sensitivity_stats.json", "top_weights.csv"])
def test_manifest_of_an_incomplete_run_is_refused(run, name):
    folder, write = run
    (folder / name).unlink()
    with pytest.raises(TableError, match=f"experiment p2/tiny/{LABEL} has no {name}"):
        write()


@pytest.mark.parametrize(
    "cut, told",
    [
        (lambda text: "", "top_weights.csv is empty"),
        (lambda text: text[:-10], "a row of .*top_weights.csv is cut short"),
        (
            lambda text: text[: text[:-1].rindex("\n") + 1],
            "top_weights.csv is not whole; got [0-9]+ rows; expected [0-9]+",
        ),
        (lambda text: text[: text.index("\n") + 1], "top_weights.csv is not whole; got 0 rows; expected [0-9]+"),
    ],
    ids=["empty", "within a row", "at a row's end", "after the header"],
)
def test_manifest_of_a_ranking_that_is_cut_short_is_refused(run, cut, told):
    folder, write = run
    path = folder / "top_weights.csv"
    path.write_text(cut(path.read_text()))
    with pytest.raises(TableError, match=told):
        write()


def test_manifest_of_a_run_with_an_empty_figure_is_refused(run):
    folder, write = run
    (folder / "plots").mkdir(exist_ok=True)
    name = "grad_squared_k3_layer_comparison.svg"
    (folder / "plots" / name).write_text("")
    with pytest.raises(TableError, match=rf"{name} is empty"):
        write()


def test_a_users_own_files_in_a_run_folder_are_no_part_of_it(run):
    folder, write = run
    before = write()["outputs"]
    (folder / "notes.txt").touch()
    (folder / "plots" / "mine.png").touch()
    assert write()["outputs"] == before


@pytest.mark.parametrize("key, what", [("model_sha256", "model"), ("calibration_sha256", "set of texts")])
def test_manifest_of_scores_made_from_something_else_is_refused(run, key, what):
    folder, write = run
    stats = json.loads((folder / "sensitivity_stats.json").read_text())
    stats["store"][key] = "0" * 64
    (folder / "sensitivity_stats.json").write_text(json.dumps(stats))
    with pytest.raises(TableError, match=rf"made with another {what}; got 0{{64}}; expected [0-9a-f]{{64}}"):
        write()


def test_manifest_of_statistics_without_the_stores_attributes_is_refused(run):
    folder, write = run
    stats = json.loads((folder / "sensitivity_stats.json").read_text())
    del stats["store"]
    (folder / "sensitivity_stats.json").write_text(json.dumps(stats))
    with pytest.raises(TableError, match="has no key 'store'"):
        write()


def test_experiment_is_read_from_its_path_alone():
    assert experiment_of("results/p9/other/obd_global_k7/").path == "p9/other/obd_global_k7"
    with pytest.raises(ConfigError, match=r"unknown metric 'gradsqq'\. Did you mean gradsq"):
        experiment_of("p2/tiny/gradsqq_perlayer_k3")


def test_manifest_script(run, tmp_path):
    folder, _ = run
    output = folder / "experiment_manifest.json"
    command = [sys.executable, SCRIPTS / "manifest.py", "--run", folder, "--experiment", f"results/p2/tiny/{LABEL}",
               "--facts", folder.parent / "model.json", "--calibration", folder.parent / "calibration.json",
               "--benchmark", f"rank={tmp_path / 'none.tsv'}", "--output", output]  # fmt: skip
    subprocess.run(command, check=True)
    assert json.loads(output.read_text())["stages"].keys() == {"rank"}


@pytest.mark.parametrize(
    "module", ["provenance", "run_manifest", "report.study", "archive.build", "archive.compare", "archive.extract"]
)
def test_stages_that_need_no_model_import_no_torch(module):
    code = f"import sys, critical_weights.{module}; print({{'torch', 'transformers', 'matplotlib'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
