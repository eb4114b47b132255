"""Finds the numbers of a report's pages again in the result files that it was made from."""

from __future__ import annotations

import csv
import html
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from critical_weights.metrics import METRICS

NUMBER = re.compile(r"(?<![\w.,{-])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]|[.,]\d)")
"""A number that stands alone: not part of a name, a hash, a version or a code point."""
WORDS = {"0", "1", "2", "5", "95", "0.01", "1e-300"}
"""Numbers in the fixed words of captions, headings, notes and thresholds of the report's own."""


def told(page: str) -> Iterator[tuple[str, str]]:
    """Yield the numbers of a page, each with the words around it; times, machine, code and addresses are left out."""
    page = re.sub(r"<!-- times -->.*?<!-- /times -->", " ", page, flags=re.DOTALL)
    page = re.sub(r"<(style|script|title)>.*?</\1>", " ", page, flags=re.DOTALL)
    page = re.sub(r"<[^>]*>", lambda tag: " ".join(["", *re.findall(r'data-tip="([^"]*)"', tag[0]), ""]), page)
    page = re.sub(r"\]\([^)]*\)|\b[0-9a-f]{16,}\b", " ", html.unescape(page))
    for found in NUMBER.finditer(page):
        yield found[0], " ".join(page[max(0, found.start() - 60) : found.end() + 40].split())


def known(folder: Path) -> set[str]:
    """Return every spelling of the numbers in a model's result files, and of what the report works out from them."""
    values, spelled = read(folder)
    found = spelled | WORDS
    for metric in METRICS.values():
        found |= set(NUMBER.findall(" ".join((metric.source, metric.units, metric.normalisation))))
    for value in (*values, *derived(folder)):
        found |= spellings(value)
    return found


def read(folder: Path, *, pages: bool = False) -> tuple[list[float], set[str]]:
    """Return the numbers of all CSV and JSON files but the report's own, and those inside their texts as spelled.

    With ``pages`` the folder is that of a report: its tables are read, its own JSON is not.
    """
    values: list[float] = []
    texts: set[str] = set()

    def take(value: Any) -> None:
        if isinstance(value, dict | list):
            values.append(len(value))
            for inner in value.items() if isinstance(value, dict) else value:
                take(list(inner) if isinstance(inner, tuple) else inner)
        elif isinstance(value, str):
            texts.update(NUMBER.findall(value))
            with suppress(ValueError):
                values.append(float(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            values.append(value)

    for path in sorted(folder.rglob("*")):
        if "report" in path.relative_to(folder).parts:
            continue
        if path.suffix == ".json" and not pages:
            take(json.loads(path.read_text()))
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                for row in csv.reader(file):
                    for field in row:
                        take(field)
    return values, texts


def derived(folder: Path) -> Iterator[float]:
    """Yield what the report works out from result files, worked out again in another way."""
    model = json.loads((folder / "model.json").read_text())
    for key in ("n_weights", "n_tensors"):
        yield model["analysed"][key] / model[key]
    for path in folder.glob("*/sensitivity_stats.json"):
        stats, ranking = json.loads(path.read_text()), pd.read_csv(path.parent / "top_weights.csv")
        overall, selection = stats["overall"], stats["selection"]
        n, total = overall["num_weights"], overall["num_weights"] * overall["mean"]
        yield from (selection["num_weights"] / n, selection["share_of_score"] / (selection["num_weights"] / n))
        yield from (overall["max"] / overall["mean"], overall["max"] / overall["median"], overall["zero_fraction"] * n)
        for column in ("component", "layer"):
            for _, part in ranking.groupby(column, dropna=False):
                yield part["sensitivity_score"].sum() / total
        for tensors in _cells(stats["tensors"].values()):
            held = sum(t["selected"] for t in tensors) / selection["num_weights"]
            yield held / (sum(t["num_weights"] for t in tensors) / n)
    analysis = folder / "analysis"
    for part in pd.read_csv(analysis / "sensitivity_table.csv").query("scope == 'tensor'").to_dict("records"):
        yield part["share"] / part["weight_share"]
    tokens = pd.read_csv(analysis / "tokens.csv", keep_default_na=False)
    for _, part in tokens.groupby("selection"):
        for rows in (part, part[part["special"] != ""], part[part["unseen"]]):
            yield from (len(rows), rows["selected"].sum(), rows["share"].sum(), rows["score_share"].sum())
    for _, part in pd.read_csv(analysis / "weight_stability.csv").groupby("metric"):
        ordered = sorted(part["probability"])
        yield from (median(ordered), ordered[0], sum(p >= 0.95 for p in ordered), len(ordered))
    largest = pd.read_csv(analysis / "spike_profile.csv").query("round == 1")["max_output"].tolist()
    for place, value in enumerate(largest):
        yield value / median(largest[:place] + largest[place + 1 :])
        yield value / (largest[place + 1] if place + 1 < len(largest) else largest[place - 1])
    for lines in pd.read_csv(analysis / "structure.csv").query("quantity.str.startswith('line_')").to_dict("records"):
        yield round(lines["value"] * lines["n"])


def _cells(tensors: Any) -> list[list[dict[str, Any]]]:
    places: dict[Any, list[dict[str, Any]]] = {}
    for tensor in tensors:
        places.setdefault((tensor["layer"], tensor["component"]), []).append(tensor)
    return list(places.values())


def spellings(value: float) -> set[str]:
    """Return how a page may spell a number: as a count, with 2 to 6 digits, as a percentage."""
    if not math.isfinite(value):
        return set()
    found = {f"{value:.{digits}g}" for digits in (2, 3, 4, 6)} | {f"{100 * value:.3g}"}
    if 0.9995 <= value < 1:  # told with as many digits as keep it apart from all
        found |= {f"{100 * value:.{digits}g}" for digits in range(4, 17)}
    if abs(value) >= 1000:
        found |= {f"{float(f'{value:.{digits}g}'):,.0f}" for digits in (2, 3, 4)}
    if math.isclose(value, round(value), abs_tol=1e-9):
        found |= {f"{round(value):,}", str(round(value))}
    return found
