"""The settings of a study as its archive tells them: enough to make the results again, no place on a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..files import read_json
from ..names import Experiment
from ..texts.dataset_texts import dataset_name

_OF_A_MACHINE = ("device", "placement", "processes")
"""Settings of the scoring that change no result where the dtype is the same."""


def told_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config an archive may tell.

    Settings of the machine are left out, and so are comparisons of lists made elsewhere, which no archive holds. Of a
    file or folder on this machine only its name is told.

    Args:
        config: the config with its defaults.

    """
    told = {key: value for key, value in config.items() if key != "compare"}
    told["models"] = {name: _named(entry, "path") for name, entry in told["models"].items()}
    told["phases"] = {
        name: {key: _text(value) if key in ("texts", "evaluation") else value for key, value in phase.items()}
        for name, phase in told["phases"].items()
    }
    if "scoring" in told:
        told["scoring"] = {key: value for key, value in told["scoring"].items() if key not in _OF_A_MACHINE}
    if "interventions" in told:
        lists = [Path(file).name for file in told["interventions"].get("lists", [])]
        told["interventions"] = {**told["interventions"], "lists": lists}
    if isinstance(told.get("criteria"), str):
        told["criteria"] = Path(told["criteria"]).name
    if "downstream" in told:
        told["downstream"] = _named(told["downstream"], "include_path")
    return told


def study_config(told: Mapping[str, Any], experiments: Iterable[Experiment], root: Path) -> dict[str, Any]:
    """Return the settings that make the archived results again, as a file for Snakemake's ``--configfile``.

    Args:
        told: what :func:`told_settings` returns. Models and phases that no experiment uses are left out.
        experiments: the archived ones.
        root: the results folder; a model of the hub is pinned to the commit that its ``model.json`` names, and a dtype
            that was chosen (``auto``) to the one that the experiments were computed in.

    """
    experiments = list(experiments)
    models = {}
    for experiment in experiments:
        entry = dict(told["models"][experiment.model])
        commit = read_json(root / experiment.phase / experiment.model / "model.json").get("revision")
        if entry.get("dtype", "auto") == told.get("scoring", {}).get("dtype", "auto") == "auto":
            entry["dtype"] = read_json(root / experiment.path / "experiment_manifest.json")["dtypes"]["model"]
        models[experiment.model] = entry | ({"revision": commit} if entry["source"] == "hub" and commit else {})
    return {
        **told,
        "models": models,
        "phases": {experiment.phase: told["phases"][experiment.phase] for experiment in experiments},
        "experiments": [experiment.path for experiment in experiments],
    }


def _named(entry: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an entry whose path is its name alone."""
    return {k: Path(value).name if k == key and value else value for k, value in entry.items()}


def _text(value: Any) -> Any:
    """Return a phase's source of texts without the folder it lies in."""
    return {**value, "dataset": dataset_name(value["dataset"])} if isinstance(value, Mapping) else Path(value).name
