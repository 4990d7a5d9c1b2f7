import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from data_prep.regions.hdbscan import HdbscanRegions


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-20, 20, (8, 3))
    sizes = rng.permutation(np.arange(30, 190, 20))
    xyz = np.concatenate([rng.normal(c, 0.4, (n, 3)) for c, n in zip(centres, sizes, strict=True)])
    return xyz.astype(np.float32), np.repeat(np.arange(8), sizes)


def test_without_thinning_the_clusters_are_scikit_learns() -> None:
    xyz, _ = blobs()
    region = HdbscanRegions(voxel_size=1e-4)(xyz, np.zeros(len(xyz), bool))
    expected = HDBSCAN(min_cluster_size=20, copy=True).fit_predict(xyz.astype(np.float64))
    assert expected.max() > 3
    assert adjusted_rand_score(region, expected) == 1
    assert np.array_equal(region < 0, expected < 0)


def test_blobs_are_found_and_only_the_largest_kept() -> None:
    xyz, blob = blobs()
    everything = HdbscanRegions()(xyz, np.zeros(len(xyz), bool))
    assert adjusted_rand_score(blob[everything >= 0], everything[everything >= 0]) == 1
    largest = HdbscanRegions(largest=3)(xyz, np.zeros(len(xyz), bool))
    assert sorted(set(blob[largest >= 0])) == sorted(np.argsort(-np.bincount(blob[everything >= 0]))[:3])


def test_ground_is_left_out_and_few_points_are_no_cluster() -> None:
    xyz, _ = blobs()
    assert (HdbscanRegions()(xyz, np.ones(len(xyz), bool)) == -1).all()
    assert (HdbscanRegions()(xyz[:10], np.zeros(10, bool)) == -1).all()
