"""Passages that evaluation texts have in common with calibration texts, by runs of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..log import logger

RUN = 13
"""Tokens in a row that tell of a passage in common."""


def count_overlap(calibration: Sequence[Sequence[int]], evaluation: Sequence[Sequence[int]]) -> dict[str, int]:
    """Count the evaluation texts that repeat a run of :data:`RUN` tokens of the calibration texts.

    Equal texts are refused before. A long run in common tells of texts that quote each other, or of one document in
    both sets: a common measure of contamination (Brown et al. 2020, appendix C, take 13 words).

    Args:
        calibration: ids of each text.
        evaluation: ids of each text.

    Returns:
        ``run``: tokens of a run; ``texts``: evaluation texts that hold one; ``positions``: runs that they share.

    """
    seen = {run for ids in calibration for run in _runs(ids)}
    found = [sum(run in seen for run in _runs(ids)) for ids in evaluation]
    texts = sum(count > 0 for count in found)
    if texts:
        logger(__name__).info(
            "%d of %d evaluation texts share a run of %d tokens with a calibration text", texts, len(evaluation), RUN
        )
    return {"run": RUN, "texts": texts, "positions": sum(found)}


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return (tuple(ids[i : i + RUN]) for i in range(len(ids) - RUN + 1))
