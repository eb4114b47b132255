"""The config: defaults, a study's own settings laid over them, every mistake told at once, settings resolved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from .errors import ConfigError, near_names, unknown
from .metrics import METRICS_BY_PATH, family_metrics
from .model.source import bundled_checkpoints
from .names import Experiment, parse_experiment
from .texts.dataset_texts import dataset_name

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"

Config = dict[str, Any]


def read_config(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or holds something else than keys.

    """
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 13, a thousand brackets
        raise ConfigError(f"config file {path} is not YAML ({error})") from error
    if not isinstance(config, dict):
        raise ConfigError(f"config file {path} has no keys at its top level", got=_show(config))
    return config


def merge(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> Config:
    """Lay a study's own settings over the defaults, key by key.

    Lists replace lists. A model that names its own ``source`` replaces the default of that name whole, since a
    repository makes no sense beside a folder; so does a data set.
    """
    merged = dict(defaults)
    for key, value in own.items():
        default = defaults.get(key)
        both = isinstance(value, Mapping) and isinstance(default, Mapping)
        whole = both and ("source" in value or "dataset" in value)
        merged[key] = merge(default, value) if both and not whole else value
    return merged


@cache
def config_schema() -> dict[str, Any]:
    """Return the JSON schema of the config."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast; its words on mistakes are poorer
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), loader)


def complete(config: Mapping[str, Any]) -> Config:
    """Fill in what a valid config leaves out of its phases and its settings."""
    definitions = config_schema()["$defs"]
    phases = {name: _defaults(definitions["phase"]) | phase for name, phase in config["phases"].items()}
    sections = {
        key: _defaults(definitions[key]) | config.get(key, {})
        for key in ("scoring", "stability", "superweights", "interventions", "figures")
    }
    return {**config, "phases": phases, **sections}


def _defaults(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value["default"] for key, value in definition["properties"].items()}


def config_errors(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return every mistake of a config, each with its place and, for an unknown name, the near ones."""
    errors = [told for error in _validator().iter_errors(config) for told in _explain(error)]
    if errors:
        return errors
    for name, model in config["models"].items():
        checkpoint = model.get("checkpoint", "final")
        if model["source"] == "bundled" and checkpoint not in bundled_checkpoints():
            wrong = unknown("checkpoint", checkpoint, bundled_checkpoints())
            errors.append(ConfigError(f"models.{name}.checkpoint: {wrong}"))
    seen: set[Experiment] = set()
    for place, path in enumerate(config["experiments"]):
        try:
            experiment = parse_experiment(path, config["phases"], config["models"])
        except ConfigError as error:
            errors.append(ConfigError(f"experiments[{place}]: {error}"))
            continue
        if experiment in seen:
            errors.append(ConfigError(f"experiments[{place}]: {experiment.path} is listed twice"))
        seen.add(experiment)
    dense = config["scoring"].get("dense")
    names = dense if isinstance(dense, list) else []
    unknown_names = [name for name in names if name not in METRICS_BY_PATH]
    return errors + [ConfigError(f"scoring.dense: {unknown('metric', n, METRICS_BY_PATH)}") for n in unknown_names]


def section_errors(section: str, value: Any) -> list[ConfigError]:
    """Return every mistake that the schema sees in one section of a config, given alone."""
    errors = _validator().iter_errors({section: value})
    return [told for error in errors if list(error.absolute_path)[:1] == [section] for told in _explain(error)]


@cache
def _validator() -> Any:
    def is_integer(_: Any, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)  # JSON schema takes 100.0 for an integer

    def is_finite(_: Any, value: object) -> bool:
        return is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer)
    checker = checker.redefine("number", is_finite)
    checker = checker.redefine("object", lambda _, value: isinstance(value, Mapping))
    return extend(Draft202012Validator, type_checker=checker)(config_schema())


