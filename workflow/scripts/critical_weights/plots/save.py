"""A drawn figure on disk: PNG, SVG and the drawn numbers as CSV, the same bytes every time."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..errors import ConfigError
from ..files import written_whole
from .style import styled

_DECIMALS = 6
_PACKED = {"compress_level": 3}
"""How a PNG is packed: two thirds of the default's time, for a file larger by a twentieth."""


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
        settle(drawn.figure, dpi)
        # Not by savefig, which draws twice, the first time only to lay the figure out.
        with written_whole(csv) as part:
            drawn.data.to_csv(part, index=False, lineterminator="\n")
        with written_whole(svg) as part:
            FigureCanvasSVG(drawn.figure).print_svg(part, metadata={"Date": None, "Creator": None})
        drawn.figure.set_dpi(dpi)  # drawing an SVG sets 72
        with written_whole(output) as part:
            FigureCanvasAgg(drawn.figure).print_png(part, metadata={"Software": None}, pil_kwargs=_PACKED)
    return [csv, svg, output]


def png(drawn: Drawn, dpi: int) -> bytes:
    """Return a figure as the bytes of a PNG, the same every time."""
    with styled():
        settle(drawn.figure, dpi)
        FigureCanvasAgg(drawn.figure).print_png(
            content := io.BytesIO(), metadata={"Software": None}, pil_kwargs=_PACKED
        )
    return content.getvalue()


def settle(figure: Figure, dpi: int) -> None:
    """Place the panels once, for the PNG and the SVG: else each file lays the figure out, twice, while it is drawn.

    An axis without a label is kept from looking for its place, which measures all ticks once more in every drawing.

    The layout's solver visits its variables by their addresses, so that places differ in the last bit from process to
    process, and with them the names that an SVG makes from places: they are rounded.
    """
    figure.set_dpi(dpi)
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0, 0)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
        for ax in figure.axes:
            place = ax.get_position(original=True)
            ax.set_position([round(number, _DECIMALS) for number in place.bounds])
