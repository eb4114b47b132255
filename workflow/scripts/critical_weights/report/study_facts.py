"""What findings and tables over models and phases pick out of the facts, and the words that several of them need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..metrics import METRICS
from .facts_judged import ABOVE
from .finding import SHOWN, is_estimate
from .sheet import or_dash
from .show import count, listed, plural, real

NOT_APPLICABLE = "not applicable"
"""Begins the reason why something was not measured where there is nothing to measure."""
SAME_TEXTS = "the same texts"
"""Stands in the note on an overlap between seeds whose texts do not differ."""
ESTIMATES = "estimates from random probes, whose noise can make scores look more peaked than they are"
"""What scores from random probes are, in words for findings, tables and limits."""


def first_percent(known: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the share that the first weights hold, at the fraction nearest to a hundredth; None without a table."""
    figures = [figure for figure in (known or {}).get("top_share") or [] if figure["value"] is not None]
    return min(figures, key=lambda figure: abs(figure["at"] - 0.01), default=None)


def leader(known: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]] | None:
    """Return the component with the largest part of a metric's total score; None without a table."""
    held = {name: own for name, own in ((known or {}).get("by_component") or {}).items() if own.get("score_share")}
    return max(held.items(), key=lambda item: item[1]["score_share"], default=None)


def judged(facts: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return every declared criterion with its outcome, and what it was judged on: a phase and model, or all."""
    of_parts = [(name, row) for name, part in facts["parts"].items() if part["criteria"]
                for row in part["criteria"]["rows"]]  # fmt: skip
    over_all = facts["across"]["criteria"]
    return of_parts + [("all experiments", row) for row in (over_all["rows"] if over_all else [])]


def spikes(known: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the super weights that make an activation spike; published ones that make none are left out."""
    return [weight for weight in known["weights"] if weight["class"]]


def estimates(facts: Mapping[str, Any]) -> list[str]:
    """Return the metrics whose scores are estimates from random probes."""
    return list(dict.fromkeys(name for part in facts["parts"].values() for name, metric in part["metrics"].items()
                              if is_estimate(metric)))  # fmt: skip


def noise_of_probes(facts: Mapping[str, Any]) -> str:
    """Say which metrics are estimates where a table tells how peaked scores are; nothing where none is."""
    names = estimates(facts)
    if not names:
        return ""
    text = f" Scores by {listed(names)} are {ESTIMATES}"
    for name in names:
        if clipped := METRICS[name].clipped:
            text += f"; of {name}, {clipped} count as 0, which lowers its median"
    return f"{text}."


def spike_kinds(found: list[Mapping[str, Any]]) -> str:
    """Say how many of these spikes are of each kind."""
    return listed([f"{count(n)} {kind}" for kind, n in sorted(Counter(weight["class"] for weight in found).items())])


def texts_not_drawn_again(facts: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the metrics of which nothing says how other texts would change the ranking, though they read texts.

    First those of which the probes alone were drawn again, then those of which nothing was.
    """
    known = [part["stability"] for part in facts["parts"].values() if part["stability"]]
    by_seeds = {row["metric"] for own in known for row in own["overlaps"]
                if row["method"] == "seeds" and SAME_TEXTS not in (row["note"] or "")}  # fmt: skip
    probes = {row["metric"] for own in known for row in own["verdicts"] if row["method"] == "probes"}
    nothing = {row["metric"] for own in known for row in own["not_measured"]
               if row["what"] == "resampling" and not row["reason"].startswith(NOT_APPLICABLE)}  # fmt: skip
    return sorted(probes - by_seeds), sorted(nothing - by_seeds)


def tried_k(row: Mapping[str, Any]) -> str:
    """Return the range of k over which a ranking's first weights were changed."""
    return " to ".join(dict.fromkeys((count(row["k_low"]), count(row["k_high"]))))


def not_above_at(row: Mapping[str, Any]) -> list[int]:
    """Return the k at which a ranking that is above controls in the mean over k is not; of others none is asked for."""
    return list(row["not_at"]) if row["verdict"] == ABOVE else []


def measured_again(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return those of ``repeats`` that have the evaluation texts of an earlier one too, and so its damage."""
    first: dict[tuple[str, str], str] = {}
    found: dict[str, str] = {}
    for name, original in facts["repeats"].items():
        for one in (original, name):
            earlier = first.setdefault((original, facts["parts"][one]["texts"]["evaluation_sha256"]), one)
            if earlier != one:
                found[one] = earlier
    return found


def again(facts: Mapping[str, Any], *, scores: bool = True, damage: bool = False) -> str:
    """Say which phases and models repeat another one, so that what is counted counts one piece of evidence twice.

    Args:
        facts: of all phases and models.
        scores: what is counted comes from scores, which hang on model, calibration texts and seed.
        damage: it comes from damage, which hangs on the evaluation texts too.

    """
    if not facts["repeats"]:
        return ""
    measured = measured_again(facts) if damage else {}
    told = [f"{name} repeats {first}" for name, first in measured.items()]
    if scores:
        but = " but for its evaluation texts" if damage else ""
        told += [f"{name} repeats {first}{but}" for name, first in facts["repeats"].items() if name not in measured]
    return f" Counted twice, which makes nothing surer: {some(told)}." if told else ""


def evidence(names: Iterable[str], file: str) -> list[str]:
    """Return a file of the first few of these phases and models; name those first that a sentence names."""
    return [f"{name}/{file}" for name in dict.fromkeys(names)][:SHOWN]


def as_many(rows: Sequence[Mapping[str, Any]], one: Mapping[str, Any]) -> str:
    """Say how many more pairs of metrics share as many weights as one of them does, in words that follow its own."""
    n = sum(row["shared"] == one["shared"] for row in rows) - 1
    return f", as {'does' if n == 1 else 'do'} {plural(n, 'more pair')}" if n else ""


def some(items: list[str], between: str = "") -> str:
    """Join the first few items as in a sentence, and say how many more there are."""
    shown = items[:SHOWN] + ([f"{count(len(items) - SHOWN)} more"] if len(items) > SHOWN else [])
    return between.join(shown) if between else listed(shown)


def failures(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what failed: ``what``, ``where``, ``name``, ``figure``, ``asked`` for, and the ``file`` that says so."""
    found = [
        _failure("criterion", where, row["name"], real(row["value"]), f"{row['test']} {row['threshold']}",
                 f"{where}/analysis/criteria.csv" if where in facts["parts"] else "report/criteria.csv")
        for where, row in judged(facts) if row["verdict"] == "fail"
    ]  # fmt: skip
    for where, part in facts["parts"].items():
        for check in part["checks"]:
            file = stats_file(where, part, check["metrics"][0])
            found += [
                _failure("conservation law", where, law["law"], real(law["error"], 2), f"<= {law['tolerance']}", file)
                for law in check["laws"] if law["status"] == "failed"
            ]  # fmt: skip
            rehearsal = check["rehearsal"] or {}
            if rehearsal.get("status") == "failed":
                found.append(_failure("rehearsal", where, listed(check["metrics"]),
                                      real(rehearsal.get("packing_error"), 2), f"<= {rehearsal.get('tolerance')}",
                                      file))  # fmt: skip
    for row in (facts["across"]["phases"] or {"rows": []})["rows"]:
        if row["equal"] is not None and not row["equal"]:
            found.append(_failure("equal phases", f"{row['a']}, {row['b']}", f"{row['metric']} of {row['model']}",
                                  row["verdict"], "deterministic", "report/phases.csv"))  # fmt: skip
    return found


def stats_file(where: str, part: Mapping[str, Any], metric: str) -> str:
    """Return the file, below the results, that holds the self-checks of a metric's scoring pass."""
    label = next(label for label, run in part["experiments"].items() if run["metric"] == metric)
    return f"{where}/{label}/sensitivity_stats.json"


def _failure(what: str, where: str, name: str, figure: str, asked: str, file: str) -> dict[str, str]:
    return {"what": what, "where": where, "name": name, "figure": figure, "asked": asked, "file": file}


def checkpoint(model: Mapping[str, Any]) -> str:
    """Return which checkpoint of a model it is: the commit of a download, or a step."""
    revision = model.get("revision")
    return f"commit {revision[:12]}" if revision else or_dash(model.get("checkpoint"))
