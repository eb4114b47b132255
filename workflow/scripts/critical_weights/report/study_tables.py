"""The tables over models and phases: what went in, and what came out, one row a phase, model and metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .sheet import CODE, MODE_WORDS, NUMBER, TEXT, Table, or_dash
from .study_facts import checkpoint, first_percent, leader, noise_of_probes

_WHERE = ("phase and model", CODE)


def parts(facts: Mapping[str, Any]) -> Table:
    """One row a phase and model: model, settings, texts, loss."""
    rows = []
    for name, part in facts["parts"].items():
        model, texts = part["model"], part["texts"]["calibration"]
        losses = dict.fromkeys(show.real(loss["value"], 6) for loss in part["corpus_loss"])
        analysed = model["analysed"]
        rows.append([
            name, model.get("architecture") or show.UNKNOWN, checkpoint(model), show.count(model.get("n_layers")),
            show.count(analysed["n_weights"]), show.share(analysed["n_weights"] / model["n_weights"]),
            show.count(analysed["n_tensors"]), show.count(texts["n_texts"]),
            show.count(texts["n_texts"] - texts["n_duplicates"]), show.count(texts["n_predicted"]),
            or_dash(part["texts"]["seed"]), ", ".join(losses) or "-",
            show.count(len(part["experiments"])), facts["repeats"].get(name, "-"),
        ])  # fmt: skip
    columns = (_WHERE, ("architecture", CODE), ("checkpoint", TEXT), *((n, NUMBER) for n in (
        "blocks", "weights scored", "of all weights", "tensors", "texts", "different texts", "predicted tokens", "seed",
        "corpus loss (nats per token)", "experiments")),
        ("same model, calibration texts and seed as", CODE))  # fmt: skip
    note = "Corpus loss: sum of next-token losses over all calibration texts, divided by all predicted tokens; of each "
    note += "scoring pass whose last digits differ. Tensors that share storage are counted once."
    return Table("Models and phases", columns, rows, note)


def experiments(facts: Mapping[str, Any]) -> Table:
    """One row an experiment: its settings, and how much its selection holds."""
    rows = []
    for name, part in facts["parts"].items():
        for label, run in part["experiments"].items():
            metric, selection = part["metrics"][run["metric"]], run["selection"]
            of_weights, of_score = _shares(selection, metric)
            rows.append([
                name, label, run["metric"], run["mode"], show.count(run["k"]), texts_read(part, run["metric"]),
                or_dash(metric["store"].get("seed")), or_dash(metric["store"].get("model_dtype")),
                show.count(selection["num_weights"]), show.share(of_weights), show.share(of_score),
                show.MISSING if of_score is None or not of_weights else show.real(of_score / of_weights),
            ])  # fmt: skip
    columns = (_WHERE, ("experiment", CODE), ("metric", CODE), ("mode", CODE), ("k", NUMBER), ("texts", NUMBER),
               ("seed", NUMBER), ("dtype", TEXT), *((n, NUMBER) for n in (
                   "weights selected", "of all scored weights", "of the total score",
                   "score share / weight share")))  # fmt: skip
    note = "; ".join(f"{mode}: {words}" for mode, words in MODE_WORDS.items())
    note += ". Texts: those that the metric read. Shares are of all scored weights."
    return Table("Experiments", columns, rows, note)


def texts_read(part: Mapping[str, Any], metric: str) -> str:
    """Return how many texts a metric read; none for one that reads no text."""
    return show.count(part["metrics"][metric]["store"].get("n_texts") or 0)


def _shares(selection: Mapping[str, Any], metric: Mapping[str, Any]) -> tuple[float, float | None]:
    return selection["num_weights"] / metric["overall"]["num_weights"], selection["share_of_score"]


def definitions(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of all phases and models, each once."""
    return {name: metric for part in facts["parts"].values() for name, metric in part["metrics"].items()}


