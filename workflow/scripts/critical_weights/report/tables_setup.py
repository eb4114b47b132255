"""The tables on what went in: experiments, settings, model, texts, metrics, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .sheet import CODE, MODE_WORDS, NUMBER, TEXT, Table, named, or_dash


def experiments(runs: Mapping[str, Any]) -> Table:
    """One row an experiment: what was selected."""
    rows = [
        [label, run["metric"], MODE_WORDS[run["mode"]], show.count(run["k"]),
         show.count(run["selection"]["num_weights"]), show.count(run["selection"]["num_tensors"])]
        for label, run in runs.items()
    ]  # fmt: skip
    columns = (("experiment", CODE), ("metric", CODE), ("selects", TEXT), ("k", NUMBER), ("weights selected", NUMBER),
               ("tensors they lie in", NUMBER))  # fmt: skip
    return Table("Experiments", columns, rows)


_IN_PATH = ("experiment", "phase", "model", "metric", "mode", "k")


def settings(runs: Mapping[str, Any]) -> Table:
    """The settings of the experiments' config files but what their path says; where they differ, each one's value."""
    flat = {label: dict(_flatten(run["config"])) for label, run in runs.items()}
    names = dict.fromkeys(name for entries in flat.values() for name in entries if name not in _IN_PATH)
    rows = []
    for name in names:
        labels: dict[str, list[str]] = {}
        for label, entries in flat.items():
            labels.setdefault(entries.get(name, "not set"), []).append(label)
        values = [value if len(labels) == 1 else f"{value} ({', '.join(own)})" for value, own in labels.items()]
        rows.append([name, "; ".join(values)])
    note = "From the experiments' config.json."
    if "phase.max_length" in names:
        note += " phase.max_length is what was asked for; a model that takes less has its texts cut to that (Texts)."
    return Table("Settings", (("setting", CODE), ("value", TEXT)), rows, note)


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            pair for key, inner in value.items() for pair in _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value) or "none")]
    return [(prefix, "none" if value is None else show.yes_no(value) if isinstance(value, bool) else str(value))]


def model(facts: Mapping[str, Any]) -> Table:
    """The model, and how much of it is analysed."""
    analysed = facts["analysed"]

    def part(key: str) -> str:
        return f"{show.count(analysed[key])} of {show.count(facts[key])} ({show.share(analysed[key] / facts[key])})"

    def known(key: str) -> str:
        return show.UNKNOWN if facts.get(key) is None else str(facts[key])

    return named("The model", [
        ("name", facts["model"]),
        ("source", f"{facts['repo']} (hub)" if facts.get("repo") else facts["source"]),
        ("revision (commit)", facts["revision"] if facts.get("revision") else "none: not from the hub"),
        ("checkpoint", known("checkpoint")),
        ("architecture", known("architecture")),
        ("dtype of the checkpoint", known("checkpoint_dtype")),
        ("transformer blocks", known("n_layers")),
        ("hidden size", known("hidden_size")),
        ("MLP size", known("intermediate_size")),
        ("attention heads (key-value heads)", f"{known('n_heads')} ({known('n_kv_heads')})"),
        ("vocabulary", show.count(facts.get("vocab_size"))),
        ("longest text that it takes (tokens)", known("max_positions")),
        ("parameter tensors analysed", part("n_tensors")),
        ("weights analysed", part("n_weights")),
        ("1-D tensors (norms, biases)", "analysed" if analysed["include_1d"] else "left out"),
        ("SHA-256 over its files", facts["sha256"]),
    ], "Tensors that share storage are counted once.")  # fmt: skip


def components(facts: Mapping[str, Any]) -> Table:
    """The model's tensors by component."""
    rows = [
        [name, show.count(c["n_tensors"]), " ".join("x".join(str(n) for n in shape) for shape in c["shapes"]),
         show.count(c["n_weights"]), show.count(c["analysed_weights"]), ", ".join(c["tied_to"]) or "-"]
        for name, c in facts["components"].items()
    ]  # fmt: skip
    columns = (("component", CODE), ("tensors", NUMBER), ("shapes (storage order)", TEXT), ("weights", NUMBER),
               ("analysed weights", NUMBER), ("shares storage with", TEXT))  # fmt: skip
    note = "Population: all parameter tensors of the model."
    if any(c["tied_to"] for c in facts["components"].values()):
        note += " Of a shared tensor gradients add up both uses; activation metrics know the embedding's input alone."
    return Table("Components", columns, rows, note)


