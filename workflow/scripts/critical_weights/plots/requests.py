"""What a command line asks for: several figures, each with what it is drawn from and a file of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigError
from . import TABLE_FIGURES


def requests(
    figures: Sequence[str], sources: Sequence[str], outputs: Sequence[str]
) -> list[tuple[str, list[str], str]]:
    """Return each figure with its sources and its output.

    Args:
        figures: names of figures. Those drawn from tables and those drawn from statistics are asked for apart.
        sources: a table for each figure in the same order; or statistics, which belong to all figures together.
        outputs: as many files as figures, in the same order.

    Raises:
        ConfigError: there are more or fewer outputs, or tables, than figures.

    """
    _check(figures, outputs, "--output")
    if not any(figure in TABLE_FIGURES for figure in figures):
        return [(figure, list(sources), output) for figure, output in zip(figures, outputs, strict=True)]
    _check(figures, sources, "--source")
    return [(figure, [source], output) for figure, source, output in zip(figures, sources, outputs, strict=True)]


def _check(figures: Sequence[str], files: Sequence[str], option: str) -> None:
    if len(figures) != len(files):
        raise ConfigError(f"each figure needs its own {option}", got=f"{len(files)} for {len(figures)} figures",
                          expected=len(figures))  # fmt: skip