def distribution(facts: Mapping[str, Any]) -> Table:
    """The distribution of each metric's scores over all weights."""
    rows = []
    for name, metric, own in _metrics(facts):
        o = own["overall"]
        rows.append([name, metric, own["units"], show.count(o["num_weights"]), *(show.real(o[key]) for key in (
            "max", "mean", "std", "median", "p95", "p99", "min", "max_over_mean")), show.share(o["zero_fraction"]),
            "exact" if own["quantiles"]["method"] == "exact" else
            f"to {show.share(own['quantiles']['relative_error'])}"])  # fmt: skip
    columns = (_WHERE, ("metric", CODE), ("unit", TEXT), *((n, NUMBER) for n in (
        "weights", "max", "mean", "std", "median", "p95", "p99", "min", "max / mean", "zeros")),
        ("quantiles", TEXT))  # fmt: skip
    note = "Population: all scored weights; std with n in the denominator. Scores of two metrics have different units."
    return Table("Distribution over all weights", columns, rows, note + noise_of_probes(facts))


def concentration(facts: Mapping[str, Any]) -> Table:
    """How unequally each metric's score is spread, and which component holds the largest part."""
    rows, at = [], None
    for name, metric, own in _metrics(facts):
        known = own["concentration"] or {}
        first, gini, most = first_percent(known), known.get("gini"), leader(known)
        at = first["at"] if first else at
        rows.append([
            name, metric, show.count(own["overall"]["num_weights"]), show.real(own["overall"]["max_over_mean"]),
            _bounded(gini, show.bounded), _bounded(first, show.bounded_share),
            *([most[0], show.share(most[1]["score_share"]), show.share(most[1]["weight_share"])] if most else
              [show.MISSING] * 3),
        ])  # fmt: skip
    columns = (_WHERE, ("metric", CODE), *((n, NUMBER) for n in (
        "weights", "max / mean", "Gini coefficient", f"first {show.share(at)} hold" if at else "the first hold")),
        ("largest component", CODE), ("of the total score", NUMBER), ("of the weights", NUMBER))  # fmt: skip
    note = "Population: all scored weights, selected or not. In brackets: bounds, where a histogram stands in for the "
    note += "scores."
    return Table("Concentration", columns, rows, note + noise_of_probes(facts))


def _bounded(figure: Mapping[str, Any] | None, form: Any) -> str:
    return show.MISSING if figure is None else form(figure["value"], figure["low"], figure["high"])


def _metrics(facts: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [(name, metric, own) for name, part in facts["parts"].items() for metric, own in part["metrics"].items()]


def best(facts: Mapping[str, Any]) -> Table:
    """The first weight of each metric."""
    rows = []
    for name, metric, own in _metrics(facts):
        if not own["top"]:
            continue
        first = own["top"][0]
        rows.append([name, metric, first["parameter"], or_dash(first["row"]), or_dash(first["col"]),
                     show.token(first["token"]) if first["token"] else "-", show.real(first["sensitivity_score"], 6),
                     own["units"], show.real(own["overall"]["max_over_median"]),
                     "all weights" if own["top_exact"] else own["top_of"]])  # fmt: skip
    columns = (
        _WHERE,
        ("metric", CODE),
        ("tensor", CODE),
        ("row", NUMBER),
        ("col", NUMBER),
        ("token", CODE),
        ("score", NUMBER),
        ("unit", TEXT),
        ("largest score / median of all", NUMBER),
        ("first of", TEXT),
    )
    note = "Row is the output and col the input index."
    return Table("First weight of each metric", columns, rows, note + noise_of_probes(facts))


def overlap(facts: Mapping[str, Any]) -> Table:
    """Share of the first weights that two metrics have in common, one column a phase and model."""
    pairs: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    ks: dict[str, str] = {}
    for name, part in facts["parts"].items():
        for row in part["overlap"]["global"]:
            pairs.setdefault((row["a"], row["b"]), {})[name] = row
            ks[name] = row["k"]
    rows = [[a, b, *(_shared(own.get(name)) for name in ks)] for (a, b), own in pairs.items()]
    columns = (("a", CODE), ("b", CODE), *((f"{name}, k {int(k):,}", NUMBER) for name, k in ks.items()))
    note = "The first k weights of each metric over all tensors; shared weights, of k, and what two independent draws "
    note += "would share."
    if any(not row["complete"] for own in pairs.values() for row in own.values()):
        note += " At least: the lists are too short to answer it exactly."
    return Table("Overlap between metrics", columns, rows, note)


def _shared(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    chance = "" if row["expected"] is None else f", by chance {show.real(row['expected'], 2)}"
    return f"{'' if row['complete'] else 'at least '}{show.count(row['shared'])} ({show.share(row['share'])}{chance})"
