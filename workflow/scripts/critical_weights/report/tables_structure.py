"""The tables on where selected weights lie: lines, components, blocks, channels, neurons, tokens, super weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..significance import SIGNIFICANT
from . import show
from .sheet import CODE, NUMBER, TEXT, Table, or_dash

_LINES = (("lines_to_cover", "lines that hold all"), ("half_lines", "lines that hold half"),
          ("best_1_share", "in the best line"), ("best_5_share", "in the five best"))  # fmt: skip


def lines(known: Mapping[str, Any] | None) -> Table:
    """How far each selection lies in whole rows and columns, beside chance."""
    rows = []
    for label, own in (known["selections"] if known else {}).items():
        cells = [_beside(own.get(name), name) for name, _ in _LINES]
        together = show.count(own[_LINES[0][0]]["n"] if _LINES[0][0] in own else 0)
        rows.append([label, own["metric"], show.count(_whole(own.get("selected"))), together, *cells])
    columns = (("selection", CODE), ("metric", CODE), ("weights", NUMBER), ("sharing a tensor", NUMBER),
               *((words, NUMBER) for _, words in _LINES))  # fmt: skip
    note = ("Weights: selected ones with a score above 0. Lines are rows and columns of a tensor; what they hold is of "
            "the weights that share a tensor of two dimensions or more with others; shares are of the weights in it, "
            "means over tensors by weights. In brackets: as many weights of each tensor placed at random.")  # fmt: skip
    return Table("Selections as rows and columns", columns, rows, note)


def _beside(figure: Mapping[str, Any] | None, name: str) -> str:
    if figure is None:
        return "-"
    form = show.share if name.startswith("best") else show.real
    chance = "" if figure["expected"] is None else f" ({form(figure['expected'])})"
    return form(figure["value"]) + chance


def _whole(figure: Mapping[str, Any] | None) -> int | None:
    return None if figure is None else int(figure["value"])


def named_lines(known: Mapping[str, Any] | None) -> Table:
    """The lines that hold most of the global selections."""
    rows = [
        [row["selection"], row["name"], f"{row['line']} {row['index']}", or_dash(row["expert"]),
         show.count(row["held"]), show.share(row["value"]), show.share(row["expected"]), show.count(row["n"]),
         show.chance(row["p"])]
        for row in (known["lines"] if known else [])
    ]  # fmt: skip
    columns = (("selection", CODE), ("tensor", CODE), ("line", TEXT), *((n, NUMBER) for n in (
        "expert", "weights held", "share of the tensor's", "by chance", "selected in the tensor", "p")))  # fmt: skip
    note = "The five lines of each selection that hold most. Weights held: those that no line of its tensor above it "
    note += "holds; their share and chance likewise. p: that any line of the tensor holds as many at random, "
    note += "given for a tensor's best line."
    return Table("Lines that hold most", columns, rows, note)


def components(known: Mapping[str, Any] | None) -> Table:
    """The global selections by component."""
    return _places(known, "components", "component", "Global selections by component")


def layers(known: Mapping[str, Any] | None) -> Table:
    """The global selections by block, with their mean depth."""
    return _places(known, "layers", "block", "Global selections by block")


def _places(known: Mapping[str, Any] | None, part: str, heading: str, caption: str) -> Table:
    found = known[part] if known else []
    metrics = {row["selection"]: row["metric"] for row in found}
    places: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in found:
        name = row["name"] if row["layer"] is None else str(row["layer"])
        places.setdefault(name, {})[row["selection"]] = row
    groups = _populations(places, list(metrics))
    rows = [
        [name, *(_expected(by_selection.get(group[0])) for group in groups),
         *(_share(by_selection.get(label), len(found)) for label in metrics)]
        for name, by_selection in places.items()
    ]  # fmt: skip
    if part == "layers" and known:
        depth = {label: known["selections"][label].get("mean_depth") for label in metrics}
        model = [next((depth[label]["expected"] for label in group if depth[label]), None) for group in groups]
        cells = [*model, *(own and own["value"] for own in depth.values())]
        told = ["-" if value is None else show.real(value, 3) for value in cells]
        rows += [["mean depth in the blocks", *told]] if any(own for own in depth.values()) else []
    scored = [f"of the weights that {show.listed([metrics[label] for label in group])} score{'s' * (len(group) == 1)}"
              for group in groups]  # fmt: skip
    of_weights = scored if len(groups) > 1 else ["of the scored weights"]
    columns = ((heading, CODE), *((words, NUMBER) for words in (*of_weights, *(f"of {label}" for label in metrics))))
    note = (f"Shares of the selected weights with a score above 0. *: more than chance explains (hypergeometric, p "
            f"below {SIGNIFICANT} / {len(found)}; weights of a line are not independent).")  # fmt: skip
    note += " Depth: 0 the first block, 1 the last." if part == "layers" else ""
    return Table(caption, columns, rows, note)


def _populations(places: Mapping[str, Mapping[str, Mapping[str, Any]]], labels: list[str]) -> list[list[str]]:
    """Return the selections in groups that were taken from the same weights: those that their metrics score."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for label in labels:
        groups.setdefault(tuple(_expected(own.get(label)) for own in places.values()), []).append(label)
    return list(groups.values()) or [[]]


