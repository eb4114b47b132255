"""How few rows and columns hold a set of weights, and how few would by chance.

``exact``: the least number of lines that hold all weights is the size of a largest matching between rows and columns
(Koenig 1931), and the best r rows alone are the r fullest. ``greedy``: rows and columns together are taken one by one,
each time the line with the most weights that no earlier one holds (Chvatal 1979); the first of them is the best line,
for more than one it is a lower bound of what the best set of so many lines holds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from ..overlap.chance import chance_of_sharing

Ints = NDArray[np.int64]
BEST = 5
"""Lines that are named one by one, and whose joint share is told."""
_DRAWS = 20
_FEW_DRAWS = 5
_MANY_WEIGHTS = 300
_DRAWN = 4000
"""Weights drawn at least for one :class:`Chance`, where :data:`_MOST_DRAWS` do: all tensors of a shape with as many
weights share its draws, so that the error of few draws does not average out over them."""
_MOST_DRAWS = 800
_DRAWS_TO_FIT = 50


@dataclass(frozen=True)
class Cover:
    """Lines that hold a set of weights, in the order in which the greedy cover takes them.

    Attributes:
        is_col: whether each line is a column.
        line: index of each line.
        gain: weights that each line holds and no earlier one does.
        rows: weights of each row that has any, fullest first.
        cols: likewise of the columns.
        least: least number of lines that hold all weights.

    """

    is_col: NDArray[np.bool_]
    line: Ints
    gain: Ints
    rows: Ints
    cols: Ints
    least: int

    def best(self, lines: int) -> int:
        """Return how many weights the first lines hold."""
        return int(self.gain[:lines].sum())

    def for_half(self) -> tuple[int, int, int]:
        """Return how many rows (exact), columns (exact), lines (greedy) hold half of the weights or more."""
        return tuple(lines_for(counts, 0.5) for counts in (self.rows, self.cols, self.gain))


def lines_for(counts: Ints, share: float) -> int:
    """Return how many of the first lines hold this share of all weights."""
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum() - 1e-9) + 1) if len(counts) else 0


def cover(rows: Ints, cols: Ints) -> Cover:
    """Cover weights by lines.

    Ties go to rows before columns, then to the lower index, so that the order of the weights changes nothing.

    Args:
        rows: row of each weight; a pair of row and column comes once.
        cols: its column.

    """
    row_names, row = np.unique(rows, return_inverse=True)
    col_names, col = np.unique(cols, return_inverse=True)
    row_counts, col_counts = np.bincount(row), np.bincount(col)
    taken = list(_greedy(row, col, row_counts, col_counts))
    lines, gain = (np.array(values, np.int64) for values in (zip(*taken, strict=True) if taken else ((), ())))
    is_col = lines >= len(row_names)
    least = int(_matched(row, col, row_counts, len(col_names)).sum())
    named = np.concatenate([row_names, col_names])[lines].astype(np.int64)
    return Cover(is_col, named, gain, -np.sort(-row_counts), -np.sort(-col_counts), least)


def _matched(row: Ints, col: Ints, row_counts: Ints, cols: int) -> NDArray[np.bool_]:
    """Return which rows a largest matching has: they are as many as the fewest lines that hold all weights."""
    if not len(row):
        return np.zeros(0, bool)
    # Row by row at once: to sort pairs of row and column out takes csr_array longer than the matching.
    ends = np.concatenate([[0], np.cumsum(row_counts)])
    by_row = col[np.argsort(row, kind="stable")]
    graph = csr_array((np.ones(len(row), np.int8), by_row, ends), shape=(len(row_counts), cols))
    return maximum_bipartite_matching(graph, perm_type="column") >= 0


def _greedy(row: Ints, col: Ints, row_counts: Ints, col_counts: Ints) -> Iterator[tuple[int, int]]:
    """Yield each line (columns numbered after the rows) with the weights that it adds."""
    first_col = len(row_counts)
    counts = np.concatenate([row_counts, col_counts]).tolist()
    cells = np.concatenate([row, col + first_col])
    order = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[order], np.arange(len(counts) + 1)).tolist()
    members = (order % max(len(row), 1)).tolist()
    ends = list(zip(row.tolist(), (col + first_col).tolist(), strict=True))
    free = [True] * len(row)
    heap = [(-count, line) for line, count in enumerate(counts) if count > 1]
    heapq.heapify(heap)
    while heap:
        count, line = heapq.heappop(heap)
        if counts[line] != -count:  # other lines have taken some of its weights since
            if counts[line] > 1:
                heapq.heappush(heap, (-counts[line], line))
            continue
        yield line, -count
        for cell in members[starts[line] : starts[line + 1]]:
            if free[cell]:
                free[cell] = False
                for end in ends[cell]:
                    counts[end] -= 1
    # No line has two weights that are left: the rest go by their rows.
    yield from ((line, 1) for line in np.sort(row[np.array(free, bool)]).tolist())


@dataclass(frozen=True)
class Chance:
    """What as many weights, placed at random in the same tensor, would give on average.

    Attributes:
        rows: rows with any weight; exact, as are the columns.
        cols: columns with any weight.
        least: least number of lines that hold all; like what follows from seeded draws.
        half: rows, columns, lines that hold half.
        best: weights that the best 1, 2, ... :data:`BEST` lines hold.

    """

    rows: float
    cols: float
    least: float
    half: tuple[float, ...]
    best: tuple[float, ...]


@lru_cache(maxsize=4096)
def by_chance(experts: int, rows: int, cols: int, n: int) -> Chance:
    """Place ``n`` weights at random in ``experts`` matrices of ``rows`` x ``cols``; these numbers are the seed.

    There are 20 draws (5 of more than 300 weights), but of few weights as many as make 4000 in all, up to 800. How many
    rows and columns are hit on average is known exactly: where draws are many, what theirs is off by corrects the
    other figures (regression on control variates), which takes most of their error away where ``n`` is small.
    """
    rng = np.random.default_rng([experts, rows, cols, n])
    size = experts * rows * cols
    draws = max(_DRAWS if n <= _MANY_WEIGHTS else _FEW_DRAWS, min(_DRAWN // n, _MOST_DRAWS))
    flat = np.array([rng.choice(size, n, replace=False, shuffle=False) for _ in range(draws)], np.int64)
    hit = np.array([experts * rows * chance_of_hit(size, cols, n), experts * cols * chance_of_hit(size, rows, n)])
    row, col = flat // cols, flat // (rows * cols) * cols + flat % cols
    drawn_hit, figures = _figures_of_draws(row, col, experts * rows, experts * cols)
    mean = figures.mean(axis=0)
    if draws >= _DRAWS_TO_FIT:
        off = drawn_hit.mean(axis=0)
        slopes = np.linalg.lstsq(drawn_hit - off, figures - mean, rcond=None)[0]
        mean += (hit - off) @ slopes
    least, *others = mean.tolist()
    return Chance(*hit.tolist(), least, tuple(others[:3]), tuple(others[3:]))


def _figures_of_draws(rows: Ints, cols: Ints, all_rows: int, all_cols: int) -> tuple[Ints, Ints]:
    """Return of each draw how many rows and columns it hits, and its figures as in :class:`Chance`.

    The draws are covered at once, each in rows and columns of its own: their parts of the whole greedy cover and of the
    whole matching are those of each alone.

    Args:
        rows: row of each weight, below ``all_rows``, a draw a line.
        cols: its column.

    """
    draws, n = rows.shape
    number = np.arange(draws)[:, None]
    row_names, row = np.unique((rows + number * all_rows).ravel(), return_inverse=True)
    col_names, col = np.unique((cols + number * all_cols).ravel(), return_inverse=True)
    row_counts, col_counts = np.bincount(row), np.bincount(col)
    row_draw, col_draw = row_names // all_rows, col_names // all_cols
    lines, gain = np.array(list(_greedy(row, col, row_counts, col_counts)), np.int64).T
    matched = _matched(row, col, row_counts, len(col_names))
    held = [
        _held_by_first(row_draw, row_counts, draws),
        _held_by_first(col_draw, col_counts, draws),
        _held_by_first(np.concatenate([row_draw, col_draw])[lines], gain, draws),
    ]
    half = [(counts < 0.5 * n - 1e-9).sum(axis=1) + 1 for counts in held]
    best = [held[2][:, min(line, held[2].shape[1] - 1)] for line in range(BEST)]
    hit = np.stack([np.bincount(row_draw, minlength=draws), np.bincount(col_draw, minlength=draws)], axis=1)
    return hit, np.stack([np.bincount(row_draw, matched, draws), *half, *best], axis=1)


def _held_by_first(draw: Ints, counts: Ints, draws: int) -> Ints:
    """Return how many weights the fullest 1, 2, ... lines of each draw hold, a draw a line."""
    order = np.lexsort((-counts, draw))
    lines = np.bincount(draw, minlength=draws)
    rank = np.arange(len(draw)) - np.repeat(np.cumsum(lines) - lines, lines)
    table = np.zeros((draws, lines.max()), np.int64)
    table[draw[order], rank] = counts[order]
    return table.cumsum(axis=1)


def chance_of_hit(size: int, length: int, n: int) -> float:
    """Return the probability that ``n`` of ``size`` weights, drawn without replacement, fall on a line of ``length``.

    1 - (size - length choose n) / (size choose n), as a product: a difference of log-gammas loses its digits at 1e9.
    """
    if n > size - length:
        return 1.0
    return float(-np.expm1(np.log1p(-length / (size - np.arange(n, dtype=np.float64))).sum()))


def chance_of_best(held: Ints, experts: Ints, rows: Ints, cols: Ints, n: Ints) -> NDArray[np.float64]:
    """Return an upper bound of the chance that any line holds so many of ``n`` weights placed at random.

    It is the sum over all lines of each one's hypergeometric probability (union bound), at most 1. Arrays, a tensor an
    element.
    """
    total = np.zeros(len(held))
    for number, length in ((experts * rows, cols), (experts * cols, rows)):
        fits = held <= length
        sizes = (experts * rows * cols)[fits]
        total[fits] += number[fits] * chance_of_sharing(held[fits], sizes, n[fits], length[fits])
    return np.minimum(total, 1)
