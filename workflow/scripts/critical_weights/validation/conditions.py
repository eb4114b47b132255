"""Which sets of weights are changed how: the ladder over k, the factors, further interventions, whole lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, RankingError, unknown
from ..interventions import find_intervention
from ..log import choice, logger
from ..metrics import METRICS
from ..names import MODES

if TYPE_CHECKING:  # Snakemake checks the settings at each start: torch and pandas are imported where they are used
    import numpy as np
    from numpy.typing import NDArray

    from ..store.read import ScoreStore
    from .weight_sets import Places, WeightSet

log = logger(__name__)


@dataclass(frozen=True)
class ValidationSettings:
    """What is tried; the config's section ``interventions`` has the same keys.

    Attributes:
        intervention: of the ladder and of single weights, ``name`` or ``name=strength``.
        modes: ranking modes of the ladder.
        ks: of the ladder.
        k: the one k of factors, further interventions and the bottom; one of ``ks``.
        strengths: factors that the weights are scaled by.
        others: further interventions, likewise written.
        seeds: of each control.
        texts: evaluation texts, from the first.
        lines: top weights of each metric whose row, column and neuron are changed as a whole.
        top: top weights of each metric that are changed one at a time.
        singles: single weights drawn over the range of scores, of all metrics together.
        single_texts: evaluation texts for single weights, from the first.
        lists: CSV files of further selections.
        draws: bootstrap draws.
        seed: of every draw.

    """

    intervention: str = "zero"
    modes: Sequence[str] = ("global",)
    ks: Sequence[int] = (10, 30, 100, 300, 1000, 3000)
    k: int = 300
    strengths: Sequence[float] = (1.0, 0.9, 0.5, 0.0, -1.0)
    others: Sequence[str] = ("sign_flip", "bit_flip_random")
    seeds: int = 3
    texts: int = 40
    lines: int = 1
    top: int = 5
    singles: int = 300
    single_texts: int = 16
    lists: Sequence[str] = ()
    draws: int = 1000
    seed: int = 42

    def check(self) -> None:
        """Check that the values make sense together.

        Raises:
            ConfigError: one does not.

        """
        if mistake := next(self.mistakes(), None):
            raise mistake

    def mistakes(self) -> Iterator[ConfigError]:
        """Yield what is wrong with the values, each with the config's key; the job and the config are told alike."""
        changes = [("intervention", self.intervention), *((f"others[{i}]", x) for i, x in enumerate(self.others))]
        for place, change in (*changes, *((f"strengths[{i}]", f"scale={x}") for i, x in enumerate(self.strengths))):
            try:
                parse_change(change)
            except ConfigError as error:
                yield ConfigError(f"interventions.{place}: {error}")
        if wrong := [mode for mode in self.modes if mode not in MODES]:
            yield ConfigError(f"interventions.modes: {unknown('mode', wrong[0], MODES)}")
        if not self.ks or min(self.ks) < 1:
            yield ConfigError("interventions.ks", got=list(self.ks), expected="whole numbers from 1")
        elif self.k not in self.ks:
            yield ConfigError("interventions.k is none of ks", got=f"k {self.k}",
                              expected=f"one of {', '.join(map(str, self.ks))}",
                              fix=f"Set k, or add it to ks; where it is not set it is {type(self).k}")  # fmt: skip
        for key, least in (("seeds", 1), ("texts", 2), ("single_texts", 2), ("draws", 2), ("lines", 0), ("top", 0),
                           ("singles", 0)):  # fmt: skip
            if getattr(self, key) < least:
                yield ConfigError(f"interventions.{key}", got=getattr(self, key), expected=f"{least} or more")


