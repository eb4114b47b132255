"""What a target on the command line means: a run folder, a result file, a rule; or a mistake, told in one line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from . import result_paths
from .config import experiments
from .errors import ConfigError, near_names, unknown
from .names import Experiment, parse_experiment

_SHARED = ("analysis", "interventions", "report", "scores")


def target_files(word: str, config: Mapping[str, Any], rules: Collection[str]) -> list[str]:
    """Return the files that a target asks for; none for a rule.

    Args:
        word: as typed: a run folder, another folder of one stage or a file, with or without ``./`` before and ``/``
            after it; or the name of a rule.
        config: a valid config. Runs that it does not list are targets too, of the models and phases that it knows.
        rules: names of the workflow's rules.

    Raises:
        ConfigError: it is none of them; the message names the bad part and near names.

    """
    parts = [part for part in word.split("/") if part not in ("", ".")]
    if word in rules:
        return []
    match parts:
        case ["resources", "models", name]:
            return _select(name, "resources/models", {f"{model}.json" for model in config["models"]})
        case ["results", "archive", *rest]:
            if not config["experiments"]:
                raise nothing_configured("the archive")
            return _select("/".join(["archive", *rest]), "results", _below("results", result_paths.ARCHIVE_FILES))
        case ["results", "report", *rest]:
            if not config["experiments"]:
                raise nothing_configured("results/report")
            return _select("/".join(["report", *rest]), "results", _below("results", result_paths.study_files()))
        case ["results", "compare", name, *rest]:
            return _of_comparison(name, "/".join(rest), config)
        case ["results", phase, *rest] if phase not in config["phases"]:
            if phase in config["models"] and rest and rest[0] in config["phases"]:
                other_way = "/".join(["results", rest[0], phase, *rest[1:]])
                raise ConfigError(f"'{phase}' is a model, and the phase comes before it", near=[other_way])
            raise unknown("phase", phase, config["phases"])
        case ["results", phase, model, first, *rest]:
            if model not in config["models"]:
                raise unknown("model", model, config["models"])
            if first in _SHARED or first.endswith(".json"):
                return _of_model(phase, model, "/".join([first, *rest]), config)
            if below := [name for name in _shared_names(phase, model) if name.endswith(f"/{first}")]:
                raise ConfigError(f"no stage makes '{first}' in results/{phase}/{model}", near=below)
            if "_" not in first and (near := near_names(first, _SHARED)):
                raise ConfigError(f"'{first}' is neither a run nor a folder of results", near=near)
            experiment = parse_experiment(f"{phase}/{model}/{first}", config["phases"], config["models"])
            return _of_run(experiment, rest)
        case ["results", *_]:
            raise ConfigError(
                f"'{word}' is no target: it holds many results",
                fix="Name one, for example results/p2/bundled/gradsq_perlayer_k100; or 'all' for what the config lists",
            )
    raise _not_a_target(word, parts, config, rules)


def nothing_configured(what: str) -> ConfigError:
    """Build the error for a result over the configured experiments, of which there are none."""
    return ConfigError(
        f"{what} covers the configured experiments, and none is configured",
        fix="List some under 'experiments' in a --configfile, for example p2/bundled/gradsq_perlayer_k100",
    )


def _over_experiments(phase: str, model: str) -> list[str]:
    return [
        *result_paths.analysis_tables(phase, model),
        *result_paths.analysis_figures(phase, model),
        *result_paths.intervention_tables(phase, model),
        *result_paths.intervention_figures(phase, model),
        *result_paths.report_files(phase, model),
        result_paths.downstream_file(phase, model),
    ]


def _shared_names(phase: str, model: str) -> list[str]:
    """Return the files of a phase and model that belong to no single run, below their folder."""
    files = result_paths.shared_files(phase, model) + _over_experiments(phase, model)
    return _below(f"results/{phase}/{model}", files)


def _of_model(phase: str, model: str, name: str, config: Mapping[str, Any]) -> list[str]:
    files = _select(name, f"results/{phase}/{model}", _shared_names(phase, model))
    configured = any((e.phase, e.model) == (phase, model) for e in experiments(config))
    if files[0] in _over_experiments(phase, model) and not configured:
        raise nothing_configured(f"{name.split('/')[0]} of {phase}/{model}")
    return files


def _of_comparison(name: str, rest: str, config: Mapping[str, Any]) -> list[str]:
    if name not in config.get("compare", {}):
        raise unknown("comparison", name, config.get("compare", {}))
    files, folder = result_paths.compare_files(name), f"results/compare/{name}"
    return _select(rest, folder, _below(folder, files)) if rest else files


def _of_run(experiment: Experiment, rest: list[str]) -> list[str]:
    files = [*result_paths.run_files(experiment), result_paths.manifest_file(experiment)]
    folder = f"results/{experiment.path}"
    known = [*files, *result_paths.export_files(experiment)]
    return _select("/".join(rest), folder, _below(folder, known)) if rest else files


def _below(folder: str, files: Collection[str]) -> list[str]:
    return [file.removeprefix(f"{folder}/") for file in files]


def _select(name: str, folder: str, known: Collection[str]) -> list[str]:
    """Return the known file of this name, or all files of a folder of this name."""
    files = [f"{folder}/{file}" for file in known if file == name or file.startswith(f"{name}/")]
    if not files:
        folders = {str(parent): None for file in known for parent in PurePosixPath(file).parents if parent.name}
        raise ConfigError(f"no stage makes '{name}' in {folder}", near=near_names(name, [*folders, *known]))
    return files


def _not_a_target(word: str, parts: list[str], config: Mapping[str, Any], rules: Collection[str]) -> ConfigError:
    guesses, fix = [["results", *parts], ["results", *parts[1:]]], "Results lie below results/"
    if word.startswith("/") and "results" in parts:
        guesses, fix = [parts[parts.index("results") :]], "Targets are named from the working directory"
    for guess in guesses:
        try:
            target_files("/".join(guess), config, ())
        except ConfigError:
            continue
        return ConfigError(f"'{word}' is no target", near=["/".join(guess)], fix=fix)
    return ConfigError(
        f"'{word}' is neither a rule nor a result",
        near=near_names(word, rules),
        fix="For example all, or results/p2/bundled/gradsq_perlayer_k100",
    )
