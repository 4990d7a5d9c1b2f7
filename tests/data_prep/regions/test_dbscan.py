import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from data_prep.regions import GENERATORS
from data_prep.regions.dbscan import DbscanRegions


@pytest.fixture
def cloud() -> tuple[np.ndarray, np.ndarray]:
    """A car, a wall, a kerb and scattered points, mixed with ground between them."""
    rng = np.random.default_rng(0)
    car = rng.uniform([8, 8, -1.4], [12.5, 10, 0], (300, 3))
    wall = rng.uniform([-20, 8, -1.4], [-8, 8.3, 1], (500, 3))
    scattered = rng.uniform([-40, -40, -1], [40, -20, 0], (20, 3)) + np.arange(20)[:, None] * [2, 0, 0]
    ground = rng.uniform([-40, -40, -1.9], [40, 40, -1.8], (3000, 3))
    xyz = np.concatenate([car, wall, scattered, ground]).astype(np.float32)
    is_ground = np.arange(len(xyz)) >= 820
    order = rng.permutation(len(xyz))
    return xyz[order], is_ground[order]


def test_calicos_setting_keeps_only_the_car(cloud: tuple[np.ndarray, np.ndarray]) -> None:
    xyz, ground = cloud
    region = GENERATORS["dbscan"](xyz, ground, xyz[:, 2] + 1.84)
    assert region.dtype == np.int32
    car = (xyz[:, 0] > 7) & (xyz[:, 1] > 7) & ~ground
    np.testing.assert_array_equal(region, np.where(car, 0, -1))


def test_without_a_filter_every_cluster_is_a_region(cloud: tuple[np.ndarray, np.ndarray]) -> None:
    xyz, ground = cloud
    region = GENERATORS["dbscan3d"](xyz, ground, xyz[:, 2] + 1.84)
    expected = np.full(len(xyz), -1)
    expected[~ground] = DBSCAN(eps=0.5, min_samples=5).fit_predict(xyz[~ground])
    np.testing.assert_array_equal(region, expected)
    assert region.max() >= 1


@pytest.mark.parametrize("name", GENERATORS)
def test_ids_are_dense_and_ground_has_none(name: str, cloud: tuple[np.ndarray, np.ndarray]) -> None:
    xyz, ground = cloud
    region = GENERATORS[name](xyz, ground, xyz[:, 2] + 1.84)
    assert (region[ground] == -1).all()
    assert set(region[region >= 0]) == set(range(region.max() + 1))


@pytest.mark.parametrize("name", GENERATORS)
def test_a_cloud_of_ground_has_no_regions(name: str, cloud: tuple[np.ndarray, np.ndarray]) -> None:
    xyz, _ = cloud
    assert (GENERATORS[name](xyz, np.ones(len(xyz), bool), xyz[:, 2]) == -1).all()
    assert GENERATORS[name](xyz[:0], np.ones(0, bool), xyz[:0, 2]).shape == (0,)


def test_clusters_in_plan_view_ignore_height() -> None:
    pole = np.column_stack([np.zeros(50), np.zeros(50), np.arange(50)]).astype(np.float32)
    ground = np.zeros(50, bool)
    assert (DbscanRegions(0.75, 5, 2, None)(pole, ground, pole[:, 2]) == 0).all()
    assert (DbscanRegions(0.75, 5, 3, None)(pole, ground, pole[:, 2]) == -1).all()
