"""Rankings made elsewhere, compared with each other: overlap, structure, and where they cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import RankingError
from ..log import logger
from ..overlap.lines import overlap_of_lists
from .lists import WeightRows, labels_of, read_list
from .ranked import rank_rows, tell
from .shapes import Shapes, check_rows, shapes_of_lists

log = logger(__name__)


def read_lists(paths: Sequence[str | Path], shapes: Shapes | None = None) -> tuple[dict[str, WeightRows], Shapes]:
    """Read the lists of a comparison and check that they can be compared.

    Args:
        paths: CSV files with ``parameter, indices, sensitivity_score``, rows in any order.
        shapes: of the model that they are of; None where it is not known.

    Returns:
        The rows of each list by a short name, and the tensors.

    Raises:
        RankingError: a list is defective, names what the model has not, or shares no tensor with another.

    """
    lists = dict(zip(labels_of(paths), map(read_list, paths), strict=True))
    if shapes is None:
        shapes = shapes_of_lists(lists.values())
        log.info("no model is named: the lists are compared as they are, without chance levels and checks of names")
    else:
        for rows in lists.values():
            check_rows(rows, shapes)
    for a, b in combinations(lists, 2):
        _compare_names(a, _names(lists[a], shapes), b, _names(lists[b], shapes))
    return lists, shapes


def compare_overlap(lists: Mapping[str, WeightRows], shapes: Shapes) -> pd.DataFrame:
    """Return the overlap of all pairs of lists, the same whatever the order of their rows.

    Where a list holds the first weights of each tensor, a row over all tensors is ``complete`` only up to the K where
    one of these runs out; that K is told as a warning.

    Args:
        lists: by name, from :func:`read_lists`.
        shapes: of the tensors that they name.

    Returns:
        The columns of :data:`critical_weights.tables.schema.OVERLAP`; lines of weights only with a model, whose facts
        say what an index means.

    """
    anywhere = {name for rows in lists.values() for name in _names(rows, shapes)}
    ranked = {}
    for label, rows in lists.items():
        found = rank_rows(rows, shapes, anywhere)
        tell(label, found)
        ranked[label] = found.ranked
    table = overlap_of_lists(ranked, shapes.population, shapes.tensors if shapes.model else None)
    whole = table[(table["scope"] == "global") & (table["k"] == "all")]
    for row in whole[whole["shared"] == 0].itertuples():
        log.warning("WARNING: %s and %s share no weight at all", row.a, row.b)
    return table


def list_frames(lists: Mapping[str, WeightRows], shapes: Shapes) -> dict[str, pd.DataFrame]:
    """Return each list as a frame with ``parameter, indices, sensitivity_score``, its names the model's own."""
    frames = {}
    for label, rows in lists.items():
        names = np.array([shapes.also.get(name, name) for name in rows.names], object)
        indices = [str(tuple(i for i in own if i >= 0)) for own in rows.places.tolist()]
        frames[label] = pd.DataFrame(
            {"parameter": names[rows.tensor], "indices": indices, "sensitivity_score": rows.score}
        )
    return frames


def _names(rows: WeightRows, shapes: Shapes) -> set[str]:
    return {shapes.also.get(name, name) for name in rows.names}


def _compare_names(a: str, names_a: set[str], b: str, names_b: set[str]) -> None:
    """Warn of tensors that only one list names; refuse lists with none in common.

    Raises:
        RankingError: they have none.

    """
    both = names_a & names_b
    if not both:
        raise RankingError(
            f"{a} and {b} have no tensor in common: {a} names {len(names_a)} (first {min(names_a)}), {b} names "
            f"{len(names_b)} (first {min(names_b)})",
            fix="Compare lists of one model",
        )
    if names_a != names_b:
        log.warning(
            "WARNING: %s and %s name different tensors: %d in both, %d only in %s, %d only in %s (first %s)",
            a, b, len(both), len(names_a - both), a, len(names_b - both), b, min(names_a ^ names_b),
        )  # fmt: skip
