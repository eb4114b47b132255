from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from critical_weights import config as configs
from critical_weights.errors import ConfigError
from critical_weights.needs import missing_models, missing_texts
from critical_weights.stage_code import PACKAGE, imports, stage_digest, stage_sources
from critical_weights.targets import target_files
from critical_weights.validation.conditions import ValidationSettings, downstream_errors, intervention_errors

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = configs.read_config(ROOT / "config" / "config.yaml")
RULES = {"all", "report", "rank"}
OPTIONAL = {"datasets", "lm_eval", "triton"}
"""Imported where they are installed."""


def laid_over(own: dict[str, Any]) -> dict[str, Any]:
    return configs.merge(DEFAULTS, own)


def told(own: dict[str, Any]) -> list[str]:
    return [str(error) for error in configs.config_errors(laid_over(own))]


def complete(own: dict[str, Any] | None = None) -> dict[str, Any]:
    merged = laid_over(own or {})
    assert configs.config_errors(merged) == []
    return configs.complete(merged)


def test_default_config_is_valid_and_covers_every_metric():
    config = complete()
    experiments = configs.experiments(config)
    assert len(experiments) == 12
    assert len({e.metric for e in experiments}) == 9
    assert {e.mode for e in experiments} == {"perlayer", "perblock", "global"}


def test_default_config_states_every_phase_and_scoring_key():
    definitions = configs.config_schema()["$defs"]
    for section in ("scoring", "stability"):
        assert set(DEFAULTS[section]) == set(definitions[section]["properties"])
    for phase in DEFAULTS["phases"].values():
        assert set(phase) == set(definitions["phase"]["properties"])


