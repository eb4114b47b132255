"""Clusters of blocks: many clouds at once against a slow twin, and how small their chance can be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kstest

from critical_weights.across import clusters
from critical_weights.across.clear_clusters import best_clusters, silhouettes
from critical_weights.across.clusters import Profile, chance_of_clusters, standardised
from critical_weights.across.draws import DRAWS, LEAST_P, least_p_of_permutation
from critical_weights.across.tests import permutation
from critical_weights.significance import SIGNIFICANT


def kinds(blocks, figures=14, seed=1):
    """Blocks of two kinds, far apart."""
    rng = np.random.default_rng(seed)
    kind = np.repeat([-10, 10], blocks // 2)[:, None]
    return standardised(rng.normal(kind, 0.01, (blocks, figures)))


def slow_best(points):
    """The same by scipy's own cuts, one cloud and one number of clusters at a time."""
    tree, distances, best = linkage(points, "ward"), squareform(pdist(points)), -np.inf
    for number in range(2, min(8, len(points) - 1) + 1):
        labels = fcluster(tree, number, "maxclust")
        if labels.max() == number:
            best = max(best, silhouettes(distances[None], labels[None])[0].mean())
    return best


@pytest.mark.parametrize("shape", [(5, 3), (8, 7), (20, 4)])
def test_many_clouds_at_once_are_cut_as_each_alone(shape):
    clouds = np.random.default_rng(3).normal(size=(30, *shape))
    labels, widths = best_clusters(clouds)
    assert widths.mean(axis=1) == pytest.approx([slow_best(cloud) for cloud in clouds])
    for cloud, own, width in zip(clouds, labels, widths, strict=True):
        alone = best_clusters(cloud[None])
        assert (alone[0][0] == own).all()
        assert (alone[1][0] == width).all()
        assert list(dict.fromkeys(own)) == list(range(1, own.max() + 1)), "numbered by first point"
        assert silhouettes(squareform(pdist(cloud))[None], own[None])[0] == pytest.approx(width)


def test_cuts_where_distances_tie_are_scipys():
    corners = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]) * 100
    for points in (np.concatenate([corners, corners + 0.5]), np.arange(6.0)[:, None]):
        assert best_clusters(points[None])[1].mean() == pytest.approx(slow_best(points))


@pytest.mark.parametrize("blocks", [8, 32])
def test_clear_kinds_count_among_many_cases(blocks):
    p = chance_of_clusters(kinds(blocks))
    assert p == LEAST_P
    assert p < SIGNIFICANT / 99


def test_draws_end_when_the_answer_is_plain(monkeypatch):
    drawn = []

    def counting(clouds):
        drawn.append(len(clouds))
        return best_clusters(clouds)

    monkeypatch.setattr(clusters, "best_clusters", counting)
    cloud = standardised(np.random.default_rng(0).normal(size=(8, 5)))
    p = chance_of_clusters(cloud)
    assert p > 0.1
    assert sum(drawn) < DRAWS / 5
    monkeypatch.setattr(clusters, "_AT_ONCE", 7)
    assert chance_of_clusters(cloud) == p, "it does not hang on how many are drawn at once"


@pytest.mark.parametrize("enough, draws", [(50, 9999), (50, 60)])
def test_chance_is_counted_draw_by_draw(monkeypatch, enough, draws):
    monkeypatch.setattr(clusters, "DRAWS", draws)
    cloud = standardised(np.random.default_rng(0).normal(size=(8, 5)))
    rng, as_clear, drawn = np.random.default_rng(0), 0, 0
    spread = np.sqrt(np.sort(np.linalg.eigvalsh(np.cov(cloud, rowvar=False)))[::-1])
    while as_clear < enough and drawn < draws:
        as_clear += slow_best(rng.normal(size=cloud.shape) * spread) >= slow_best(cloud)
        drawn += 1
    slow = as_clear / drawn if as_clear == enough else (1 + as_clear) / (1 + draws)
    assert chance_of_clusters(cloud) == slow


def test_chance_is_uniform_where_there_are_no_kinds(monkeypatch):
    # The covariance, else estimated from few blocks, is taken as known: what is tested is the count.
    monkeypatch.setattr(clusters.np.linalg, "svd", lambda *_, **__: np.full(3, 3.0))
    rng = np.random.default_rng(5)
    found = [chance_of_clusters(rng.normal(size=(10, 3))) for _ in range(60)]
    assert kstest(found, "uniform").pvalue > 0.01


def test_blocks_without_a_common_component_are_not_called_alike():
    mixed = Profile(list(range(6)), np.zeros((6, 0)), "not in every block: mixer, mlp")
    (row,) = clusters._rows(mixed, 6)
    assert row["note"] == "not applicable: no component is in every block"
    (row,) = clusters._rows(Profile(list(range(6)), np.ones((6, 2)), ""), 6)
    assert row["note"] == "not applicable: all blocks are alike"


@pytest.mark.parametrize("a, b", [(2, 2), (3, 3), (2, 5), (4, 3), (30, 30)])
def test_least_p_is_what_tensors_as_far_apart_as_can_be_give(a, b):
    assert permutation(1 + np.arange(a) / 100, -np.arange(b) / 100)[0] == pytest.approx(least_p_of_permutation(a, b))
