"""Per-text statistics of a weight matrix on an NVIDIA GPU, all texts in one kernel, each sum read and written once.

Text by text, a GPU spends its time carrying the matrix ``G_s`` and the sums to memory and back. Here a tile of the
matrix stays in registers while all texts of a batch pass by it, so that the products alone take time.

A tied pair of embedding and head (:func:`.accumulate.add_tied`) does not come here: before its square is taken, a
text's gradient is the head's product plus the embedding's rows at the text's own tokens, which lie scattered over the
tiles. It stays on the plain path.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from ..log import choice, logger
from .sums import Sums

TUNING_ENTRIES = 4096
"""Rows and columns on which tilings are timed: enough to fill a GPU, and some 0.3 GB of scratch sums at most."""


@dataclass(frozen=True)
class Tiling:
    """How the matrix is cut: entries of a tile, warps that share it, and steps whose loads are under way at once."""

    rows: int
    columns: int
    warps: int
    stages: int


TILINGS = (Tiling(64, 64, 4, 3), Tiling(128, 64, 8, 3), Tiling(128, 64, 8, 4), Tiling(64, 128, 8, 3))
"""What is tried. A tile and its four sums take 160 of a thread's 255 registers in each of them; of one twice as large a
part would lie in memory, as a little of the last one does with float32 inputs."""


@lru_cache
def fused_available(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether the kernel serves sums of this dtype on this device, and log which way is taken on a GPU.

    It takes an NVIDIA GPU of compute capability 8.0 (A100) or later, Triton, which PyTorch's builds for GPUs bring
    along, and sums in float32; a float64 model takes the plain path.

    Args:
        device: where the sums are.
        dtype: of the sums.

    """
    if device.type != "cuda":
        return False
    reason = ""
    if dtype != torch.float32:
        reason = f"the kernel sums in float32, not in {str(dtype).removeprefix('torch.')}"
    elif torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0):
        reason = "the kernel wants an NVIDIA GPU of compute capability 8.0 or later"
    else:
        _keep_compiled_code_in_a_folder_of_this_process()
        try:
            from . import fused_kernel  # noqa: F401 (Triton is looked for only where it can serve)
        except ImportError:
            reason = "Triton is not installed"
    what = "one text after the other" if reason else "all texts in one kernel"
    choice("per-text statistics", what, reason or "the fastest on this GPU", logger(__name__))
    return not reason


def _keep_compiled_code_in_a_folder_of_this_process() -> None:
    """Compile anew in each process: Triton's own choice is the user's home, where nothing is written."""
    if "TRITON_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="triton_")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["TRITON_CACHE_DIR"] = folder


def add_linear_fused(sums: Sums, left: Tensor, right: Tensor, lengths: Sequence[int], predicted: Sequence[int]) -> None:
    """Add the gradients ``left_s^T right_s`` of every text of a batch; the same as :func:`.accumulate.add_linear`.

    Products of bfloat16 or float16 entries are exact, those of float32 entries are right to some 2^-21; they
    are summed in float32, positions and texts in ascending order whatever the tiling, without atomics. So repeated
    runs agree bit by bit where the same tiling was the fastest, and to rounding where another one was.

    Args:
        sums: of a (rows, columns) tensor, float32, contiguous.
        left: (texts, width, rows), padded on the right with anything.
        right: (texts, width, columns), likewise.
        lengths: real positions of each text.
        predicted: T_s of each text.

    Raises:
        ValueError: a sum is not contiguous, or shapes do not fit each other (a mistake in the calling code).

    """
    shape = (left.shape[-1], right.shape[-1])
    for name, total in sums.tensors.items():
        if tuple(total.shape) != shape or not total.is_contiguous() or total.dtype != torch.float32:
            raise ValueError(f"{name} must be contiguous float32 of shape {shape}, not {total.dtype} {total.shape}")
    if left.shape[:2] != right.shape[:2] or left.shape[0] < len(lengths):
        raise ValueError(f"inputs {tuple(left.shape)} and {tuple(right.shape)} do not fit {len(lengths)} texts")
    # Only the last axis has to be contiguous; texts and positions may lie any way.
    left, right = (x if x.stride(-1) == 1 else x.contiguous() for x in (left, right))
    block_k = _positions_a_step(tuple(lengths), max(left.itemsize, right.itemsize))
    steps = _steps(tuple(lengths), tuple(predicted), block_k, left.device)
    tiling = _tiling(sums, left, right, steps, block_k)
    _launch(sums.tensors, left, right, steps, block_k, tiling)