def test_config_readme_tells_every_key_with_its_default():
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    settings = (("models", "model"), ("phases", "phase"), ("scoring", "scoring"), ("stability", "stability"))
    for section, definition in settings:
        rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| `?([^|`]*)`?[^|]*\|", sections[section], re.MULTILINE))
        properties = configs.config_schema()["$defs"][definition]["properties"]
        assert set(rows) == set(properties)
        for key, entry in properties.items():
            if "default" in entry:
                assert rows[key].strip() == yaml.safe_dump(entry["default"]).split("\n")[0]


def test_own_settings_are_laid_over_the_defaults():
    config = laid_over({"phases": {"p2": {"seed": 7}, "mine": {}}, "experiments": ["mine/gpt2/mag_global_k1"]})
    assert config["phases"]["p2"] == {**DEFAULTS["phases"]["p2"], "seed": 7}
    assert config["phases"]["p1_baseline"] == DEFAULTS["phases"]["p1_baseline"]
    assert config["experiments"] == ["mine/gpt2/mag_global_k1"]
    assert configs.complete(config)["phases"]["mine"] == DEFAULTS["phases"]["p2"]
    assert DEFAULTS["phases"]["p2"]["seed"] == 42


def test_model_with_a_source_replaces_the_default_one_whole():
    config = laid_over({"models": {"gpt2": {"source": "local", "path": "x"}, "bundled": {"dtype": "bfloat16"}}})
    assert config["models"]["gpt2"] == {"source": "local", "path": "x"}
    assert config["models"]["bundled"] == {**DEFAULTS["models"]["bundled"], "dtype": "bfloat16"}


@pytest.mark.parametrize(
    "own, parts",
    [
        ({"scorin": {}}, ["unknown key 'scorin'", "scoring"]),
        ({"phases": {"p2": {"max_sample": 3}}}, ["unknown key 'max_sample' in phases.p2", "max_samples"]),
        ({"phases": {"p2": {"max_samples": "ten"}}}, ["phases.p2.max_samples", "'ten'", "a whole number"]),
        ({"phases": {"p2": {"max_samples": 10.0}}}, ["phases.p2.max_samples", "10.0", "a whole number"]),
        ({"phases": {"p2": {"max_samples": True}}}, ["phases.p2.max_samples", "true", "a whole number"]),
        ({"phases": {"p2": {"max_length": 1}}}, ["phases.p2.max_length", "1", "2 or more"]),
        ({"phases": {"p2": {"seed": 2**32}}}, ["phases.p2.seed", "4294967296", "4294967295 or less"]),
        ({"phases": {"p2": {"texts": None}}}, ["phases.p2.texts", "nothing", "a text"]),
        ({"phases": {"P 2": {}}}, ["phases", "'P 2' cannot be a name"]),
        ({"phases": {2.0: {}}}, ["phases", "2.0", "a text"]),
        ({"phases": {"archive": {}}}, ["'archive' cannot be a name", "results/archive"]),
        ({"models": {"m": {"path": "x"}}}, ["models.m lacks 'source'"]),
        ({"models": {"m": {"source": "local"}}}, ["models.m lacks 'path'"]),
        ({"models": {"m": {"source": "hub"}}}, ["models.m lacks 'repo'"]),
        ({"models": {"m": {"source": "hubb"}}}, ["models.m.source", "'hubb'", "hub?"]),
        ({"models": {"m": {"source": "bundled", "repo": "x"}}}, ["unknown key 'repo' in models.m", "checkpoint"]),
        ({"models": {"m": {"source": "bundled", "checkpoint": "last"}}}, ["models.m.checkpoint", "'last'"]),
        (
            {"models": {"m": {"source": "bundled", "checkpoint": "step_000401"}}},
            ["models.m.checkpoint: unknown checkpoint 'step_000401'", "step_000400"],
        ),
        ({"models": {"m": {"source": "bundled", "dtype": "fp32"}}}, ["models.m.dtype", "'fp32'", "float32"]),
        ({"models": {"M-1": {"source": "bundled"}}}, ["models", "'M-1' cannot be a name"]),
        ({"scoring": {"dense": "some"}}, ["scoring.dense", "'some'", "a list of metrics"]),
        ({"scoring": {"dense": ["grdsq"]}}, ["scoring.dense", "'grdsq'", "gradsq"]),
        ({"scoring": {"probes": 1}}, ["scoring.probes", "2 or more"]),
        ({"scoring": None}, ["scoring", "nothing", "keys"]),
        ({"stability": {"threshold": "high"}}, ["stability.threshold", "'high'", "a number"]),
        ({"stability": {"threshold": 2}}, ["stability.threshold", "2", "1 or less"]),
        ({"stability": {"draws": 1}}, ["stability.draws", "1", "2 or more"]),
        ({"experiments": None}, ["experiments", "nothing", "a list"]),
        ({"experiments": [3]}, ["experiments[0]", "3", "a text"]),
        ({"experiments": ["p2/bundled/gradq_perlayer_k1"]}, ["experiments[0]", "metric 'gradq'", "gradsq"]),
        ({"experiments": ["p2/bundled/gradsq_perlyer_k1"]}, ["experiments[0]", "mode 'perlyer'", "perlayer"]),
        ({"experiments": ["p3/bundled/gradsq_perlayer_k1"]}, ["experiments[0]", "phase 'p3'", "p2"]),
        ({"experiments": ["p2/bundel/gradsq_perlayer_k1"]}, ["experiments[0]", "model 'bundel'", "bundled"]),
        ({"experiments": ["p2/bundled/mag_global_k0"]}, ["experiments[0]", "'0'"]),
        ({"experiments": ["p2/bundled/mag_global_k1", "results/p2/bundled/mag_global_k1/"]}, ["[1]", "listed twice"]),
    ],
)
def test_each_mistake_is_told_with_its_place(own: dict[str, Any], parts: list[str]):
    errors = told(own)
    assert len(errors) == 1
    assert "\n" not in errors[0]
    for part in parts:
        assert part in errors[0]


def test_all_mistakes_are_told_at_once():
    own = {"phases": {"p2": {"seed": -1, "sed": 1}}, "scoring": {"device": "gpu"}, "experiment": []}
    errors = told(own)
    assert len(errors) == 4
    for part in ("phases.p2.seed", "'sed'", "scoring.device", "'experiment'"):
        assert sum(part in error for error in errors) == 1
    assert len(told({"experiments": ["p2/bundled/x_global_k1", "p2/bundled/mag_global_kten"]})) == 2


@pytest.mark.parametrize(
    "own, parts",
    [
        ({"k": 50}, ["interventions.k is none of ks", "got k 50", "expected one of 10, 30, 100"]),
        (
            {"ks": [10, 30]},
            ["interventions.k is none of ks", "got k 300", "expected one of 10, 30", "not set it is 300"],
        ),
        ({"intervention": "zeroo"}, ["interventions.intervention: unknown intervention 'zeroo'", "Did you mean zero?"]),
        ({"others": ["mean", "scale=two"]}, ["interventions.others[1]: the strength of scale is no number", "got two"]),
        ({"others": ["zero=1"]}, ["interventions.others[0]: intervention zero has no strength"]),
        ({"others": ["round_bits=2.5"]}, ["interventions.others[0]", "got 2.5", "expected a whole number from 2 up"]),
        ({"others": ["bit_flip=64"]}, ["interventions.others[0]", "got 64", "expected a whole number from 0 to 63"]),
        ({"others": ["noise=-1"]}, ["interventions.others[0]", "got -1", "expected a number from 0 up"]),
        ({"others": ["scale=nan"]}, ["interventions.others[0]: the strength of scale is no finite number"]),
    ],
)
def test_mistakes_of_the_interventions_are_told_before_anything_is_scored(own: dict[str, Any], parts: list[str]):
    errors = [str(error) for error in intervention_errors(complete({"interventions": own}))]
    assert len(errors) == 1
    assert "\n" not in errors[0]
    for part in parts:
        assert part in errors[0]
    assert intervention_errors(complete({"interventions": {**own, "enabled": False}})) == []


@pytest.mark.parametrize(
    "own, part",
    [
        ({"intervention": "zer"}, "Did you mean zero?"),
        ({"strength": 2.0}, "intervention zero has no strength"),
        ({"intervention": "bit_flip", "strength": 99.0}, "expected a whole number from 0 to 63"),
    ],
)
def test_a_mistake_in_the_change_of_downstream_tasks_is_told_at_once(own: dict[str, Any], part: str):
    errors = [str(error) for error in downstream_errors(complete({"downstream": own}))]
    assert len(errors) == 1
    assert errors[0].startswith("downstream: ")
    assert part in errors[0]
    assert downstream_errors(complete({"downstream": {"intervention": "scale", "strength": 2.0}})) == []


def test_right_interventions_are_no_mistake_and_wrong_ones_are_told_at_once():
    assert intervention_errors(complete()) == []
    made = {"ks": [5, 7], "k": 5, "others": ["noise=2.5", "bit_flip=3"], "lists": ["results/made.csv", "~/own.csv"]}
    assert intervention_errors(complete({"interventions": made})) == []
    assert len(intervention_errors(complete({"interventions": {"k": 1, "others": ["zer", "x"]}}))) == 3


def test_schema_and_script_have_the_same_settings_of_interventions():
    section = complete()["interventions"]
    own = {key: value for key, value in section.items() if key != "enabled"}
    settings = ValidationSettings(**{key: tuple(v) if isinstance(v, list) else v for key, v in own.items()})
    assert settings == ValidationSettings()


@pytest.mark.parametrize("text, part", [("a: [", "is not YAML"), ("- a", "no keys"), ("", "nothing")])
def test_file_that_is_no_config(tmp_path: Path, text: str, part: str):
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"own\.yaml.*{part}"):
        configs.read_config(file)


@pytest.mark.parametrize(
    "scoring, model, dtype",
    [
        ("auto", "bfloat16", "bfloat16"),
        ("float64", "bfloat16", "float64"),
        ("auto", "auto", "auto"),
        ("auto", None, "auto"),
    ],
)
def test_dtype_is_the_studys_else_the_models_else_the_checkpoints(scoring: str, model: str | None, dtype: str):
    entry = {"source": "bundled"} | ({"dtype": model} if model else {})
    config = complete({"scoring": {"dtype": scoring}, "models": {"m": entry}})
    assert configs.resolve(config, "p2", "m", "gradient")["scoring"]["dtype"] == dtype


def test_settings_of_a_family_hold_what_changes_its_scores_and_nothing_else():
    config = complete({"scoring": {"dense": ["wanda", "hutch", "actmag"], "device": "cpu"}})
    forward = configs.resolve(config, "p2", "bundled", "forward")["scoring"]
    curvature = configs.resolve(config, "p2", "bundled", "curvature")["scoring"]
    assert forward == {"dtype": "float32", "candidates": 10000, "dense": ["actmag", "wanda"], "include_1d": False}
    assert curvature == {**forward, "dense": ["hutch"], "probes": 10}
    assert config["scoring"]["device"] == "cpu"


def test_recorded_settings_hold_no_path_of_this_machine(tmp_path: Path):
    own = {
        "models": {"mine": {"source": "local", "path": str(tmp_path / "model")}},
        "phases": {"p2": {"texts": str(tmp_path / "texts.txt")}},
        "experiments": ["p2/mine/mag_global_k5"],
    }
    config = complete(own)
    recorded = configs.experiment_settings(config, configs.experiments(config)[0])
    assert str(tmp_path) not in str(recorded)
    assert recorded["experiment"] == "p2/mine/mag_global_k5"
    assert (recorded["metric"], recorded["mode"], recorded["k"]) == ("magnitude", "global", 5)
    assert recorded["phase"]["texts"] == "texts.txt"
    assert recorded["model"] == {"source": "local"}


RUN = "results/p2/gpt2/gradsq_perlayer_k7"
STEM = f"{RUN}/plots/grad_squared_k7"


@pytest.mark.parametrize("word", [RUN, f"{RUN}/", f"./{RUN}", "./results//p2/./gpt2/gradsq_perlayer_k7//"])
def test_run_folder_asks_for_all_its_files_however_it_is_typed(word: str):
    files = target_files(word, complete(), RULES)
    assert len(files) == 3 + 9 + 1
    assert files[-1] == f"{RUN}/experiment_manifest.json"
    assert f"{STEM}_sensitivity_heatmap.csv" in files


@pytest.mark.parametrize(
    "word, files",
    [
        ("all", []),
        (f"{STEM}_layer_comparison.png", [f"{STEM}_layer_comparison.png"]),
        ("./results/p2/gpt2/model.json", ["results/p2/gpt2/model.json"]),
        ("results/p2/gpt2/scores/hutch.h5", ["results/p2/gpt2/scores/hutch.h5"]),
        ("results/p2/gpt2/evaluation_tokens.json", ["results/p2/gpt2/evaluation_tokens.json"]),
        ("results/p2/bundled/analysis/overlap.csv", ["results/p2/bundled/analysis/overlap.csv"]),
        ("resources/models/gpt2.json", ["resources/models/gpt2.json"]),
    ],
)
def test_files_and_rules_are_targets(word: str, files: list[str]):
    assert target_files(word, complete(), RULES) == files


def test_folder_of_a_stage_asks_for_what_is_in_it():
    files = target_files("results/p2/bundled/report/", complete(), RULES)
    assert {Path(file).name for file in files} >= {"report.html", "quantitative_results.json"}
    assert {Path(file).parent.as_posix() for file in files} == {"results/p2/bundled/report"}
    assert len(target_files(f"{RUN}/plots", complete(), RULES)) == 9


@pytest.mark.parametrize(
    "word, parts",
    [
        ("results/p3/gpt2/gradsq_perlayer_k7", ["phase 'p3'", "p2?"]),
        ("results/p2/gpt/gradsq_perlayer_k7", ["model 'gpt'", "gpt2?"]),
        ("results/p2/gpt2/gradq_perlayer_k7", ["metric 'gradq'", "gradsq"]),
        ("results/p2/gpt2/gradsq_perlyer_k7", ["mode 'perlyer'", "perlayer"]),
        ("results/p2/gpt2/gradsq_perlayer_k0", ["k is the number", "'0'"]),
        ("results/p2/gpt2/gradsq_perlayer_kten", ["k is the number", "'ten'"]),
        ("results/p2/gpt2/gradsq_perlayer_k007", ["k is the number", "'007'"]),
        ("results/p2/gpt2/gradsq_perlayer", ["'gradsq_perlayer' is no run name"]),
        (f"{RUN}/top_weight.csv", [f"'top_weight.csv' in {RUN}", "top_weights.csv"]),
        (f"{RUN}/plots/magnitude_k7_layer_comparison.png", ["'plots/magnitude_k7_layer_comparison.png'"]),
        ("results/p2/gpt2/scores/gradq.h5", ["'scores/gradq.h5'", "scores/gradsq.h5"]),
        (f"{RUN}/plot", [f"'plot' in {RUN}", "Did you mean plots"]),
        ("results/p2/bundled/analysis/plot", ["'analysis/plot'", "Did you mean analysis/plots"]),
        ("results/p2/bundled/report/reprot.html", ["'report/reprot.html'", "report/report.html"]),
        ("results/p2/gpt2/report/report.html", ["report of p2/gpt2", "none is configured"]),
        ("results/p2/gpt2/analysis", ["analysis of p2/gpt2", "none is configured"]),
        ("results/p2/gpt2", ["'results/p2/gpt2' is no target"]),
        ("results/archve", ["phase 'archve'"]),
        ("results/p2/gpt2/raport/report.html", ["'raport' is neither", "report?"]),
        ("resources/models/gpt.json", ["'gpt.json'", "gpt2.json"]),
        ("result/p2/gpt2/gradsq_perlayer_k7", ["is no target", f"{RUN}?"]),
        ("p2/gpt2/gradsq_perlayer_k7", ["is no target", f"{RUN}?"]),
        (f"/data/my study/{RUN}", ["is no target", f"Did you mean {RUN}?", "from the working directory"]),
        ("results/gpt2/p2/gradsq_perlayer_k7", ["'gpt2' is a model", f"Did you mean {RUN}?"]),
        ("results/p2/gpt2/report.html", ["'report.html' in results/p2/gpt2", "Did you mean report/report.html?"]),
        ("results/p2/gpt2/overlap.csv", ["'overlap.csv' in results/p2/gpt2", "Did you mean analysis/overlap.csv?"]),
        ("reprot", ["'reprot' is neither", "report?"]),
    ],
)
def test_wrong_target_is_told_in_one_line_with_what_is_near(word: str, parts: list[str]):
    with pytest.raises(ConfigError) as error:
        target_files(word, complete(), RULES)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_archive_of_no_experiments_is_told():
    with pytest.raises(ConfigError, match=r"archive covers .* none is configured"):
        target_files("results/archive", complete({"experiments": []}), RULES)


def test_missing_text_file_is_told_for_the_phases_asked_for_only(tmp_path: Path):
    (tmp_path / "texts.txt").write_text("A text.\n", encoding="utf-8")
    own = {"phases": {"a": {"texts": str(tmp_path / "text.txt")}, "b": {"evaluation": str(tmp_path / "texts.txt")}}}
    config = complete(own)
    assert missing_texts(["results/b/gpt2/model.json", "results/p2/gpt2/model.json"], config) == []
    assert missing_texts(["results/a/gpt2/model.json"], config) == [], "facts of a model need no texts"
    errors = missing_texts(["results/a/gpt2/calibration.json", "results/a/gpt2/tokens.json"], config)
    assert len(errors) == 1
    assert "phases.a.texts" in str(errors[0])
    assert "texts.txt?" in str(errors[0])
    (tmp_path / "text.txt").mkdir()
    errors = missing_texts(["results/a/gpt2/tokens.json"], config)
    assert "text.txt is a folder, not a file. Did you mean texts.txt?" in str(errors[0])


def test_missing_folder_of_a_local_model_is_told_where_a_result_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "llama").mkdir(parents=True)
    (tmp_path / "models" / "file").touch()
    paths = {
        "good": "models/llama",
        "bad": "models/lama",
        "compare_me": "nowhere",
        "flat": str(tmp_path / "models/file"),
    }
    config = complete({"models": {name: {"source": "local", "path": path} for name, path in paths.items()}})
    fine = ["results/p2/good/model.json", "results/p2/gpt2/model.json", "results/report/index.html"]
    assert missing_models([*fine, "results/compare/compare_me/overlap.csv", "resources/models/good.json"], config) == []
    errors = missing_models(["results/p2/bad/model.json", "results/p2/bad/mag_global_k1/top_weights.csv"], config)
    assert [str(error) for error in errors] == [
        "models.bad.path: there is no folder models/lama. Did you mean llama?"
    ]  # fmt: skip
    assert len(missing_models(["resources/models/bad.json"], config)) == 1
    assert "file is a file, not a folder" in str(missing_models(["results/p2/flat/model.json"], config)[0])
    described = tmp_path / "results/p2/bad/model.json"
    described.parent.mkdir(parents=True)
    described.touch()
    assert missing_models(["results/p2/bad/mag_global_k1/top_weights.csv"], config) == []


def test_stage_digest_follows_imports_and_data(tmp_path: Path):
    scripts = PACKAGE.parent
    names = {path.relative_to(scripts).as_posix() for path in stage_sources(scripts / "plot.py")}
    assert {"plot.py", "critical_weights/plots/sensitivity_heatmap.py", "critical_weights/files.py"} <= names
    assert "critical_weights/report/gather.py" not in names
    assert stage_digest(scripts / "plot.py") != stage_digest(scripts / "rank.py")
    data = PACKAGE.parents[1] / "schemas" / "config.schema.yaml"
    assert stage_digest(scripts / "plot.py", [data]) != stage_digest(scripts / "plot.py")


def parsed_imports(source: bytes) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The slow twin of `imports`, by Python's own parser."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield 0, "", tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def test_imports_are_those_that_the_parser_finds():
    files = sorted(PACKAGE.parent.rglob("*.py"))
    for file in files:
        assert sorted(imports(file.read_bytes())) == sorted(parsed_imports(file.read_bytes())), file
    assert len(files) > 300
    odd = b"import a.b as c, d\nfrom . import (  # why\n  e as f,  # (both)\n  g,\n)\nif 1:\n  from ..h.i import j\n"
    assert list(imports(odd)) == [(0, "", ("a.b", "d")), (1, "", ("e", "g")), (2, "h.i", ("j",))]
    assert sorted(imports(odd)) == sorted(parsed_imports(odd))


@pytest.mark.parametrize("script", ["rank", "summarise", "overlap", "concentration", "report", "archive", "manifest"])
def test_stages_without_a_model_reach_no_module_that_imports_torch(script: str):
    for file in stage_sources(PACKAGE.parent / f"{script}.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if re.match(r"(import|from) (torch|transformers)\b", line)], file


def test_config_and_targets_import_neither_torch_nor_pandas():
    names = ("targets", "needs", "stage_code", "validation.conditions")
    code = f"import sys, {', '.join(f'critical_weights.{name}' for name in names)}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "pandas", "numpy", "h5py", "matplotlib"} & set(modules)


def test_conda_environment_has_the_versions_of_the_lock():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    environment = yaml.safe_load((ROOT / "envs" / "critical_weights.yaml").read_text(encoding="utf-8"))
    pins = environment["dependencies"][-1]["pip"]
    assert {"torch", "transformers", "h5py", "pandas"} <= {pin.split("==")[0] for pin in pins}
    assert set(pins) <= set(lock)
    known = {pin.split("==")[0].lower() for pin in pins}
    packages = metadata.packages_distributions()
    imported = set()
    for file in PACKAGE.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    foreign = imported & set(packages) - set(sys.stdlib_module_names) - {PACKAGE.name, *OPTIONAL}
    assert {"psutil", "numpy", "torch", "yaml", "PIL"} <= foreign
    lacking = {name for name in foreign if not {found.lower() for found in packages[name]} & known}
    assert not lacking, "imported by a stage and not in its environment"


def test_numbers_that_are_not_finite_are_refused():
    criterion = {"name": "a", "statement": "b", "table": "overlap", "column": "jaccard", "test": "at_least"}
    wrong = yaml.safe_load("{superweights: {ratio: .inf}, stability: {threshold: .nan}, downstream: {strength: .nan}}")
    wrong["interventions"] = {"strengths": [0, float("nan")]}
    lines = told(wrong | {"criteria": [criterion | {"threshold": float("nan")}]})
    for place, got in (("superweights.ratio", "inf"), ("stability.threshold", "nan"), ("downstream.strength", "nan"),
                       ("criteria[0].threshold", "nan"), ("interventions.strengths[1]", "nan")):  # fmt: skip
        assert f"{place}; got {got}; expected a finite number." in lines
    assert told({"superweights": {"ratio": 10**400}}) == [], "an integer has no infinity"
    assert told({"superweights": {"ratio": True}}) == ["superweights.ratio; got true; expected a number."]
