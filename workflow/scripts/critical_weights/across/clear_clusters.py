"""The clearest clusters of points, for many clouds of points at once: Ward's linkage, cut by the silhouette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

MOST_CLUSTERS = 8

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def best_clusters(clouds: Floats) -> tuple[Labels, Floats]:
    """Cluster by Ward's linkage into the number of clusters, 2 to 8 and under n, of the largest mean silhouette.

    Args:
        clouds: (clouds, n, figures); each is clustered by itself.

    Returns:
        (clouds, n) each: the cluster of each point, numbered from 1 by first point, and its silhouette. Where no
        number of clusters can be had, one cluster and silhouettes of 0.

    """
    many, n, _ = clouds.shape
    pairs = np.array([pdist(cloud) for cloud in clouds])
    trees = np.array([linkage(own, "ward") for own in pairs])
    distances = np.zeros((many, n, n))
    left, right = np.triu_indices(n, 1)
    distances[:, left, right] = distances[:, right, left] = pairs
    labels, widths = np.ones((many, n), np.int64), np.zeros((many, n))
    best = np.full(many, -np.inf)
    for own, can_be_had in reversed(_cuts(trees)):
        found = silhouettes(distances, own)
        mean = found.mean(axis=1)
        better = can_be_had & (mean > best + 1e-12)
        best[better], labels[better], widths[better] = mean[better], own[better], found[better]
    return labels, widths


def _cuts(trees: Floats) -> list[tuple[Labels, NDArray[np.bool_]]]:
    """Return the labels of each cut into 2 to 8 clusters, most clusters first, and whether it can be had.

    It cannot where the next merge is of the same height: the two are one step.
    """
    clouds, merges, _ = trees.shape
    n, rows = merges + 1, np.arange(clouds)
    points = np.arange(n)
    first = np.zeros((clouds, n + merges), np.int64)  # of each node of the tree, its first point
    first[:, :n] = points
    cluster = np.tile(points, (clouds, 1))  # of each point, the first point of its cluster
    cuts = []
    for step in range(merges - 1):
        merged = np.sort(first[rows[:, None], trees[:, step, :2].astype(np.int64)], axis=1)
        first[:, n + step] = merged[:, 0]
        cluster = np.where(cluster == merged[:, 1:], merged[:, :1], cluster)
        if merges - step <= MOST_CLUSTERS:
            numbers = np.cumsum(cluster == points, axis=1)
            can_be_had = trees[:, step, 2] < trees[:, step + 1, 2]
            cuts.append((np.take_along_axis(numbers, cluster, axis=1), can_be_had))
    return cuts


def silhouettes(distances: Floats, labels: Labels) -> Floats:
    """Return (b - a) / max(a, b) of each point: a its mean distance within its cluster, b to the nearest other one.

    0 for a cluster of one point. Source: Rousseeuw 1987.

    Args:
        distances: (clouds, n, n).
        labels: (clouds, n) from 1, as many clusters in each cloud.

    """
    member = (labels[..., None] == np.arange(1, labels.max() + 1)).astype(np.float64)
    size = member.sum(axis=1)
    sums = distances @ member
    own = (labels - 1)[..., None]
    own_size = np.take_along_axis(size, own[..., 0], axis=1)
    within = np.take_along_axis(sums, own, axis=2)[..., 0] / np.maximum(own_size - 1, 1)
    means = sums / size[:, None]
    np.put_along_axis(means, own, np.inf, axis=2)
    nearest = means.min(axis=2)
    widest = np.maximum(within, nearest)
    return np.where((own_size > 1) & (widest > 0), (nearest - within) / np.where(widest > 0, widest, 1), 0.0)
