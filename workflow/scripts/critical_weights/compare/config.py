"""The comparisons that the config names: lists made elsewhere, with the model that they are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import experiments
from ..errors import ConfigError, unknown
from .known_facts import KNOWN_SIZES


@dataclass(frozen=True)
class Comparison:
    """One entry of ``compare``: its name, its lists, and the model that they are of, if it is named."""

    name: str
    lists: tuple[str, ...]
    model: str | None


def comparisons(config: Mapping[str, Any]) -> dict[str, Comparison]:
    """Return the comparisons of a valid config, by name; an entry that is a list alone names no model."""
    found = {}
    for name, entry in (config.get("compare") or {}).items():
        lists, model = (entry, None) if isinstance(entry, list) else (entry["lists"], entry.get("model"))
        found[name] = Comparison(name, tuple(str(Path(path).expanduser()) for path in lists), model)
    return found


def comparison_errors(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return the mistakes that the schema cannot see: unknown models."""
    return [
        ConfigError(f"compare.{name}.model: {unknown('model', one.model, config['models'])}")
        for name, one in comparisons(config).items()
        if one.model is not None and one.model not in config["models"]
    ]


def comparisons_of(files: Iterable[str], config: Mapping[str, Any]) -> list[Comparison]:
    """Return the comparisons that files among the results belong to, each once."""
    names = dict.fromkeys(file.split("/")[2] for file in files if file.startswith("results/compare/"))
    known = comparisons(config)
    return [known[name] for name in names]


def compared_sources(files: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Return what the workflow has to make for the comparisons among files: their models' facts, and rankings."""
    sources = []
    for one in comparisons_of(files, config):
        facts = facts_file(config, one.model)
        sources += [facts] if facts else []
        sources += [path for path in one.lists if Path(path).parts[:1] == ("results",) and not Path(path).is_file()]
    return sources


def facts_file(config: Mapping[str, Any], model: str | None) -> str | None:
    """Return the ``model.json`` that tells a comparison's model, or None: then sizes that are known, or no model.

    It is that of a configured experiment's phase; else, of a model whose sizes are not known, of the first phase. They
    are known of a repository, not of whatever a config gives that repository's name.
    """
    if model is None:
        return None
    phases = [e.phase for e in experiments(config) if e.model == model]
    if not phases and model in KNOWN_SIZES and config["models"][model].get("repo") == KNOWN_SIZES[model].repo:
        return None
    return f"results/{[*phases, *config['phases']][0]}/{model}/model.json"
