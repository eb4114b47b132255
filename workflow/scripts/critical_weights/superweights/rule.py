"""When a largest activation is a spike, and which weights make it; plain figures, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EARLY, LAST, SHARED = "early", "last", "shared"
"""Classes: a spike of a single weight, or a few of one column; one in the last blocks, where models take the huge
activation back; an early one that no few weights explain. Only the first class is set to zero."""
LAST_SHARE = 16
"""One block in so many, and at least one, counts as last: of the 32 blocks of a 7B model it is the last two."""
EXPLAINED = 0.25
"""Share of the output that the weight's own product must make. Two weights of one row are known to make a spike
together (Llama-13B), so that half would be too much to ask; of ordinary outputs no product makes a quarter."""
OF_ONE_NEURON = 0.5
"""A further row of the same column counts from this fraction of the largest output on: the three published rows of
Llama-3.1-8B have values of 0.55 to 0.61. Every row of a huge neuron is large by the measure of other blocks."""
MOST_ROWS = 8
"""With more rows of that size it is no weight that stands out, but a neuron whose ordinary weights all show."""
_TINY = 1e-30


@dataclass(frozen=True)
class SpikeRule:
    """When an output is a spike, free of any model's scale.

    Attributes:
        ratio: how many times the median of the other blocks' largest outputs it must be.
        next_ratio: how many times the next block's largest output (of the last block: the one before). It tells a
            spike from a part of the model where all outputs are large. Of two spikes in neighbouring blocks the later
            one goes first, and the other passes in the next round.

    """

    ratio: float = 5
    next_ratio: float = 3


@dataclass(frozen=True)
class LayerPeak:
    """The largest activations of one block's ``down_proj`` over all tokens of all texts.

    Attributes:
        layer: the block.
        component: role of the matrix.
        parameter: its tensor.
        text: text of the largest absolute output.
        position: token of the largest absolute output.
        outputs: (rows,) signed outputs at that token.
        col: where the absolute input at that token is largest, among the weights of that row that are not set to 0.
        input: signed input there.
        weights: (rows,) the weights of that column.
        max_input: largest absolute input over all tokens.
        input_text: its text.
        input_position: its token.
        input_col: its column.
        median_input: median over tokens of the token's largest absolute input.
        median_output: likewise of the outputs.

    """

    layer: int
    component: str
    parameter: str
    text: int
    position: int
    outputs: NDArray[np.float64]
    col: int
    input: float
    weights: NDArray[np.float64]
    max_input: float
    input_text: int
    input_position: int
    input_col: int
    median_input: float
    median_output: float

    @property
    def row(self) -> int:
        """Where the absolute output is largest."""
        return int(np.abs(self.outputs).argmax())

    @property
    def max_output(self) -> float:
        """The largest absolute output."""
        return float(np.abs(self.outputs).max())


@dataclass(frozen=True)
class Spike:
    """One weight that makes a spike, or the place of a spike that none makes alone.

    Attributes:
        layer: the block.
        component: role of the matrix.
        parameter: its tensor.
        row: output index.
        col: input index.
        kind: :data:`EARLY`, :data:`LAST` or :data:`SHARED`.
        weight: its value.
        input: signed input of the column at the spike.
        output: signed output of the row at the spike.
        share: weight * input / output; above 1 where other products work against it.
        text: place of the text among those run.
        position: place of the token in it.
        to_median: abs(output) over the median of the other blocks' largest absolute outputs.
        to_next: abs(output) over the next block's largest absolute output.

    """

    layer: int
    component: str
    parameter: str
    row: int
    col: int
    kind: str
    weight: float
    input: float
    output: float
    share: float
    text: int
    position: int
    to_median: float
    to_next: float


def judge(peaks: Sequence[LayerPeak], n_layers: int, rule: SpikeRule) -> list[Spike]:
    """Return the spikes of one pass, block by block; of one block the row of the largest output first.

    In some models one neuron makes several (one column, several rows): each row whose output is of that size too, and
    is explained by the same column, counts.

    Args:
        peaks: one a block, in the order of the blocks, at least two.
        n_layers: blocks of the model.
        rule: what a spike is.

    """
    largest = np.array([peak.max_output for peak in peaks])
    first_last = n_layers - max(1, n_layers // LAST_SHARE)
    found = []
    for place, peak in enumerate(peaks):
        median = max(float(np.median(np.delete(largest, place))), _TINY)
        beside = max(float(largest[place + 1] if place + 1 < len(peaks) else largest[place - 1]), _TINY)
        if largest[place] < max(rule.ratio * median, rule.next_ratio * beside):
            continue
        size = np.abs(peak.outputs)
        share = peak.weights * peak.input / np.where(size > 0, peak.outputs, 1)
        floor = max(rule.ratio * median, OF_ONE_NEURON * largest[place])
        rows = [int(row) for row in np.argsort(-size, kind="stable") if size[row] >= floor]
        alone = share[peak.row] >= EXPLAINED and len(rows) <= MOST_ROWS
        chosen = [row for row in rows if share[row] >= EXPLAINED] if alone else [peak.row]
        kind = LAST if peak.layer >= first_last else EARLY if alone else SHARED
        found += [
            Spike(peak.layer, peak.component, peak.parameter, row, peak.col, kind, float(peak.weights[row]), peak.input,
                  float(peak.outputs[row]), float(share[row]), peak.text, peak.position, float(size[row]) / median,
                  float(size[row]) / beside)
            for row in chosen
        ]  # fmt: skip
    return found
