"""Importing matplotlib, without the parts that take a third of that time and that no figure here has."""

from __future__ import annotations

import warnings

from ..imports import late, without


def import_matplotlib() -> None:
    """Import matplotlib without 3D axes, lists of what can be set and, until one is used, names of TeX's letters.

    Every class of artists has a ``set`` of its own, only to list in its signature and docstring what it takes; all do
    the same.

    Its renderers then know the heights of fonts (:mod:`.font_heights`).
    """
    import matplotlib.artist

    matplotlib.artist.Artist._update_set_signature_and_docstring = classmethod(lambda cls: None)
    matplotlib.artist.kwdoc = lambda artist: ""
    with without("mpl_toolkits.mplot3d"), late("fontTools", "agl"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib says that there is no 3D
        import matplotlib.figure

        from .font_heights import read_once

    read_once()