def intervention_errors(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return what the schema cannot see in the interventions of a completed config; nothing where switched off."""
    section = {key: value for key, value in config["interventions"].items() if key != "enabled"}
    return list(ValidationSettings(**section).mistakes()) if config["interventions"]["enabled"] else []


def downstream_errors(config: Mapping[str, Any]) -> list[ConfigError]:
    """Return what the schema cannot see in the change that downstream tasks are run after."""
    section = config["downstream"]
    try:
        find_intervention(section["intervention"]).check_strength(section.get("strength"))
    except ConfigError as error:
        return [ConfigError(f"downstream: {error}")]
    return []


@dataclass(frozen=True)
class Condition:
    """One set of weights changed in one way; ``part`` says what it belongs to."""

    part: str
    chosen: WeightSet
    intervention: str
    strength: float | None = None


def parse_change(text: str) -> tuple[str, float | None]:
    """Read ``name`` or ``name=strength``.

    Raises:
        ConfigError: the name is unknown or the strength is wrong for it.

    """
    name, equals, strength = text.partition("=")
    found = find_intervention(name)
    if not equals:
        return name, found.default if found.strength else None
    try:
        return name, found.check_strength(float(strength))
    except ValueError as error:
        raise ConfigError(f"the strength of {name} is no number", got=strength) from error


def plan_conditions(
    stores: Sequence[str | Path],
    facts: Mapping[str, Any],
    settings: ValidationSettings,
    deciles: Callable[[str], NDArray[np.int8]],
) -> list[Condition]:
    """Return every condition in a fixed order.

    Args:
        stores: score stores, one a metric; of the model of the facts.
        facts: the model's.
        settings: what is tried.
        deciles: tensor name -> decile of abs(w) of each of its weights.

    Raises:
        RankingError: a store cannot answer a k, or a list is of another model.
        StoreError: a store is damaged, or of another model.

    """
    from ..store.read import open_store
    from ..structure.line_sets import lines_of_weight
    from .control_sets import matched_control, random_control
    from .weight_sets import list_sets, top_sets

    numel = {tensor["name"]: tensor["numel"] for tensor in facts["tensors"]}
    conditions: list[Condition] = []
    seeds = [settings.seed + i for i in range(settings.seeds)]

    def add(part: str, chosen: WeightSet, change: tuple[str, float | None], controls: Sequence[int]) -> None:
        conditions.append(Condition(part, chosen, *change))
        for seed in controls:
            for control in (random_control(chosen, numel, seed), matched_control(chosen, deciles, seed)):
                conditions.append(Condition(part, control, *change))

    main = parse_change(settings.intervention)
    lines: set[str] = set()
    for path in stores:
        with open_store(path, {"model_sha256": facts["sha256"]}) as store:
            for mode in settings.modes:
                tops = top_sets(store, facts, mode, settings.ks)
                for chosen in tops:
                    add("ladder", chosen, main, seeds)
                for chosen in _bottoms(store, facts, mode, settings.k):
                    add("ladder", chosen, main, ())
                at_k = tops[list(settings.ks).index(settings.k)]
                for factor in settings.strengths:
                    add("strength", at_k, ("scale", factor), ())
                    control = matched_control(at_k, deciles, seeds[0])
                    conditions.append(Condition("strength", control, "scale", factor))
                for other in settings.others:
                    add("other", at_k, parse_change(other), ())
            metric, first = first_weights(store, facts, settings.lines)
            for name, flat in ((name, int(index)) for name, own in first.items() for index in own):
                for line in lines_of_weight(metric, "global", facts, name, flat):
                    if line.name not in lines:  # metrics agree on some: once is enough
                        lines.add(line.name)
                        add("line", line, main, seeds[:1])
    for path in settings.lists:
        for chosen in list_sets(path, facts, settings.ks):
            add("ladder", chosen, main, seeds)
    return conditions


def _bottoms(store: ScoreStore, facts: Mapping[str, Any], mode: str, k: int) -> list[WeightSet]:
    from .weight_sets import bottom_sets

    try:
        return bottom_sets(store, facts, mode, [k])
    except RankingError as error:
        choice("bottom k", "left out", str(error), log)
        return []


def first_weights(store: ScoreStore, facts: Mapping[str, Any], count: int) -> tuple[str, Places]:
    """Return a store's metric, by path name, and its first so many weights of all tensors."""
    from .weight_sets import top_sets

    metric = METRICS[store.attributes["metric"]].path
    return metric, top_sets(store, facts, "global", [count])[0].places if count else {}
