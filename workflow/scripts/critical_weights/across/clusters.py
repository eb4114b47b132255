"""Kinds of transformer blocks: clusters by how a block's score is spread over its components, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..store.read import open_store
from ..tables.across import CLUSTERS
from .clear_clusters import best_clusters
from .draws import DRAWS
from .study import Scored, Study, table_of

FEWEST = 5
"""Fewer blocks are not clustered: two clusters of two blocks are found in anything."""
ENOUGH = 50
"""After so many draws that are as clear, more would only tell a p-value that is not small more exactly."""
_AT_ONCE = 250
_SEED = 0

Floats = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Profile:
    """The blocks of a store.

    Attributes:
        layers: their indices.
        values: (blocks, figures) not yet standardised.
        left_out: why figures are missing, or an empty text.

    """

    layers: list[int]
    values: Floats
    left_out: str


def clusters_table(study: Study) -> pd.DataFrame:
    """Cluster the blocks of each store.

    Returns:
        The columns of :data:`critical_weights.tables.across.CLUSTERS`.

    """
    rows: list[Row] = []
    for one in study.scored:
        own = {"phase": one.phase, "model": one.model, "metric": one.metric}
        rows += [own | row for row in _rows(profile_of(one), study.facts_of(one)["n_layers"])]
    return table_of(rows, CLUSTERS, "not applicable: nothing is configured")


def profile_of(one: Scored) -> Profile:
    """Return each block's figures: by component its share of the block's score, and the log of its mean score.

    A component that some block lacks is left out, and so is the log of one whose score is 0 in some block.
    """
    sums: dict[int, dict[str, list[float]]] = {}
    with open_store(one.path) as store:
        for name in store.names:
            tensor = store.tensor_attributes(name)
            if tensor["layer"] is not None:
                kept = sums.setdefault(tensor["layer"], {}).setdefault(tensor["component"], [0.0, 0.0])
                kept[0] += tensor["sum"]
                kept[1] += tensor["numel"]
    layers = sorted(sums)
    if not layers:
        return Profile([], np.zeros((0, 0)), "")
    components = [name for name in sums[layers[0]] if all(name in sums[layer] for layer in layers)]
    missing = sorted({name for own in sums.values() for name in own} - set(components))
    table = np.array([[sums[layer][name] for name in components] for layer in layers]).reshape(len(layers), -1, 2)
    score, weights = table[..., 0], table[..., 1]
    total = np.array([sum(score for score, _ in sums[layer].values()) for layer in layers])
    positive = (score > 0).all(axis=0)
    shares = score / np.where(total > 0, total, 1)[:, None]
    logs = np.log(score[:, positive] / weights[:, positive])
    notes = [f"not in every block: {', '.join(missing)}"] if missing else []
    zeros = [name for name, above in zip(components, positive, strict=True) if not above]
    notes += [f"no log of a mean of 0: {', '.join(zeros)}"] if zeros else []
    return Profile(layers, np.concatenate([shares, logs], axis=1), "; ".join(notes))


def _rows(profile: Profile, blocks: int) -> list[Row]:
    n = len(profile.layers)
    values = standardised(profile.values) if n else profile.values
    if n < FEWEST or not values.size:
        few, alike = f"{n} blocks, fewer than {FEWEST}", "all blocks are alike"
        reason = few if n < FEWEST else alike if profile.values.size else "no component is in every block"
        return [{"n": n, "note": f"not applicable: {reason}"}]
    labels, widths = (found[0] for found in best_clusters(values[None]))
    shared = {
        "clusters": labels.max(), "mean_silhouette": widths.mean(), "p": chance_of_clusters(values),
        "n": n, "features": values.shape[1], "note": profile.left_out,
    }  # fmt: skip
    return [
        {"layer": layer, "depth": layer / max(blocks - 1, 1), "cluster": label, "silhouette": width} | shared
        for layer, label, width in zip(profile.layers, labels, widths, strict=True)
    ]


def standardised(values: Floats) -> Floats:
    """Return the figures with mean 0 and standard deviation 1 over the blocks; those that do not vary are left out."""
    spread = values.std(axis=0)
    varies = spread > 1e-12 * np.abs(values).max(axis=0, initial=0)
    return (values[:, varies] - values[:, varies].mean(axis=0)) / spread[varies]


def chance_of_clusters(values: Floats) -> float:
    """Return how often blocks without kinds have clusters as clear: draws of one normal cloud of the same covariance.

    Figures that go together, as where blocks change smoothly with depth, are in the cloud too: they alone do not make
    kinds. Source: Liu, Hayes, Nobel and Marron 2008 (SigClust), with the silhouette for the index.

    Drawn until :data:`ENOUGH` are as clear, at most :data:`~critical_weights.across.draws.DRAWS` times: h / l where
    the h-th such is draw l, else (g + 1) / (draws + 1) for g of them. Source: Besag and Clifford 1991.
    """
    rng = np.random.default_rng(_SEED)
    # Distances are the same along the principal axes, where a normal cloud is independent draws. The spread along them
    # is had up to one factor, sqrt(n - 1): it changes no silhouette.
    spread = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    seen = best_clusters(values[None])[1].mean()
    as_clear = 0
    for drawn in range(0, DRAWS, _AT_ONCE):
        clouds = rng.normal(size=(min(_AT_ONCE, DRAWS - drawn), len(values), len(spread))) * spread
        so_far = as_clear + np.cumsum(best_clusters(clouds)[1].mean(axis=1) >= seen - 1e-12)
        if so_far[-1] >= ENOUGH:
            return ENOUGH / (drawn + 1 + int(np.argmax(so_far >= ENOUGH)))
        as_clear = int(so_far[-1])
    return (1 + as_clear) / (1 + DRAWS)
