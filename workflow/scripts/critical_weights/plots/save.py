"""A drawn figure on disk: PNG, SVG and the drawn numbers as CSV, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..errors import ConfigError
from ..files import written_whole
from .style import styled


@dataclass(frozen=True)
class Drawn:
    """A figure and the tidy table of the numbers that it shows."""

    figure: Figure
    data: pd.DataFrame


def check_output(output: str | Path) -> Path:
    """Return the path of the PNG.

    Raises:
        ConfigError: it does not end in ``.png``.

    """
    output = Path(output)
    if output.suffix != ".png":
        raise ConfigError("a figure is a PNG, with SVG and CSV beside it", got=output, expected="a name in .png")
    return output


def save(drawn: Drawn, output: Path, dpi: int) -> list[Path]:
    """Write ``output`` and, beside it, ``.svg`` and ``.csv``; each whole, the PNG last.

    Neither date nor version goes into the files, so that the same numbers give the same bytes.

    Returns:
        The files written.

    """
    csv, svg = output.with_suffix(".csv"), output.with_suffix(".svg")
    with styled():
        with written_whole(csv) as part:
            drawn.data.to_csv(part, index=False, lineterminator="\n")
        with written_whole(svg) as part:
            drawn.figure.savefig(part, format="svg", metadata={"Date": None, "Creator": None})
        with written_whole(output) as part:
            drawn.figure.savefig(part, format="png", dpi=dpi, metadata={"Software": None})
    return [csv, svg, output]