def _positions_a_step(lengths: tuple[int, ...], itemsize: int) -> int:
    """Return how many positions are multiplied at a time: as many as shared memory holds, with the least padding."""
    sizes = (128, 64, 32) if itemsize == 2 else (32, 16)
    return min(sizes, key=lambda size: (sum(-(-n // size) * size for n in lengths), -size))


@lru_cache(maxsize=256)
def _steps(lengths: tuple[int, ...], predicted: tuple[int, ...], block_k: int, device: torch.device) -> Tensor:
    """Return the kernel's table of steps. It is kept: a batch needs it once for each of a model's matrices."""
    table = [
        (text, first, length, t if first + block_k >= length else 0)
        for text, (length, t) in enumerate(zip(lengths, predicted, strict=True))
        for first in range(0, length, block_k)
    ]
    return torch.tensor([*table, (0, 0, 0, 0)], dtype=torch.int32, device=device)


_chosen: dict[tuple[object, ...], Tiling] = {}


def _tiling(sums: Sums, left: Tensor, right: Tensor, steps: Tensor, block_k: int) -> Tiling:
    """Return the fastest tiling on this GPU, timed on the first batch of its kind; sums are not touched.

    Raises:
        RuntimeError: the GPU has room for none of them.

    """
    if left.device.type != "cuda":  # Triton's interpreter
        return TILINGS[0]
    kind = (left.device, left.dtype, right.dtype, tuple(sums.tensors), block_k)
    if kind not in _chosen:
        from triton import OutOfResources

        a, b = left[..., :TUNING_ENTRIES], right[..., :TUNING_ENTRIES]
        scratch = {n: torch.zeros(a.shape[-1], b.shape[-1], device=a.device) for n in sums.tensors}
        times: dict[Tiling, float] = {}
        for tiling in TILINGS:
            try:
                times[tiling] = _milliseconds(lambda t=tiling: _launch(scratch, a, b, steps, block_k, t), a.device)
            except OutOfResources as error:  # a smaller GPU
                logger(__name__).info("tiling %s does not fit: %s", tiling, error)
        if not times:
            raise RuntimeError("no tiling of the fused kernel fits this GPU")
        _chosen[kind] = min(times, key=times.__getitem__)
        found = ", ".join(f"{t.rows} x {t.columns} by {t.warps} warps {ms:.2f} ms" for t, ms in times.items())
        logger(__name__).info("tilings of the fused kernel, %d positions a step: %s", block_k, found)
    return _chosen[kind]


def _milliseconds(work: Callable[[], None], device: torch.device) -> float:
    """Return the least time of three runs, after one that compiles."""
    with torch.cuda.device(device):
        work()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        events[0].record()
        for event in events[1:]:
            work()
            event.record()
        torch.cuda.synchronize(device)
        return min(start.elapsed_time(end) for start, end in pairwise(events))


def _launch(
    totals: dict[str, Tensor], left: Tensor, right: Tensor, steps: Tensor, block_k: int, tiling: Tiling
) -> None:
    """Run the kernel over all tiles."""
    rows, columns = left.shape[-1], right.shape[-1]
    any_total = next(iter(totals.values()))  # stands in for the sums that are not wanted; the kernel leaves it alone
    tiles = -(-rows // tiling.rows) * -(-columns // tiling.columns)
    from .fused_kernel import per_text_sums

    with torch.cuda.device(left.device if left.device.type == "cuda" else -1):  # -1: no change
        per_text_sums[(tiles,)](
            left,
            right,
            *(totals.get(name, any_total) for name in ("grad", "grad_sq", "grad_abs", "grad_sq_token")),
            steps,
            len(steps) - 1,
            rows,
            columns,
            left.stride(0),
            left.stride(1),
            right.stride(0),
            right.stride(1),
            HAS_GRAD="grad" in totals,
            HAS_SQ="grad_sq" in totals,
            HAS_ABS="grad_abs" in totals,
            HAS_SQ_TOKEN="grad_sq_token" in totals,
            WIDEN=left.dtype != right.dtype or left.device.type == "cpu",  # the interpreter lacks bfloat16 products
            PRECISION="tf32x3",
            BLOCK_K=block_k,
            BLOCK_ROWS=tiling.rows,
            BLOCK_COLUMNS=tiling.columns,
            GROUP=8,
            num_warps=tiling.warps,
            num_stages=tiling.stages,
        )
