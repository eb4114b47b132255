"""Per-text statistics of a weight matrix from its module's inputs and output gradients, without a second model pass.

For ``y = x W^T`` the gradient of text s is ``G_s = delta_s^T x_s`` (out x in), summed over the text's positions. Its
square must be taken text by text. G_s is formed for a band of rows small enough to stay in the processor's cache, and
every statistic is updated from there, for all texts, before the next band: never the whole of a G_s.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .bands import bands, over_bands
from .fused import add_linear_fused, fused_available
from .sums import Sums, token_gradients


def add_linear(sums: Sums, left: Tensor, right: Tensor, lengths: Sequence[int], predicted: Sequence[int]) -> None:
    """Add the gradients ``left_s^T right_s`` of every text of a batch.

    Args:
        sums: of a (rows, columns) tensor.
        left: (texts, width, rows): output gradients of a Linear, or inputs of a Conv1D, which is stored (in, out).
        right: (texts, width, columns): the other one.
        lengths: real positions of each text.
        predicted: T_s of each text.

    """
    dtype = sums.dtype
    if fused_available(left.device, dtype):
        add_linear_fused(sums, left, right, lengths, predicted)
        return
    rows, columns = left.shape[-1], right.shape[-1]
    texts = [
        (left[s, :n].to(dtype), right[s, :n].to(dtype), t)
        for s, (n, t) in enumerate(zip(lengths, predicted, strict=True))
    ]
    if not sums.per_text:
        total = sums.tensors["grad"]
        torch.addmm(total, torch.cat([a for a, _, _ in texts]).T, torch.cat([b for _, b, _ in texts]), out=total)
        return

    @torch.no_grad()
    def work(band: slice) -> None:
        gradient = torch.empty(band.stop - band.start, columns, dtype=dtype, device=left.device)
        own = sums.band(band)
        for a, b, t in texts:
            torch.mm(a[:, band].T, b, out=gradient)
            own.add(gradient, t)

    over_bands(work, bands(rows, columns, left.device), left.device)


def add_bias(sums: Sums, delta: Tensor, lengths: Sequence[int], predicted: Sequence[int]) -> None:
    """Add the gradients of a bias: the output gradients ``delta`` (texts, width, size) summed over positions."""
    dtype = sums.dtype
    for s, (n, t) in enumerate(zip(lengths, predicted, strict=True)):
        sums.add(delta[s, :n].sum(0, dtype=dtype), t)


def add_tied(
    sums: Sums,
    head: tuple[Tensor, Tensor],
    embedding: tuple[Tensor, Tensor],
    lengths: Sequence[int],
    predicted: Sequence[int],
    first_row: int = 0,
) -> None:
    """Add the gradients of a tensor that is both embedding and head: the two uses are added before any square.

    Args:
        sums: of (rows, size), a run of rows of the (vocabulary, size) tensor.
        head: (logit gradients, inputs) of the head, (texts, width, rows) and (texts, width, size).
        embedding: (token ids, output gradients) of the embedding, (texts, width) and (texts, width, size).
        lengths: real positions of each text.
        predicted: T_s of each text.
        first_row: which row of the whole tensor the first one is.

    """
    dtype = sums.dtype
    texts = []
    for s, n in enumerate(lengths):
        rows, gradient = token_gradients(embedding[0][s, :n] - first_row, embedding[1][s, :n], dtype)
        texts.append((head[0][s, :n].to(dtype), head[1][s, :n].to(dtype), rows, gradient, predicted[s]))
    size, columns = head[0].shape[-1], head[1].shape[-1]
    if not sums.per_text:
        total = sums.tensors["grad"]
        torch.addmm(total, torch.cat([d for d, *_ in texts]).T, torch.cat([x for _, x, *_ in texts]), out=total)
        for _, _, rows, gradient, _ in texts:
            here = (rows >= 0) & (rows < size)
            total.index_add_(0, rows[here], gradient[here])
        return
    device = head[0].device
    parts = bands(size, columns, device)
    # Where each band begins in each text's rows, asked for once: most texts have no token in most bands.
    edges = torch.tensor([*(band.start for band in parts), size], device=device)
    ends = [torch.searchsorted(rows, edges).tolist() for _, _, rows, _, _ in texts]
    places = {band.start: place for place, band in enumerate(parts)}

    @torch.no_grad()
    def work(band: slice) -> None:
        total = torch.empty(band.stop - band.start, columns, dtype=dtype, device=device)
        own = sums.band(band)
        place = places[band.start]
        for (delta, x, rows, gradient, t), end in zip(texts, ends, strict=True):
            torch.mm(delta[:, band].T, x, out=total)
            first, last = end[place], end[place + 1]
            if first < last:
                total[rows[first:last] - band.start] += gradient[first:last]
            own.add(total, t)

    over_bands(work, parts, device)


def add_replayed(
    all_sums: dict[str, Sums], module: nn.Module, x: Tensor, delta: Tensor, predicted: Sequence[int]
) -> None:
    """Add the gradients of a norm's vectors: the norm alone is run again on each text and differentiated.

    Args:
        all_sums: attribute of the module -> sums of that parameter.
        module: the norm.
        x: (texts, width, ...) its input.
        delta: its output gradient, 0 at padded positions.
        predicted: T_s of each text.

    """
    parameters = [getattr(module, attribute) for attribute in all_sums]
    flags = [p.requires_grad for p in parameters]
    rows = [slice(s, s + 1) for s in range(len(predicted))]
    if not any(sums.per_text for sums in all_sums.values()):
        rows = [slice(None)]
    with torch.enable_grad():
        for p in parameters:
            p.requires_grad_(True)
        for row, t in zip(rows, predicted, strict=False):
            gradients = torch.autograd.grad(module.forward(x[row]), parameters, delta[row])
            for sums, gradient in zip(all_sums.values(), gradients, strict=True):
                sums.add(gradient.to(sums.dtype, copy=True), t)
        for p, flag in zip(parameters, flags, strict=True):
            p.requires_grad_(flag)
