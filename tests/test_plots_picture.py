"""A figure's PNG: few colours, none of them far from what was drawn, the same picture in the report."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from critical_weights.plots import layer_comparison, sensitivity_heatmap
from critical_weights.plots.picture import COLOURS, few_colours, packed
from critical_weights.plots.save import png, save
from critical_weights.plots.small_multiples import nothing
from critical_weights.plots.style import styled
from synthetic_stats import llama8b_tensors, llama_tensors, make_stats


def picture_of(*colours: int) -> np.ndarray:
    """Return white pixels, 60 x 60, one of each colour (0xRRGGBB) in the first lines; all opaque."""
    pixels = np.full((60, 60, 4), 255, dtype=np.uint8)
    for place, colour in enumerate(colours):
        pixels.reshape(-1, 4)[place, :3] = (colour >> 16, colour >> 8 & 255, colour & 255)
    return pixels


def shown(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGBA")).astype(int)


@pytest.mark.parametrize("colours", [(), range(0, 0xFF0000, 0x010203), range(COLOURS - 1)])
def test_a_picture_keeps_its_colours_where_they_are_few(colours):
    pixels = picture_of(*list(colours)[: COLOURS - 1])
    assert few_colours(pixels).mode == "P"
    np.testing.assert_array_equal(shown(packed(pixels, 150)), pixels)


def test_a_picture_of_many_colours_stays_white_where_it_was_and_else_close():
    pixels = picture_of(*(red << 16 | green << 8 | 128 for red in range(0, 250, 5) for green in range(0, 250, 5)))
    before, after = pixels.astype(int), shown(packed(pixels, 150))
    assert len(np.unique(after.reshape(-1, 4), axis=0)) <= COLOURS
    white = (before == 255).all(axis=-1)
    assert (after[white] == 255).all()
    # 2,500 colours on a square of 250 x 250 over 255 of them: boxes of some 16 x 16, off by 8 at most but for rounding.
    assert np.abs(after - before).max() <= 16


@pytest.mark.parametrize("figure", [layer_comparison, sensitivity_heatmap])
def test_a_figure_looks_as_it_was_drawn(figure):
    drawn = figure.build(make_stats(llama_tensors(blocks=4, hidden=32, mlp=64, kv=16, vocabulary=200), k=100))
    after = shown(png(drawn, 100))
    canvas = FigureCanvasAgg(drawn.figure)
    with styled():
        canvas.draw()
    before = np.asarray(canvas.buffer_rgba()).astype(int)
    far = np.abs(after - before).max(axis=-1)
    assert far.mean() < 0.5
    assert (far > 32).mean() < 2e-3


def test_the_dots_an_inch_stand_in_the_file():
    with Image.open(io.BytesIO(packed(picture_of(), 150))) as picture:
        assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)


@pytest.mark.filterwarnings("error")
def test_a_figure_of_words_alone_is_written_without_a_warning(tmp_path):
    drawn = nothing("overlap", "There is one metric only.", pd.DataFrame({"a": [1]}))
    for file in save(drawn, tmp_path / "x.png", dpi=50):
        assert file.stat().st_size > 0


@pytest.mark.parametrize("figure", [layer_comparison, sensitivity_heatmap])
@pytest.mark.parametrize("tensors", [llama_tensors(2, 32, 64, 16, 100), llama8b_tensors()])
def test_nothing_touches_the_edge_of_the_page(figure, tensors):
    pixels = shown(png(figure.build(make_stats(tensors, k=20), "model, phase"), 100))
    inked = (pixels < 250).any(axis=-1)
    rows, columns = (np.flatnonzero(inked.any(axis=side)) for side in (1, 0))
    height, width = inked.shape
    assert min(rows[0], columns[0], height - 1 - rows[-1], width - 1 - columns[-1]) >= 5  # a twentieth of an inch
