"""Importing matplotlib, without the parts that take a third of that time and that no figure here has."""

from __future__ import annotations

import warnings

from ..imports import without


def import_matplotlib() -> None:
    """Import matplotlib without lists of settings in docstrings, a fifth of the time, and without 3D axes.

    Its renderers then know the heights of fonts (:mod:`.font_heights`).
    """
    import matplotlib.artist

    matplotlib.artist.kwdoc = lambda artist: ""
    with without("mpl_toolkits.mplot3d"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib says that there is no 3D
        import matplotlib.figure

    from .font_heights import read_once

    read_once()
