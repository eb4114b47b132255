"""Finds again what the reports count: over models and phases, and of files their rows, sizes and numbers."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from critical_weights.tables.markdown import DESCRIBED
from report_numbers import NUMBER, known, read, spellings

SHOWN = 3
"""Things that a sentence names one by one; it counts the others."""


def known_over_all(root: Path, parts: list[str]) -> set[str]:
    """Return the same of the tables over all models and phases, and of what the report over them counts."""
    values, texts = read(root / "report", pages=True)
    found = texts | sizes(root) | set[str]().union(*(known(root / part) for part in parts))
    for value in (*values, *counted(root, parts)):
        found |= spellings(value)
    return found


def counted(root: Path, parts: list[str]) -> Iterator[float]:
    """Yield what the report over models and phases counts and divides, worked out again from the result files."""
    of_part = {part: [json.loads(path.read_text()) for path in sorted((root / part).glob("*/sensitivity_stats.json"))]
               for part in parts}  # fmt: skip
    stats = [own for part in parts for own in of_part[part]]
    rankings = {(part, own["store"]["metric"]) for part in parts for own in of_part[part]}
    yield from (len(stats), len(parts), len(rankings), len({metric for _, metric in rankings}))
    yield from (len({part.split("/")[side] for part in parts}) for side in (0, 1))
    facts = [json.loads((root / part / "model.json").read_text()) for part in parts]
    yield sum({own["sha256"]: own["analysed"]["n_weights"] for own in facts}.values())
    laws: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    criteria, largest = [], []
    for part in parts:
        passes = {json.dumps(own["store"]["checks"]["laws"]) for own in of_part[part]}
        laws.update(law["status"] for one in passes for law in json.loads(one))
        criteria.append(pd.read_csv(root / part / "analysis" / "criteria.csv"))
        stability = pd.read_csv(root / part / "analysis" / "stability.csv")
        largest += stability.query("quantity == 'largest_k' and mode == 'global'")["value"].tolist()
        if (root / part / "interventions" / "verdict.csv").is_file():
            verdicts.update(pd.read_csv(root / part / "interventions" / "verdict.csv")["verdict"])
    yield from (laws["passed"], laws["failed"], laws["not applicable"], laws["passed"] + laws["failed"])
    yield from (*verdicts.values(), sum(verdicts.values()), len(largest), sum(k > 0 for k in largest))
    whole = pd.concat([*criteria, pd.read_csv(root / "report" / "criteria.csv")])
    outcomes = Counter(whole["verdict"])
    yield from (*outcomes.values(), len(whole), whole["name"].nunique())
    long = (len(parts), outcomes["fail"], sum(k > 0 for k in largest), sum(verdicts.values()))
    yield from (n - SHOWN for n in long if n > SHOWN)
    phases = pd.read_csv(root / "report" / "phases.csv").query("quantity == 'determinism'")
    equal = phases["value"].dropna()
    yield from (len(phases), len(equal), len(phases) - len(equal), (equal == 1).sum(), (equal == 0).sum())
    models = pd.read_csv(root / "report" / "models.csv").query("name != 'all'")
    yield len(models.dropna(subset=["q"]).groupby(["phase", "metric", "a", "b", "scope", "name"]))
    clusters = pd.read_csv(root / "report" / "clusters.csv").dropna(subset=["p"])
    yield from (len(own := clusters.drop_duplicates(["phase", "model", "metric"])), (own["p"] < 0.01 / len(own)).sum())
    components: Counter[str] = Counter()
    for part in parts:
        concentration = pd.read_csv(root / part / "analysis" / "concentration.csv")
        shares = concentration.query("scope == 'component' and quantity == 'score_share'")
        components.update(shares.loc[shares.groupby("metric")["value"].idxmax(), "name"])
        held = concentration.query("scope == 'component'").pivot(
            columns="quantity", index=["metric", "name"], values="value"
        )
        yield from held["score_share"] / held["weight_share"]
    yield from components.values()


def sizes(root: Path) -> set[str]:
    """Return the spellings of what a page on files tells: rows of tables, bytes of files and figures, their numbers."""
    found = {number for table in DESCRIBED for number in NUMBER.findall(table.population)}
    figures: Counter[Path] = Counter()
    kinds: Counter[tuple[str, ...]] = Counter()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        figure, ending = path.parent.name == "plots", path.suffix
        page = path.parent.name == "report" and ending != ".csv"
        if not page:
            varies = path.name == "experiment_manifest.json"
            figures[path.with_suffix("") if figure else path] += 0 if varies else path.stat().st_size
        if ending == ".csv" and not figure:
            with path.open(newline="") as file:
                found |= spellings(len(list(csv.reader(file))) - 1)
        own_kind = path.name if path.name == "top_weights.csv" or (ending == ".json" and not page) else ""
        kinds.update([("all",), (ending, "figure" if figure else "page" if page else own_kind)])
    for n in kinds.values():
        found |= spellings(n)
    for size in (*figures.values(), sum(figures.values())):
        scale = next(scale for scale in (1, 1e3, 1e6, 1e9) if size / scale < 999.5)
        found.add(f"{size / scale:.3g}")
    return found
