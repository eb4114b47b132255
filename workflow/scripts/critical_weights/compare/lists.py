"""Lists of weights made elsewhere: read from CSV in any row order, every defect told with its count."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import RankingError, near_names
from ..log import logger

log = logger(__name__)

NEEDED = ("parameter", "indices", "sensitivity_score")


@dataclass(frozen=True)
class WeightRows:
    """The rows of a list as they stand in the file.

    Attributes:
        path: the file.
        names: the tensors, in the order in which the file first names them.
        tensor: place in ``names`` of each row's tensor.
        places: index tuple of each row, storage order, filled up with -1 to the most axes of any tensor.
        score: its score, float64 as read.

    """

    path: Path
    names: tuple[str, ...]
    tensor: NDArray[np.int64]
    places: NDArray[np.int64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    def axes(self) -> dict[str, int]:
        """Return the number of indices of each tensor's weights."""
        counts = (self.places >= 0).sum(axis=1)
        first = np.unique(self.tensor, return_index=True)[1]
        return {name: int(counts[row]) for name, row in zip(self.names, first, strict=True)}


def read_list(path: str | Path) -> WeightRows:
    """Read the columns ``parameter``, ``indices`` and ``sensitivity_score`` of a list; others are not looked at.

    Raises:
        RankingError: the file is missing, empty or no table; a column is missing; a score is no finite number or below
            0; an index is no tuple of whole numbers from 0; weights of one tensor have different numbers of indices; a
            weight comes twice. The message counts the rows at fault and shows the first.

    """
    path = Path(path)
    frame = _read(path)
    rows = frame.index.to_numpy() + 2  # the line of the file, header 1
    score = pd.to_numeric(frame["sensitivity_score"], errors="coerce").to_numpy(np.float64)
    _refuse(path, ~np.isfinite(score), rows, frame["sensitivity_score"], "a score that is no finite number")
    _refuse(path, score < 0, rows, frame["sensitivity_score"], "a score below 0",
            "A score says how much a weight matters: give its absolute value")  # fmt: skip
    parameter = frame["parameter"]
    _refuse(path, (parameter == "").to_numpy(), rows, parameter, "no tensor name")
    tensor, names = pd.factorize(parameter)
    places = _places(path, frame["indices"], rows)
    counts = (places >= 0).sum(axis=1)
    most = np.zeros(len(names), np.int64)
    np.maximum.at(most, tensor, counts)
    _refuse(path, counts < most[tensor], rows, frame["indices"], "fewer indices than others of the same tensor")
    double = pd.DataFrame({"tensor": tensor, **dict(enumerate(places.T))}).duplicated().to_numpy()
    shown = parameter + " " + frame["indices"]
    _refuse(path, double, rows, shown, "a weight that an earlier row names already", "Keep one row a weight")
    return WeightRows(path, tuple(names), tensor.astype(np.int64), places, score)


def _read(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would lose their end
            frame = pd.read_csv(
                path, dtype=str, keep_default_na=False, na_values=[], encoding="utf-8-sig", index_col=False
            )
    except FileNotFoundError as error:
        raise RankingError(f"there is no list {path}") from error
    except pd.errors.EmptyDataError as error:
        raise RankingError(f"{path} is empty", expected=f"a CSV with the columns {', '.join(NEEDED)}") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError, OSError) as error:
        raise RankingError(f"{path} cannot be read as a CSV: {str(error).strip()}") from error
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        near = [name for one in missing for name in near_names(one, frame.columns, n=1)]
        raise RankingError(f"{path} has no column {' and no column '.join(missing)}",
                           got=", ".join(map(str, frame.columns)), expected=", ".join(NEEDED), near=near)  # fmt: skip
    if double := [name for name in NEEDED if f"{name}.1" in frame.columns]:  # so pandas calls the second of a name
        raise RankingError(f"{path} has more than one column {' and '.join(double)}", fix="Keep the one that is meant")
    if frame.empty:
        raise RankingError(f"{path} lists no weight: it has a header and no row")
    return frame[list(NEEDED)].apply(lambda column: column.str.strip())


def _places(path: Path, texts: pd.Series, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Read index tuples such as ``(3, 5)``, ``[3, 5]``, ``(7,)`` or ``7``."""
    # Not \d nor \s, which match digits and blanks of other scripts that pandas does not read.
    pattern = r"[(\[]?[ \t]*[0-9]{1,18}([ \t]*,[ \t]*[0-9]{1,18})*[ \t]*,?[ \t]*[)\]]?"
    good = texts.str.fullmatch(pattern).to_numpy(bool)
    _refuse(path, ~good, rows, texts, "indices that are no tuple of whole numbers from 0")
    inner = texts.str.strip("()[] ").str.rstrip(", ")
    columns = inner.str.split(",", expand=True).apply(lambda column: pd.to_numeric(column))
    return columns.fillna(-1).to_numpy().astype(np.int64)


def _refuse(
    path: Path,
    wrong: NDArray[np.bool_],
    rows: NDArray[np.int64],
    shown: pd.Series,
    what: str,
    fix: str | None = None,
) -> None:
    """Raise where a row is wrong; the message counts them and shows the first."""
    if wrong.any():
        first = int(wrong.argmax())
        raise RankingError(
            f"{int(wrong.sum())} of {len(wrong)} rows of {path} have {what}, "
            f"first row {rows[first]} ('{shown[first]}')",
            fix=fix,
        )


def labels_of(paths: Sequence[str | Path]) -> list[str]:
    """Return a short name for each list: the end of its path, as long as it takes to tell them apart.

    Raises:
        RankingError: a file is named twice.

    """
    whole = [Path(path).parts for path in paths]
    if len(set(whole)) < len(whole):
        double = next(path for place, path in enumerate(paths) if whole[place] in whole[:place])
        raise RankingError(f"the list {double} is named twice")
    parts = [(Path(path).parent / Path(path).stem).parts for path in paths]
    if len(set(parts)) < len(parts):  # a.csv and a.tsv
        parts = whole
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-length:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return ["/".join(part) for part in parts]