def _expected(row: Mapping[str, Any] | None) -> str:
    return "-" if row is None else show.share(row["expected"])


def _share(row: Mapping[str, Any] | None, n: int) -> str:
    if row is None:
        return "-"
    return show.share(row["value"]) + ("*" if row["p"] is not None and row["p"] < SIGNIFICANT / n else "")


def channels(known: Mapping[str, Any] | None) -> Table:
    """Residual channels that recur over blocks."""
    return _recurring(known, "channels", ("channel", "blocks"), "Residual channels that recur over blocks")


def neurons(known: Mapping[str, Any] | None) -> Table:
    """Neurons that recur over the tensors of their MLP."""
    return _recurring(known, "neurons", ("neuron", "tensors"), "Neurons that recur within their MLP")


def _recurring(known: Mapping[str, Any] | None, part: str, words: tuple[str, str], caption: str) -> Table:
    what, where = words
    rows = [
        [row["selection"], or_dash(row["layer"]), or_dash(row["expert"]), str(row["index"]), show.count(row["hits"]),
         show.real(row["expected"], 3), show.chance(row["p"]), show.count(row["weights"]), show.count(row["n"])]
        for row in (known[part]["named"] if known else [])
    ]  # fmt: skip
    columns = (("selection", CODE), *((n, NUMBER) for n in (
        "block", "expert", what, f"{where} hit", "by chance", "p", "weights held",
        f"of those selected in {'blocks' if part == 'channels' else 'MLPs'}")))  # fmt: skip
    note = f"The first few {what}s of each selection by {where} hit. p: that any {what} reaches as many at random (an "
    note += "upper bound)."
    return Table(caption, columns, rows, note)


def tokens(known: Mapping[str, Any] | None) -> Table:
    """How much of the global selections lies in rows of tokens."""
    rows = [
        [label, own["metric"], show.count(own["selected"]), show.share(own["share"]), show.count(own["rows"]),
         show.share(own["score_share"]), show.share(own["special_share"]), show.share(own["unseen_share"])]
        for label, own in (known["selections"] if known else {}).items()
    ]  # fmt: skip
    columns = (("selection", CODE), ("metric", CODE), *((n, NUMBER) for n in (
        "weights in token rows", "of the selection", "rows", "of its score", "in rows of special tokens",
        "in rows of tokens that no text has")))  # fmt: skip
    note = "Rows of embeddings and heads; shares of the selection."
    return Table("Selections in rows of tokens", columns, rows, note)