def texts(facts: Mapping[str, Any], study: Mapping[str, Any] | None = None) -> Table:
    """What was read, dropped, drawn and cut, for both sets of texts.

    Args:
        facts: on the texts.
        study: all facts, which know what length was asked for and how many texts the interventions used.

    """
    labels = (
        ("source", "source"), ("texts used", "n_texts"), ("tokens", "n_tokens"), ("predicted tokens", "n_predicted"),
        ("lines read", "n_read"), ("blank, dropped", "n_blank"), ("under two tokens, dropped", "n_too_short"),
        ("not drawn (beyond max_samples)", "n_not_drawn"), ("cut, being longer", "n_cut"),
        ("duplicates, kept", "n_duplicates"),
    )  # fmt: skip
    both = (facts["calibration"], facts["evaluation"])
    rows = [[label, *(_count_or_text(part.get(key)) for part in both)] for label, key in labels]
    if study:
        rows.append(["texts used by interventions", show.MISSING, _count_or_text(_intervened(study["validation"]))])
    if shared := passages(facts):
        rows.append([f"texts {shared[0]}", show.MISSING, shared[1]])
    rows.append(["tokens a text: least, median, most",
                 *(", ".join(show.real(part["lengths"][key]) for key in ("min", "median", "max"))
                   for part in both)])  # fmt: skip
    rows.append(["SHA-256 of the texts", *(show.short_hash(part["sha256"]) for part in both)])
    length = longest(study) if study else show.count(facts["max_length"])
    note = f"At most {facts['max_samples']:,} texts of at most {length} tokens each; seed {facts['seed']}."
    return Table("Texts", (("", TEXT), ("calibration", NUMBER), ("evaluation", NUMBER)), rows, note)


def longest(study: Mapping[str, Any]) -> str:
    """Return the tokens that a text has at most, and where more were asked for than the model takes, how many."""
    used = study["texts"]["max_length"]
    asked = {run["config"].get("phase", {}).get("max_length") for run in study["experiments"].values()} - {None, used}
    why = ["the model's limit"] if asked and study["model"].get("max_positions") == used else []
    why += [f"{show.listed([show.count(n) for n in sorted(asked)])} asked for"] if asked else []
    return show.count(used) + (f" ({'; '.join(why)})" if why else "")


def _intervened(validation: Mapping[str, Any] | None) -> int | None:
    own = validation["unchanged"] if validation else {"n_texts": 0}
    return own["n_texts"] if own else None


def passages(facts: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return, in words, how many evaluation texts have a passage of a calibration text; None where it is not recorded.

    An evaluation text that is a calibration text was refused before.
    """
    known = facts.get("overlap")
    return known and (f"with {known['run']} tokens in a row of a calibration text", show.count(known["texts"]))


def _count_or_text(value: Any) -> str:
    return show.count(value) if isinstance(value, int) else show.UNKNOWN if value is None else str(value)


def loss(losses: list[Mapping[str, Any]]) -> Table:
    """The corpus loss that the scoring passes saw."""
    rows = [[show.real(entry["value"], 6), show.count(entry["n_texts"]), show.count(entry["n_tokens"]),
             ", ".join(entry["metrics"])] for entry in losses]  # fmt: skip
    columns = (("corpus loss (nats per token)", NUMBER), ("texts", NUMBER), ("tokens", NUMBER), ("metrics", CODE))
    note = "Sum of next-token losses over the calibration texts, divided by the number of predicted tokens."
    return Table("Corpus loss", columns, rows, note)


def definitions(metrics: Mapping[str, Any]) -> Table:
    """The metrics: definition, unit, what is averaged, source."""
    rows = [[name, metric["path_name"], metric["definition"], metric["units"], metric["normalisation"],
             metric["source"]] for name, metric in metrics.items()]  # fmt: skip
    columns = (("metric", CODE), ("in paths", CODE), ("score of one weight w", TEXT), ("unit", TEXT),
               ("averaged over", TEXT), ("source", TEXT))  # fmt: skip
    return Table("Metrics", columns, rows, "Every score is at least 0; larger means more critical by that metric.")


def provenance(facts: Mapping[str, Any]) -> Table:
    """What the scores were made from and with."""
    rows = []
    for name, metric in facts["metrics"].items():
        store = metric["store"]
        versions = ", ".join(f"{package} {version}" for package, version in (store.get("versions") or {}).items())
        rows.append([name, or_dash(store.get("model_dtype")), or_dash(store.get("accumulator_dtype")),
                     or_dash(store.get("seed")), show.short_hash(store.get("calibration_sha256")),
                     versions or show.UNKNOWN])  # fmt: skip
    columns = (("metric", CODE), ("model dtype", TEXT), ("accumulators", TEXT), ("seed", NUMBER),
               ("SHA-256 of the token ids", TEXT), ("versions at scoring", TEXT))  # fmt: skip
    return Table(
        "Provenance of the scores", columns, rows, f"SHA-256 of the model's files: {facts['model']['sha256']}."
    )
