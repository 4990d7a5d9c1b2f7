import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from data_prep.regions.density_clusters import stable_clusters
from data_prep.regions.density_tree import reachability_tree
from data_prep.regions.hdbscan import HdbscanRegions, hdbscan

SEEDS = st.integers(0, 2**32 - 1)


def clouds(seed: int, points: int) -> np.ndarray:
    """Blobs of several densities, some of them overlapping."""
    rng = np.random.default_rng(seed)
    centre, spread = rng.uniform(-10, 10, (7, 3)), rng.choice([0.2, 0.5, 1.5], 7)
    blob = rng.integers(0, rng.integers(1, 8), points)
    return centre[blob] + rng.normal(size=(points, 3)) * spread[blob, None]


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Eight blobs far from each other, and the blob of each point."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-20, 20, (8, 3))
    sizes = rng.permutation(np.arange(30, 190, 20))
    xyz = np.concatenate([rng.normal(c, 0.4, (n, 3)) for c, n in zip(centres, sizes, strict=True)])
    return xyz.astype(np.float32), np.repeat(np.arange(8), sizes)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 150), st.integers(1, 12), st.booleans())
def test_the_tree_is_a_minimum_spanning_tree_of_all_pairs(seed: int, points: int, samples: int, grid: bool) -> None:
    xyz = np.round(clouds(seed, points)) if grid else clouds(seed, points)  # with ties and coincident points
    samples = min(samples, points)
    distance = cdist(xyz, xyz)
    core = np.sort(distance, axis=1)[:, samples - 1]
    reachability = np.maximum(np.maximum(core[:, None], core), distance)
    first, second, weight = reachability_tree(xyz, samples)
    assert len(weight) == points - 1
    assert np.allclose(reachability[first, second], weight)
    assert (np.diff(weight) >= 0).all()
    label = np.arange(points)  # the edges connect everything
    for a, b in zip(first, second, strict=True):
        label[label == label[b]] = label[a]
    assert len(np.unique(label)) == 1
    expected = minimum_spanning_tree(np.where(np.eye(points, dtype=bool), 0, reachability + 1)).sum() - (points - 1)
    assert weight.sum() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(20, 300), st.integers(2, 20))
def test_without_ties_the_clusters_are_scikit_learns(seed: int, points: int, size: int) -> None:
    xyz = clouds(seed, points)
    label = hdbscan(xyz, size, min_samples=1)  # weights are then distances, all different
    expected = HDBSCAN(min_cluster_size=size, min_samples=1, copy=True).fit_predict(xyz)
    assert np.array_equal(label < 0, expected < 0)
    assert adjusted_rand_score(label, expected) == 1


def test_with_ties_few_points_are_in_other_clusters_than_scikit_learns() -> None:
    agreement = []
    for seed in range(40):
        xyz = clouds(seed, 400)
        expected = HDBSCAN(min_cluster_size=10, copy=True).fit_predict(xyz)
        agreement.append(adjusted_rand_score(hdbscan(xyz, 10, 10), expected))
    assert np.mean(agreement) > 0.98


def test_excess_of_mass_by_hand() -> None:
    """Two pairs at distance 1, joined at 2, and a far point: the stability of each pair is 2 * (1 - 1/2)."""
    first, second, weight = np.array([0, 2, 1, 4]), np.array([1, 3, 2, 0]), np.array([1.0, 1.0, 2.0, 10.0])
    assert stable_clusters(first, second, weight, 2).tolist() == [0, 0, 1, 1, -1]
    late = np.array([1.0, 1.0, 1.1, 10.0])  # the pairs merge early, but the root is never selected
    assert len(set(stable_clusters(first, second, late, 2)[:4])) == 2
    others = np.array([5, 5, 6]), np.array([6, 7, 0]), np.array([1.0, 1.0, 20.0])
    joined = (np.concatenate([a, b]) for a, b in zip((first, second, late), others, strict=True))
    edges = np.array([*zip(*joined, strict=True)])
    edges = edges[np.argsort(edges[:, 2], kind="stable")]
    label = stable_clusters(edges[:, 0].astype(np.int64), edges[:, 1].astype(np.int64), edges[:, 2].copy(), 2)
    assert len(set(label[:4])) == 1  # 4 * (1/1.1 - 1/20) + (1/10 - 1/20) is more than 2 * 2 * (1 - 1/1.1)
    assert len(set(label[5:])) == 1


def test_blobs_are_found_and_only_the_largest_kept() -> None:
    xyz, blob = blobs()
    everything = HdbscanRegions()(xyz, np.zeros(len(xyz), bool), xyz[:, 2])
    assert adjusted_rand_score(blob[everything >= 0], everything[everything >= 0]) == 1
    largest = HdbscanRegions(largest=3)(xyz, np.zeros(len(xyz), bool), xyz[:, 2])
    assert sorted(set(blob[largest >= 0])) == sorted(np.argsort(-np.bincount(blob[everything >= 0]))[:3])


def test_ground_is_left_out_and_few_or_coincident_points_are_not_a_cluster() -> None:
    xyz, _ = blobs()
    assert (HdbscanRegions()(xyz, np.ones(len(xyz), bool), xyz[:, 2]) == -1).all()
    assert (HdbscanRegions()(xyz[:10], np.zeros(10, bool), xyz[:, 2]) == -1).all()
    assert (hdbscan(np.zeros((50, 3)), 5, 5) == -1).all()  # a cluster of all points is never selected
    with pytest.raises(ValueError, match=r"must be \[N, 3\]"):
        hdbscan(np.zeros((50, 2)), 5, 5)
    with pytest.raises(ValueError, match="got 1 and 5"):
        hdbscan(np.zeros((50, 3)), 1, 5)