def _explain(error: ValidationError) -> Iterator[ConfigError]:
    """Tell one error of the validator in the config's words; several, where it found several unknown keys."""
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    rule, value = error.validator_value, error.instance
    match error.validator:
        case "additionalProperties":
            known = list(error.schema["properties"])
            yield from (_unknown_key(key, place, known) for key in value if key not in known)
        case "required":
            yield ConfigError(f"{place or 'the config'} lacks {error.message.split()[0]}", got=_show(value))
        case "enum" if "propertyNames" in error.absolute_schema_path:
            yield _unknown_key(value, place, rule)
        case "enum":
            yield ConfigError(place, got=_show(value), expected=" or ".join(rule), near=near_names(str(value), rule))
        case "type":
            unbounded = isinstance(value, float) and rule == "number"  # .inf or .nan, which no comparison bounds
            yield ConfigError(place, got=_show(value), expected="a finite number" if unbounded else _TYPES[rule])
        case "minimum":
            yield ConfigError(place, got=_show(value), expected=f"{rule} or more")
        case "minItems":
            yield ConfigError(place, got=_show(value), expected=f"{rule} or more in the list")
        case "maximum":
            yield ConfigError(place, got=_show(value), expected=f"{rule} or less")
        case "anyOf":
            yield ConfigError(place, got=_show(value), expected="true, false, auto or a list of metrics")
        case "pattern" if "propertyNames" in error.absolute_schema_path:
            yield ConfigError(f"{place}: '{value}' cannot be a name in a path", expected=f"the pattern {rule}")
        case "not":
            yield ConfigError(f"{place}: '{value}' cannot be a name: results/{value} holds something else")
        case "pattern":
            yield ConfigError(place, got=_show(value), expected=f"the pattern {rule}")
        case _:
            yield ConfigError(f"{place}: {error.message}")


def _unknown_key(key: object, place: str, known: list[str]) -> ConfigError:
    where = f" in {place}" if place else ""
    return ConfigError(
        f"unknown key '{key}'{where}", near=near_names(str(key), known), fix=f"Known: {', '.join(known)}"
    )


_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys",
}


def _show(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def experiments(config: Mapping[str, Any]) -> list[Experiment]:
    """Return the configured experiments of a valid config, in its order."""
    return [parse_experiment(path, config["phases"], config["models"]) for path in config["experiments"]]


def text_file(config: Mapping[str, Any], phase: str, use: str) -> Path | None:
    """Return the file of a phase's ``texts`` or ``evaluation``; None for the default ones.

    That of a data set is made by the workflow.
    """
    source = config["phases"][phase][use]
    if isinstance(source, Mapping):
        return Path("resources/texts") / phase / f"{use}.jsonl"
    return None if source == "default" else Path(source).expanduser()


def resolve(config: Mapping[str, Any], phase: str, model: str, family: str) -> dict[str, dict[str, Any]]:
    """Return what decides the results of one (phase, model) and family: sections ``phase``, ``model``, ``scoring``.

    The dtype is ``scoring.dtype`` if that is not ``auto``, else the model's, else ``auto``: the checkpoint's. The
    device, placement and number of processes have no say and are left out, as is what only another family uses.
    """
    entry, scoring = dict(config["models"][model]), dict(config["scoring"])
    del scoring["device"], scoring["placement"], scoring["processes"]
    if scoring["dtype"] == "auto":
        scoring["dtype"] = entry.get("dtype", "auto")
    if isinstance(scoring["dense"], list):
        scoring["dense"] = [metric.path for metric in family_metrics(family) if metric.path in scoring["dense"]]
    if family != "curvature":
        del scoring["probes"]
    return {"phase": dict(config["phases"][phase]), "model": entry, "scoring": scoring}


def experiment_settings(config: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return what ``config.json`` of a run folder says: no folder of this machine, text files by name alone."""
    settings = resolve(config, experiment.phase, experiment.model, experiment.definition.family)
    settings["model"].pop("path", None)
    for use in ("texts", "evaluation"):
        source = settings["phase"][use]
        if isinstance(source, Mapping):
            settings["phase"][use] = {**source, "dataset": dataset_name(source["dataset"])}
        else:
            settings["phase"][use] = Path(source).name
    return {
        "experiment": experiment.path,
        "metric": experiment.metric_full,
        "mode": experiment.mode,
        "k": experiment.k,
        **settings,
    }
