"""The drawn pixels as a PNG of few colours, small enough for a report that holds dozens."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

COLOURS = 256
"""Of a picture at most: as many as a byte tells apart. The eye sees no difference, and the file takes 40 %."""

_WHITE = 0xFFFFFF


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

    Colours are chosen by median cut among those that occur, a hundredth of the pixels. Each counts by the square root
    of its pixels: by their number, the few of a thin line would be lost to areas.
    """
    drawn = np.ascontiguousarray(pixels).view("<u4")[..., 0] & _WHITE  # red in the lowest byte
    occurring, count = np.unique(drawn, return_counts=True)
    inked = occurring != _WHITE
    inked[0] |= not inked.any()  # never none
    occurring, repeats = occurring[inked], np.ceil(np.sqrt(count[inked])).astype(np.int64)
    strip = np.repeat(occurring, repeats).astype("<u4").view(np.uint8).reshape(1, -1, 4)[..., :3]
    chosen = Image.fromarray(np.ascontiguousarray(strip)).quantize(COLOURS - 1, dither=Image.Dither.NONE)
    place = np.zeros(_WHITE + 1, dtype=np.uint8)  # of every colour; 0 is white. Memory is taken for those that occur.
    place[occurring] = np.asarray(chosen)[0, np.cumsum(repeats) - 1] + 1
    few = Image.fromarray(place[drawn])
    few.putpalette([255, 255, 255, *(chosen.getpalette() or [])])
    return few
