"""The tables on what the comparisons over all experiments say, and on what failed of them and of the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .sheet import CODE, NUMBER, TEXT, Table, or_dash
from .study_facts import failures
from .study_findings_across import all_see

Known = Mapping[str, Any] | None


def _rows(known: Known) -> list[Mapping[str, Any]]:
    return known["rows"] if known else []


def _note(known: Known, words: str) -> str:
    if known is None:
        return "This comparison was not made."
    return words if known["rows"] else f"Why there is none: {known['reason']}."


def phases(known: Known) -> Table:
    """Pairs of phases: whether their scores are the same."""
    rows = [
        [row["model"], row["metric"], row["a"], row["b"], row["verdict"], show.count(row["tensors"]),
         show.count(_whole(row["differing"])), show.real(row["largest_difference"]),
         f"{show.count(_whole(row['same_order']))} of {show.count(row['of'])}",
         "-" if row["k"] is None else f"{show.real(row['jaccard'], 3)} (k {show.count(row['k'])})"]
        for row in _rows(known)
    ]  # fmt: skip
    columns = (("model", CODE), ("metric", CODE), ("a", CODE), ("b", CODE), ("outcome", TEXT), *((n, NUMBER) for n in (
        "tensors compared", "tensors that differ", "largest difference", "first weights in the same order",
        "Jaccard index of the first")))  # fmt: skip
    return Table(
        "Phases beside each other",
        columns,
        rows,
        _note(known, "Every number that both stores keep. Only phases of equal settings are a check of determinism."),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def models(known: Known) -> Table:
    """Where the first weights of two models lie."""
    rows = [
        [row["phase"], row["metric"], row["a"], row["b"], row["scope"], row["name"], show.count(row["k"]),
         show.share(row["share_a"]), show.share(row["expected_a"]), show.share(row["share_b"]),
         show.share(row["expected_b"]), *(show.chance(row[f"q_{unit}"]) for unit in ("weights", "lines", "tensors")),
         show.yes_no(all_see(row))]
        for row in _rows(known)
    ]  # fmt: skip
    columns = (("phase", CODE), ("metric", CODE), ("a", CODE), ("b", CODE), ("by", TEXT), ("place", CODE),
               *((n, NUMBER) for n in ("k", "a's selection", "a's weights", "b's selection", "b's weights",
                                       "q of weights", "q of lines", "q of tensors")),
               ("all three see it", TEXT))  # fmt: skip
    return Table("Models beside each other", columns, rows, _note(
        known, "Shares of the first k weights over all tensors, beside the place's share of all weights. Depth: fifths "
        "of the blocks, from the first. A q not below a hundredth shows no difference; of so few tensors "
        "that no permutation is so rare, none can be shown."))  # fmt: skip


def tasks(known: Known) -> Table:
    """Phases of other texts: the first weights they share."""
    rows = [
        [row["model"], row["metric"], row["a"], row["b"], show.count(row["k"]), show.count(row["shared"]),
         show.count(row["only"]), show.real(row["jaccard"], 3), show.real(row["expected"], 3), show.chance(row["p"])]
        for row in _rows(known)
    ]  # fmt: skip
    columns = (("model", CODE), ("metric", CODE), ("a", CODE), ("b", CODE), *((n, NUMBER) for n in (
        "k", "shared weights", "of one alone", "Jaccard index", "shared by chance", "p")))  # fmt: skip
    return Table(
        "Phases of other texts",
        columns,
        rows,
        _note(known, "Shared by chance and p: two independent draws of k from all weights, which top weights are not."),
    )


def checkpoints(known: Known) -> Table:
    """Checkpoints of a training run beside its last one."""
    rows = [
        [row["phase"], row["run"], row["metric"], row["model"], show.count(row["step"]) if row["step"] is not None else
         "-", show.count(row["k"]), show.count(row["shared"]), show.share(row["share"]), show.count(row["settled"]),
         show.real(row["expected"], 3), show.real(row["expected_by_tensor"], 3), show.chance(row["p_by_tensor"]),
         show.real(row["loss"])]
        for row in _rows(known)
    ]  # fmt: skip
    columns = (("phase", CODE), ("run", CODE), ("metric", CODE), ("checkpoint", CODE), *((n, NUMBER) for n in (
        "step", "k", "shared with the last", "of k", "settled", "by chance", "by agreeing on tensors alone",
        "p of that", "loss (nats per token)")))  # fmt: skip
    return Table(
        "Checkpoints of a training run",
        columns,
        rows,
        _note(known, "Settled: in this and all later checkpoints. Loss on the calibration texts."),
    )


def clusters(known: Known) -> Table:
    """Kinds of blocks."""
    rows = [
        [row["phase"], row["model"], row["metric"], show.count(row["clusters"]),
         " ".join(str(kind) for kind in row["cluster_of_block"]), show.real(row["mean_silhouette"], 3),
         "-" if row["p"] is None else show.chance(row["p"]), show.count(row["n"])]
        for row in _rows(known)
    ]  # fmt: skip
    columns = (("phase", CODE), ("model", CODE), ("metric", CODE), ("kinds", NUMBER), ("kind of each block", TEXT),
               ("mean silhouette", NUMBER), ("p", NUMBER), ("blocks", NUMBER))  # fmt: skip
    return Table(
        "Kinds of blocks",
        columns,
        rows,
        _note(
            known,
            "By score profile, standardised over the blocks. Some grouping comes out of any blocks: p says whether "
            "it is clearer than blocks without kinds would give.",
        ),
    )


def failed(facts: Mapping[str, Any]) -> Table:
    """What failed: criteria, laws, rehearsals, equal phases."""
    rows = [[one["what"], one["where"], one["name"], one["figure"], one["asked"], one["file"]]
            for one in failures(facts)]  # fmt: skip
    columns = (("what", TEXT), ("where", CODE), ("name", TEXT), ("figure", NUMBER), ("asked for", NUMBER),
               ("told by", CODE))  # fmt: skip
    note = "Criteria that failed, conservation laws, rehearsals, and phases of equal settings with other results. What "
    note += "could not be judged has not passed: see Criteria and Self-checks."
    return Table("What failed", columns, rows, note)


def settings(run: Mapping[str, Any], part: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings of one experiment as lines of the report: name and value."""
    metric = part["metrics"][run["metric"]]
    texts = metric["store"].get("n_texts")
    return [
        ("Model", f"{part['model']['model']} ({or_dash(part['model'].get('architecture'))})"),
        ("Phase", part["phase"]),
        ("Metric", run["metric"]),
        ("Top-K", show.count(run["k"])),
        ("Mode", run["mode"]),
        ("Texts", show.count(texts) if texts else "none: this metric reads no text"),
        ("Seed", or_dash(metric["store"].get("seed"))),
        ("Dtype", or_dash(metric["store"].get("model_dtype"))),
        ("Selected", f"{show.count(run['selection']['num_weights'])} of "
                     f"{show.count(metric['overall']['num_weights'])} scored weights, with "
                     f"{show.share(run['selection']['share_of_score'])} of their total score"),
    ]  # fmt: skip
