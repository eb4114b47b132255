"""Work on bands of rows, a thread each: small operations on two threads spend their time waiting for one another.

A band is few enough rows that it and its sums stay in the processor's cache. Where the bands end depends on the
tensor alone, never on the number of threads, so that results do not either.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

BAND_ELEMENTS = 1 << 19
"""Entries of a band at most: 2 MB of float32."""


def bands(rows: int, columns: int, device: torch.device) -> list[slice]:
    """Cut rows into bands.

    Args:
        rows: rows of the matrix.
        columns: entries of a row.
        device: a GPU wants few large operations: there a band is 64 times as large.

    Returns:
        Slices of nearly equal length, a row at least; their number is about a power of two, so that threads share
        them evenly.

    """
    elements = BAND_ELEMENTS if device.type == "cpu" else 64 * BAND_ELEMENTS
    count = 1
    while count < rows and -(-rows // count) * columns > elements:
        count *= 2
    step = -(-rows // count)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def over_bands(work: Callable[[slice], None], parts: list[slice], device: torch.device) -> None:
    """Do the work on every band; on a CPU side by side, each on one thread.

    Args:
        work: must touch nothing that another band's work writes.
        parts: the bands.
        device: where the tensors are.

    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
        return
    list(_pool(threads).map(work, parts))


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="bands", initializer=_one_thread)
    # All threads have to be there before the setting of this one is put back: a new thread copies the last one set.
    list(pool.map(lambda _: torch.get_num_threads(), range(threads)))
    torch.set_num_threads(threads)
    return pool


def _one_thread() -> None:
    torch.get_num_threads()  # a thread's first look sets its number to the last one set anywhere: have it over with
    torch.set_num_threads(1)
