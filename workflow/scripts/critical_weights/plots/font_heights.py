"""Ascent, descent and line gap of the fonts, read once a font instead of once a text.

matplotlib 3.11 lays out some 300 texts a figure, most of them several times, and for each looks up the font's file and
decodes two of its tables: a tenth of drawing. It asks the renderer first; those of PDF answer for fonts of their own.
"""

from __future__ import annotations

from functools import cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.font_manager import FontProperties, findfont, get_font

_SVG_DPI = 72

Heights = tuple[float, float, float] | tuple[None, None, None]
"""Ascent, descent and line gap; None each where the font does not tell, so that matplotlib measures letters."""


@cache
def _of_font(
    family: tuple[str, ...], style: str, variant: str, weight: str | int, stretch: str | int
) -> tuple[int, int, int, int] | None:
    """Return ascent, descent, line gap and size of a font in its own units, of the table that matplotlib asks first."""
    prop = FontProperties(family=list(family), style=style, variant=variant, weight=weight, stretch=stretch)
    font = get_font(findfont(prop))
    table, head = font.get_sfnt_table("OS/2"), font.get_sfnt_table("head")
    if table is None or head is None:
        return None
    return table["sTypoAscender"], -table["sTypoDescender"], table["sTypoLineGap"], head["unitsPerEm"]


def _heights(prop: FontProperties, dpi: float) -> Heights:
    look = prop.get_style(), prop.get_variant(), prop.get_weight(), prop.get_stretch()
    found = _of_font(tuple(prop.get_family()), *look)
    if found is None:
        return None, None, None
    ascent, descent, gap, units = found
    scale = 1 / units * prop.get_size_in_points() * dpi / 72  # in matplotlib's order, for the same last bit
    return ascent * scale, descent * scale, gap * scale


def read_once() -> None:
    """Make the renderers of PNG and SVG answer from memory."""
    # A method that other releases of matplotlib never ask for; what it returns is what they would find themselves.
    name = "_get_font_height_metrics"
    setattr(RendererAgg, name, lambda self, prop: _heights(prop, self.dpi))
    setattr(RendererSVG, name, lambda self, prop: _heights(prop, _SVG_DPI))
