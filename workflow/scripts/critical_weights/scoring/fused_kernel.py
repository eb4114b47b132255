"""The Triton kernel behind :mod:`.fused`: a tile of the matrix stays in registers while all texts pass by it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n_steps"])
def per_text_sums(
    left,
    right,
    grad,
    grad_sq,
    grad_abs,
    grad_sq_token,
    steps,
    n_steps,
    rows,
    columns,
    left_text,
    left_position,
    right_text,
    right_position,
    HAS_GRAD: tl.constexpr,
    HAS_SQ: tl.constexpr,
    HAS_ABS: tl.constexpr,
    HAS_SQ_TOKEN: tl.constexpr,
    WIDEN: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Add the statistics of one tile of the matrix over all texts of a batch; one program a tile.

    Args:
        left: (texts, width, rows), the last axis contiguous.
        right: (texts, width, columns), likewise.
        grad: (rows, columns) float32, contiguous, like the next three; not touched where its flag is off.
        grad_sq: sum of (g_s / T_s)^2.
        grad_abs: sum of abs(g_s) / T_s.
        grad_sq_token: sum of g_s^2.
        steps: (n_steps + 1, 4) int32: text, first position, end of the text, and T_s where the text's last step is,
            else 0; a row of zeros at the end.
        n_steps: steps of BLOCK_K positions at most, none across a text boundary.
        rows: of the matrix.
        columns: of the matrix.
        left_text: stride of ``left`` from text to text, in entries.
        left_position: its stride from position to position.
        right_text: the same of ``right``.
        right_position: the same of ``right``.
        HAS_GRAD: whether ``grad`` is wanted; the next three likewise.
        HAS_SQ: whether ``grad_sq`` is.
        HAS_ABS: whether ``grad_abs`` is.
        HAS_SQ_TOKEN: whether ``grad_sq_token`` is.
        WIDEN: whether entries are made float32 before they are multiplied.
        PRECISION: of a product of float32 entries, as ``tl.dot`` names it.
        BLOCK_K: positions a step.
        BLOCK_ROWS: rows of a tile.
        BLOCK_COLUMNS: columns of a tile.
        GROUP: tiles below one another that run side by side, for the cache's sake.

    """
    # Programs that run at the same time work on a squarish patch of tiles: their inputs are then still in the cache.
    down, across = tl.cdiv(rows, BLOCK_ROWS), tl.cdiv(columns, BLOCK_COLUMNS)
    program = tl.program_id(0)
    first_down = program // (GROUP * across) * GROUP
    height = tl.minimum(down - first_down, GROUP)
    within = program % (GROUP * across)
    row = (first_down + within % height) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = within // height * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    in_rows, in_columns = row < rows, column < columns
    position = tl.arange(0, BLOCK_K)
    # One loop over all steps of all texts, not a loop in a loop: loads then run ahead across text boundaries.
    gradient = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
    total = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
    total_sq = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
    total_abs = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
    total_sq_token = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
    text = tl.load(steps).to(tl.int64)
    first = tl.load(steps + 1)
    end = tl.load(steps + 2)
    predicted = tl.load(steps + 3)
    for step in range(n_steps):
        inside = position < end - first
        left_at = left + text * left_text + first.to(tl.int64) * left_position
        right_at = right + text * right_text + first.to(tl.int64) * right_position
        a = tl.load(
            left_at + row[:, None] + position[None, :] * left_position,
            mask=in_rows[:, None] & inside[None, :],
            other=0.0,
        )
        b = tl.load(
            right_at + position[:, None] * right_position + column[None, :],
            mask=inside[:, None] & in_columns[None, :],
            other=0.0,
        )
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        gradient = tl.dot(a, b, gradient, input_precision=PRECISION)
        if predicted != 0:
            mean = gradient * (1.0 / predicted)
            if HAS_GRAD:
                total += gradient
            if HAS_SQ:
                total_sq += mean * mean
            if HAS_ABS:
                total_abs += tl.abs(mean)
            if HAS_SQ_TOKEN:
                total_sq_token += gradient * gradient
            gradient = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
        # The next step's entries now: loads of tiles wait for nothing, and can be under way several steps ahead.
        text = tl.load(steps + 4 * step + 4).to(tl.int64)
        first = tl.load(steps + 4 * step + 5)
        end = tl.load(steps + 4 * step + 6)
        predicted = tl.load(steps + 4 * step + 7)
    at = row[:, None].to(tl.int64) * columns + column[None, :]
    mask = in_rows[:, None] & in_columns[None, :]
    if HAS_GRAD:
        tl.store(grad + at, tl.load(grad + at, mask=mask) + total, mask=mask)
    if HAS_SQ:
        tl.store(grad_sq + at, tl.load(grad_sq + at, mask=mask) + total_sq, mask=mask)
    if HAS_ABS:
        tl.store(grad_abs + at, tl.load(grad_abs + at, mask=mask) + total_abs, mask=mask)
    if HAS_SQ_TOKEN:
        tl.store(grad_sq_token + at, tl.load(grad_sq_token + at, mask=mask) + total_sq_token, mask=mask)
