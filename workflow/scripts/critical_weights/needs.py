"""What a run needs, looked at before it starts: folders and files that are there, paths that Snakemake can take, k."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .compare.config import comparisons_of
from .config import experiments, text_file
from .errors import ConfigError, near_names, no_file
from .names import Experiment, parse_experiment
from .texts.calibration import TEXT_ENDINGS
from .texts.dataset_texts import is_folder

_USES = ("texts", "evaluation")


def missing_models(files: Iterable[str], config: Mapping[str, Any]) -> list[ConfigError]:
    """Return an error for each local model without a folder, of those that the results belong to.

    A model that is described already needs none: results that were copied here can be drawn and reported.
    """
    parts = [file.split("/") for file in files]
    used = {(p[2], f"results/{p[1]}/{p[2]}/model.json"): None for p in parts
            if p[0] == "results" and len(p) > 3 and p[1] in config["phases"]}  # fmt: skip
    used |= {(Path(p[2]).stem, "/".join(p)): None for p in parts if p[:2] == ["resources", "models"] and len(p) == 3}
    errors = {}
    for name, described in used:
        entry = config["models"].get(name, {})
        if entry.get("source") != "local" or Path(described).is_file():
            continue
        folder = Path(entry["path"]).expanduser()
        if not folder.is_dir():
            errors[name] = _no_folder(f"models.{name}.path", folder)
    return list(errors.values())


def missing_texts(files: Iterable[str], config: Mapping[str, Any]) -> list[ConfigError]:
    """Return an error for each text file or folder of a data set that cannot be read, of the results' phases.

    The facts of a model need no texts, and texts that were made of a data set already do not need it.
    """
    needing = (file for file in files if file.startswith("results/") and not file.endswith("/model.json"))
    phases = dict.fromkeys(file.split("/")[1] for file in needing)
    errors = []
    for phase in phases:
        for use in _USES if phase in config["phases"] else ():
            place, source, file = f"phases.{phase}.{use}", config["phases"][phase][use], text_file(config, phase, use)
            if isinstance(source, Mapping):
                folder = Path(source["dataset"]).expanduser()
                if is_folder(source["dataset"]) and not folder.is_dir() and not file.is_file():
                    errors.append(_no_folder(f"{place}.dataset", folder))
            elif file and not file.is_file():
                errors.append(no_file(place, file, "*.*"))
            elif file and file.suffix not in TEXT_ENDINGS:
                errors.append(ConfigError(place, got=file, expected=f"a file that ends in {' or '.join(TEXT_ENDINGS)}"))
    return errors


def missing_lists(files: Iterable[str], config: Mapping[str, Any]) -> list[ConfigError]:
    """Return an error for each list that is not there, of the comparisons that the results belong to.

    A list below ``results/`` may be one that the workflow makes: its own rule tells what is wrong with it.
    """
    return [
        no_file(f"compare.{one.name}", path, "*.csv", "list")
        for one in comparisons_of(files, config)
        for path in map(Path, one.lists)
        if path.parts[:1] != ("results",) and not path.is_file()
    ]


def missing_intervention_lists(files: Iterable[str], config: Mapping[str, Any]) -> list[ConfigError]:
    """Return an error for each list of ``interventions`` that is not there, where any is to be measured.

    Scores, rankings and tables need none, and what is measured already can be reported. A list below ``results/`` may
    be one that the workflow makes.
    """
    if not config["interventions"]["enabled"] or not _unmeasured(files, config):
        return []
    return [
        no_file(f"interventions.lists[{place}]", path, "*.csv", "list")
        for place, path in enumerate(Path(text).expanduser() for text in config["interventions"]["lists"])
        if path.parts[:1] != ("results",) and not path.is_file()
    ]


def _unmeasured(files: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Return the tables of interventions that results rest on and that are not there; of all models, if those do."""
    everywhere = [f"{run.phase}/{run.model}" for run in experiments(config)]
    cases: dict[str, None] = {}
    for parts in (file.split("/") for file in files):
        if {"interventions", "report", "archive"} & set(parts[1:-1]):
            cases |= dict.fromkeys(everywhere if parts[1] in ("report", "archive") else ["/".join(parts[1:3])])
    tables = [f"results/{case}/interventions/interventions.csv" for case in cases]
    return [table for table in tables if not Path(table).is_file()]


