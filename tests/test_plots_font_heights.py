"""Heights of fonts answered from memory are those that matplotlib finds itself, for the PNG and for the SVG."""

from __future__ import annotations

import io

import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG, RendererSVG
from matplotlib.figure import Figure

from critical_weights.plots import layer_comparison
from critical_weights.plots.font_heights import read_once
from critical_weights.plots.save import png
from critical_weights.plots.style import styled
from synthetic_stats import llama_tensors, make_stats

ASKED = "_get_font_height_metrics"


@pytest.fixture(autouse=True)
def _answering():
    read_once()


def layout(text, renderer) -> list:
    """Return where the lines of a text stand, its box as numbers."""
    box, *places = text._get_layout(renderer)
    return [box.bounds, *places]


def own_layout(monkeypatch, text, renderer) -> list:
    """Return the same by a renderer that does not answer."""
    with monkeypatch.context() as patched:
        patched.delattr(type(renderer), ASKED)
        return layout(text, renderer)


@pytest.mark.parametrize("dpi", [72, 150, 300])
@pytest.mark.parametrize(
    "look",
    [
        {},
        {"size": 11, "weight": "bold"},
        {"style": "italic", "size": 7.5},
        {"family": "DejaVu Sans Mono"},
        {"family": ["DejaVu Serif", "DejaVu Sans"], "linespacing": 1.25},
        {"family": "no such font, so that another stands for it"},
    ],
)
def test_a_text_is_laid_out_as_by_matplotlib_alone(monkeypatch, dpi, look):
    figure = Figure(dpi=dpi)
    with styled():
        text = figure.text(0.5, 0.5, "10⁻⁵ of q_proj,\nÄpfel", **look)
        renderer = RendererAgg(640, 480, dpi)
        assert layout(text, renderer) == own_layout(monkeypatch, text, renderer)


def test_a_figure_has_the_same_bytes_with_and_without(monkeypatch):
    def files() -> tuple[bytes, str]:
        tensors = llama_tensors(blocks=3, hidden=32, mlp=64, kv=16, vocabulary=50)
        drawn = layer_comparison.build(make_stats(tensors, k=9))
        picture, content = png(drawn, 100), io.StringIO()
        with styled():
            FigureCanvasSVG(drawn.figure).print_svg(content, metadata={"Date": None, "Creator": None})
        return picture, content.getvalue()

    answered = files()
    for renderer in (RendererAgg, RendererSVG):
        monkeypatch.delattr(renderer, ASKED)
    assert files() == answered
