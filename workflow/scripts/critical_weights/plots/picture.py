"""The drawn pixels as a PNG of few colours, small enough for a report that holds dozens."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

COLOURS = 256
"""Of a picture at most: as many as a byte tells apart. The eye sees no difference, and the file takes 40 %."""


def packed(pixels: np.ndarray, dpi: int) -> bytes:
    """Return drawn pixels as the bytes of a PNG, the same every time.

    Args:
        pixels: (height, width, 4), red, green, blue and opacity, bytes; all opaque.
        dpi: dots an inch, written into the file.

    """
    few_colours(pixels).save(content := io.BytesIO(), "PNG", dpi=(dpi, dpi))
    return content.getvalue()


def few_colours(pixels: np.ndarray) -> Image.Image:
    """Return pixels as a picture in :data:`COLOURS` colours at most, pure white among them.

    Choosing colours takes time by the pixel, and most of a figure is white, for which nothing is to be chosen.
    """
    whole = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
    inked = whole != 0xFFFFFFFF
    inked[0, 0] = True  # never none
    strip = Image.fromarray(whole[inked].view(np.uint8).reshape(1, -1, 4)).convert("RGB")
    chosen = strip.quantize(COLOURS - 1, dither=Image.Dither.NONE)
    places = np.full(inked.shape, COLOURS - 1, dtype=np.uint8)
    places[inked] = np.asarray(chosen)[0]
    colours = chosen.getpalette() or []
    few = Image.fromarray(places)
    few.putpalette(colours + [255] * (3 * COLOURS - len(colours)))
    return few