def first_tokens(known: Mapping[str, Any] | None) -> Table:
    """The tokens whose rows hold most of the global selections."""
    rows = [
        [row["selection"], row["component"], str(row["row"]), show.token(row["token"]) if row["token"] else "-",
         row["special"] or "-", show.count(row["selected"]), show.share(row["share"]), show.count(row["count"]),
         show.share(row["count_share"]), show.count(row["first_count"]), show.count(row["target_count"])]
        for row in (known["first"] if known else [])
    ]  # fmt: skip
    columns = (("selection", CODE), ("component", CODE), ("row", NUMBER), ("token", CODE), ("special", TEXT),
               *((n, NUMBER) for n in ("weights selected", "of the selection", "occurrences", "of the tokens",
                                       "texts that begin with it", "occurrences to predict")))  # fmt: skip
    note = "The five rows of each selection with the most selected weights; occurrences in the calibration texts."
    return Table("Tokens that lead", columns, rows, note)


def superweights(known: Mapping[str, Any] | None, unseen: Mapping[str, Any] | None = None) -> Table:
    """The super weights with their places in every metric; ``unseen`` tells of blocks where none was looked for."""
    rows = []
    for weight in known["weights"] if known else []:
        for rank in weight["ranks"]:
            rows.append([
                weight["parameter"], f"[{weight['row']}, {weight['col']}]", weight["class"] or "not found",
                show.yes_no(weight["published"]), or_dash(weight["round"]), show.real(weight["weight"]),
                show.real(weight["output"]), show.real(weight["to_median"], 3), show.real(weight["to_next"], 3),
                rank["metric"] or "-", _rank(rank["rank"], rank["rank_above"]),
                _rank(rank["rank_in_tensor"], rank["rank_in_tensor_above"]), show.count(rank["weights"]),
                rank["note"] or "-",
            ])  # fmt: skip
    columns = (("tensor", CODE), ("row, col", TEXT), ("class", TEXT), ("published", TEXT), *((n, NUMBER) for n in (
        "round", "weight", "output at the spike", "over the median of the other blocks", "over the next block's")),
        ("metric", CODE), *((n, NUMBER) for n in ("rank", "rank in its tensor", "of")), ("note", TEXT))  # fmt: skip
    note = "early: makes the spike; last: in the last blocks; shared: no few weights make it."
    if not known:
        note = "Not looked for."
    elif not rows:
        note = "No weight makes an activation spike in these texts, and none is published for this model."
    return Table("Super weights", columns, rows, _searched(known, unseen, note))


def _searched(known: Mapping[str, Any] | None, unseen: Mapping[str, Any] | None, note: str) -> str:
    """Return a table's note, or, where no block was looked at, why not."""
    if not unseen:
        return note
    why = f"{show.plural(unseen['blocks'], 'block')}: {'; '.join(unseen['reasons'])}."
    return f"{note} Not looked for in {why}" if known else f"Not applicable: nothing was looked for in {why}"


def _rank(rank: int | None, above: int | None) -> str:
    return show.count(rank) if rank is not None else "-" if above is None else f"beyond {above:,}"


def spikes(known: Mapping[str, Any] | None, unseen: Mapping[str, Any] | None = None) -> Table:
    """The largest activations of each block that was looked at."""
    rows = [
        [str(row["layer"]), row["parameter"], show.real(row["max_output"]), str(row["output_row"]),
         show.real(row["to_median"], 3), show.real(row["to_next"], 3), show.real(row["median_output"]),
         show.real(row["max_input"]), str(row["input_col"]), str(row["output_text"]), str(row["output_position"])]
        for row in (known["profile"] if known else [])
    ]  # fmt: skip
    columns = (("block", NUMBER), ("tensor", CODE), *((n, NUMBER) for n in (
        "largest output", "its row", "over the median of the other blocks", "over the next block's",
        "median over tokens", "largest input", "its col", "text", "token")))  # fmt: skip
    note = "" if not known else (
        f"Population: all tokens of {show.plural(known['texts'], 'text')} ({show.plural(known['tokens'], 'token')}), "
        "absolute values, the model as it is; the last block is held against the one before it. Text and token: "
        "places of the largest output, from 0.")  # fmt: skip
    if known and known.get("rule"):
        ratio, next_ratio = (show.real(known["rule"][key], 3) for key in ("ratio", "next_ratio"))
        note += f" A spike is at least {ratio} times the median of the other blocks and {next_ratio} times the next's."
    return Table("Largest activations by block", columns, rows, _searched(known, unseen, note))
