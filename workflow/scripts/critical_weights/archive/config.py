"""The settings of a study as its archive tells them: enough to make the results again, no place on a machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArchiveError, ConfigError, CriticalWeightsError
from ..files import read_json
from ..names import Experiment
from ..texts.dataset_texts import is_folder
from .names import check_names

_OF_A_MACHINE = ("device", "placement", "processes")
"""Settings of the scoring that change no result where the dtype is the same."""
_NOT_ARCHIVED = ("compare", "downstream", "experiments")
"""Sections that no archived file is made from, and the experiments, which are told apart from the settings."""
WORD_BYTES = (128 << 10) - 1
"""Linux takes no longer word on a command line."""


def told_settings(
    config: Mapping[str, Any], experiments: Iterable[Experiment], criteria: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what of a config an archive may tell.

    Settings of the machine are left out, and so are models and phases that no experiment uses and what is in no
    archive: comparisons of lists made elsewhere, downstream tasks. Of a file or folder on this machine only its name
    is told; where others have the same name, behind a number as its folder.

    Args:
        config: the config with its defaults.
        experiments: the configured ones; their order decides which of two equal names gets a number, so that a study
            made again from what is told is told in the same words.
        criteria: those that the config declares, read from their file where it names one.

    """
    experiments = list(experiments)
    name = _namer()
    told = {key: value for key, value in config.items() if key not in _NOT_ARCHIVED}
    told["models"] = {
        model: {key: name(value) if key == "path" else value for key, value in config["models"][model].items()}
        for model in dict.fromkeys(e.model for e in experiments)
    }
    told["phases"] = {
        phase: {**(own := config["phases"][phase]), **{use: _text(own[use], name) for use in _USES if use in own}}
        for phase in dict.fromkeys(e.phase for e in experiments)
    }
    if "scoring" in told:
        told["scoring"] = {key: value for key, value in told["scoring"].items() if key not in _OF_A_MACHINE}
    if "interventions" in told:
        lists = [_list(file, name) for file in told["interventions"].get("lists", [])]
        told["interventions"] = {**told["interventions"], "lists": lists}
    return {**told, "criteria": list(criteria)}


_USES = ("texts", "evaluation")


def _namer() -> Callable[[str], str]:
    """Return what gives each path on this machine a name of its own, the same one to the same path."""
    told: dict[str, str] = {}

    def name(path: str) -> str:
        place = os.path.abspath(os.path.expanduser(path))
        if place not in told:
            # As a folder, since results tell a file's own name too: it has to be the same when they are made again.
            wanted = Path(place).name
            alike = sum(Path(other).name == wanted for other in told.values())
            told[place] = f"{alike + 1}/{wanted}" if alike else wanted
        return told[place]

    return name


def _text(value: Any, name: Callable[[str], str]) -> Any:
    """Return a phase's source of texts without the folder it lies in."""
    if isinstance(value, Mapping):
        dataset = value["dataset"]
        return {**value, "dataset": f"./{name(dataset)}" if is_folder(dataset) else dataset}
    return value if value == "default" else name(value)


def _list(file: str, name: Callable[[str], str]) -> str:
    """Return a list of selections without its folder; one that the workflow makes itself stays what it is."""
    return Path(file).as_posix() if Path(file).parts[:1] == ("results",) else name(file)


def study_config(told: Mapping[str, Any], experiments: Iterable[Experiment], root: Path) -> dict[str, Any]:
    """Return the settings that make the archived results again, as a file for Snakemake's ``--configfile``.

    Args:
        told: what :func:`told_settings` returns.
        experiments: the archived ones.
        root: the results folder; a model of the hub is pinned to the commit that its ``model.json`` names, and a dtype
            that was chosen (``auto``) to the one that the experiments were computed in, where that is not the
            checkpoint's. Else it stays ``auto``, as the experiments' own settings have it: made again, they are equal.

    """
    experiments = list(experiments)
    models = {}
    for experiment in experiments:
        entry = dict(told["models"][experiment.model])
        facts = read_json(root / experiment.phase / experiment.model / "model.json")
        if entry.get("dtype", "auto") == told.get("scoring", {}).get("dtype", "auto") == "auto":
            computed = read_json(root / experiment.path / "experiment_manifest.json")["dtypes"]["model"]
            entry |= {"dtype": computed} if computed != facts.get("checkpoint_dtype") else {}
        commit = facts.get("revision") if entry["source"] == "hub" else None
        models[experiment.model] = entry | ({"revision": commit} if commit else {})
    return {
        **told,
        "models": models,
        "phases": {experiment.phase: told["phases"][experiment.phase] for experiment in experiments},
        "experiments": [experiment.path for experiment in experiments],
    }


def study_errors(experiments: Iterable[Experiment], settings: str) -> list[CriticalWeightsError]:
    """Return why the report over all experiments or their archive could not be made, which come last in a study.

    Args:
        experiments: the configured ones.
        settings: of the study, as the archive's command line has them.

    """
    paths = [experiment.path for experiment in experiments]
    errors: list[CriticalWeightsError] = []
    for what, text, unit, fix in (
        (f"{len(paths):,} experiments", ",".join(paths), "bytes of names", "Split them over several configs"),
        ("the settings of the study", settings, "bytes", "Make the criteria and lists fewer or shorter"),
    ):
        if (size := len(text.encode())) > WORD_BYTES:
            errors.append(ConfigError(f"{what} are more than a command line takes", got=f"{size:,} {unit}",
                                      expected=f"{WORD_BYTES:,} {unit} at most", fix=fix))  # fmt: skip
    try:
        check_names(paths)
    except ArchiveError as error:
        errors.append(error)
    return errors
