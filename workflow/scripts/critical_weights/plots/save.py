"""A drawn figure on disk: PNG, SVG and the drawn numbers as CSV, the same bytes every time."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..errors import ConfigError
from ..files import written_whole
from .picture import packed
from .style import styled

if TYPE_CHECKING:
    import pandas as pd

_DECIMALS = 6


Data: TypeAlias = "pd.DataFrame | Sequence[Any]"
"""What a figure shows, as a frame or as named tuples."""


@dataclass(frozen=True)
class Drawn:
    """A figure and the tidy table of the numbers that it shows.

    Most hold it as named tuples: to import pandas takes as long as to draw one figure, and a job draws but a few.

    Attributes:
        figure: what is drawn.
        data: the table. None in a row, or NaN, is an empty field.
        columns: its columns, where it is named tuples and may have no row.

    """

    figure: Figure
    data: Data
    columns: Sequence[str] = ()


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
    picture = png(drawn, dpi)
    with styled():
        with written_whole(csv) as part:
            _write_data(drawn, part)
        with written_whole(svg) as part:
            FigureCanvasSVG(drawn.figure).print_svg(part, metadata={"Date": None, "Creator": None})
    with written_whole(output) as part:
        part.write_bytes(picture)
    return [csv, svg, output]


def _write_data(drawn: Drawn, path: Path) -> None:
    if not isinstance(drawn.data, Sequence):
        drawn.data.to_csv(path, index=False, lineterminator="\n")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(drawn.columns or drawn.data[0]._fields)
        writer.writerows([None if field != field else field for field in row] for row in drawn.data)  # NaN is no number


def png(drawn: Drawn, dpi: int) -> bytes:
    """Return a figure as the bytes of a PNG, the same every time; the figure's panels are placed by that."""
    # Not by savefig, which draws twice, the first time only to lay the figure out. Laid out and drawn by one canvas, a
    # text is measured once for both.
    canvas = FigureCanvasAgg(drawn.figure)
    with styled():
        settle(drawn.figure, dpi)
        canvas.draw()
    return packed(np.asarray(canvas.buffer_rgba()), dpi)


def settle(figure: Figure, dpi: int) -> None:
    """Place the panels once, for the PNG and the SVG: else each file lays the figure out, twice, while it is drawn.

    An axis without a label is kept from looking for its place, which measures all ticks once more in every drawing.
    Spines, half a point beyond their panel's edge, are not measured at all.

    The layout's solver visits its variables by their addresses, so that places differ in the last bit from process to
    process, and with them the names that an SVG makes from places: they are rounded.
    """
    figure.set_dpi(dpi)
    for ax in figure.axes:
        for spine in ax.spines.values():
            spine.set_in_layout(False)
        for axis in (ax.xaxis, ax.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0, 0)
    engine = figure.get_layout_engine()
    if engine is not None:
        if figure.axes:  # a figure of words alone has nothing to place
            engine.execute(figure)
        figure.set_layout_engine("none")
        for ax in figure.axes:
            place = ax.get_position(original=True)
            ax.set_position([round(number, _DECIMALS) for number in place.bounds])