def missing_tasks(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return an error where the folder of own downstream tasks is not there; none where no task is configured."""
    section = config["downstream"]
    if not section["tasks"] or "include_path" not in section:
        return []
    folder = Path(section["include_path"]).expanduser()
    return [] if folder.is_dir() else [_no_folder("downstream.include_path", folder)]


def _no_folder(place: str, folder: Path) -> ConfigError:
    what = f"{folder} is a file, not a folder" if folder.is_file() else f"there is no folder {folder}"
    return ConfigError(
        f"{place}: {what}",
        near=near_names(folder.name, [path.name for path in folder.parent.glob("*") if path.is_dir()]),
    )


def paths_with_braces(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return an error for each path in a config with ``{...}`` in it, which Snakemake takes for a wildcard."""
    paths = {f"models.{name}.path": entry.get("path") for name, entry in config["models"].items()}
    for place, source in (
        (f"phases.{name}.{use}", phase[use]) for name, phase in config["phases"].items() for use in _USES
    ):
        paths[place] = source["dataset"] if isinstance(source, Mapping) else source
    for name, entry in (config.get("compare") or {}).items():
        lists = entry if isinstance(entry, list) else entry["lists"]
        paths |= {f"compare.{name}[{i}]": path for i, path in enumerate(lists)}
    paths |= {f"interventions.lists[{i}]": path for i, path in enumerate(config["interventions"]["lists"])}
    paths["downstream.include_path"] = config["downstream"].get("include_path")
    fix = "Rename it, or give a link to it"
    return [
        ConfigError(f"{place}: {path} has braces, which Snakemake takes for a wildcard", fix=fix)
        for place, path in paths.items()
        if path and re.search(r"\{.+\}", path)
    ]


def beyond_candidates(files: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Return a warning for the largest k of the runs, and of the interventions, that may reach beyond what is kept.

    A ranking knows the first ``scoring.candidates`` of each tensor, and more where a tensor is smaller or has dense
    scores. Only the model tells how large they are, and whether ``auto`` keeps dense scores.

    Args:
        files: those that are asked for; what is there already needs no warning.
        config: a completed one.

    """
    kept, dense = config["scoring"]["candidates"], config["scoring"]["dense"]

    def may_lack(run: Experiment) -> bool:
        if dense == "auto":  # which keeps those of the bundled model
            return config["models"][run.model]["source"] != "bundled"
        return run.metric not in dense if isinstance(dense, list) else not dense

    files = list(files)
    found = [(run.k, f"k = {run.k} of {run.path}") for run in _unranked(files, config) if may_lack(run)]
    found = sorted(found, key=lambda one: -one[0])[:1]
    ladders = (file for file in files if file.endswith("/interventions/interventions.csv") and not Path(file).is_file())
    tried = {tuple(file.split("/")[1:3]) for file in ladders}
    if any((run.phase, run.model) in tried and may_lack(run) for run in experiments(config)):
        largest = max(config["interventions"]["ks"])
        found.append((largest, f"interventions.ks: {largest}"))
    why = f"[{', '.join(dense)}]" if isinstance(dense, list) else str(dense).lower()
    why += ", which keeps all scores of small models only" if dense == "auto" else ""
    return [
        f"{what} is beyond scoring.candidates ({kept}), and scoring.dense is {why}: it fails after scoring if a "
        f"tensor has more weights than {kept}. Set candidates: {k}, or dense: true."
        for k, what in found
        if k > kept
    ]


def _unranked(files: Iterable[str], config: Mapping[str, Any]) -> Iterator[Experiment]:
    """Yield the experiments that files of run folders belong to, those left out whose ranking is there."""
    folders = {tuple(parts[1:4]): None for parts in (file.split("/") for file in files) if len(parts) > 4}
    for phase, model, label in folders:
        try:
            run = parse_experiment(f"{phase}/{model}/{label}", config["phases"], config["models"])
        except ConfigError:  # another folder
            continue
        if not Path(f"results/{run.path}/top_weights.csv").is_file():
            yield run
