"""The sensor height is estimated from the cloud and does not influence regions above the ground."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.nuscenes import NuScenesReader
from data_prep.regions import GENERATORS, GROUNDS, SensorMount, height_above_ground
from data_prep.regions.mount import estimate_sensor_height

CARS = np.array([[8, 10], [-9, 12], [14, -8], [-12, -10], [6, -20], [-20, 7], [18, 16], [-16, -19]], float)


def street(sensor_height: float, slope: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] seen from `sensor_height` above a street with eight cars and a wall, and the car of each (-1)."""
    rng = np.random.default_rng(seed)
    ground = np.column_stack([rng.uniform(-40, 40, (9000, 2)), rng.normal(0, 0.02, 9000)])
    cars = CARS[:, None] + rng.uniform([-2.2, -0.9], [2.2, 0.9], (8, 150, 2))
    cars = np.concatenate([cars, rng.uniform(0.3, 1.6, (8, 150, 1))], axis=2).reshape(-1, 3)
    wall = np.column_stack([rng.uniform(-35, 35, 1500), np.full(1500, 28.0), rng.uniform(0, 7, 1500)])
    below = np.column_stack([rng.uniform(-40, 40, (40, 2)), rng.uniform(-3, -1, 40)])  # reflections
    xyz = np.concatenate([ground, cars, wall, below])
    xyz[:, 2] += slope * xyz[:, 0] - sensor_height
    car = np.full(len(xyz), -1)
    car[9000:10200] = np.repeat(np.arange(8), 150)
    return xyz.astype(np.float32), car


def cars_with_a_region(xyz: np.ndarray, car: np.ndarray, ground: str, generator: str, mount: SensorMount) -> int:
    found = GROUNDS[ground](xyz, mount)
    region = GENERATORS[generator](xyz, found, height_above_ground(xyz, found))
    return len(np.unique(car[(region >= 0) & (car >= 0)]))


@pytest.mark.parametrize("slope", [0.0, 0.04, -0.04])
@pytest.mark.parametrize("height", [0.0, 0.9, 1.84, 2.6, 3.2, 12.0])
def test_the_height_is_estimated_from_the_cloud(height: float, slope: float) -> None:
    assert estimate_sensor_height(street(height, slope)[0]) == pytest.approx(height, abs=0.1)


def test_few_points_have_a_height_too() -> None:
    assert estimate_sensor_height(np.empty((0, 3))) == 0
    assert estimate_sensor_height(np.array([[1.0, 2.0, -3.0]])) == 3
    far = street(2.0)[0] + np.float32([500, 0, 0])  # nothing around the origin
    assert estimate_sensor_height(far) == pytest.approx(2.0, abs=0.1)


def test_on_a_real_street_the_estimate_is_the_calibrated_height(real_root: Path) -> None:
    xyz = real_street(real_root)
    assert estimate_sensor_height(xyz) == pytest.approx(1.84, abs=0.05)


@pytest.mark.parametrize("known", [True, False], ids=["known", "estimated"])
@pytest.mark.parametrize("height", [2.6, 3.2])
@pytest.mark.parametrize("generator", ["dbscan", "dbscan3d", "range_adaptive", "hdbscan"])
@pytest.mark.parametrize("ground", ["strips", "patchworkpp", "ransac"])
def test_a_street_seen_from_higher_has_regions_on_as_many_cars(
    ground: str, generator: str, height: float, known: bool
) -> None:
    usual = cars_with_a_region(*street(1.84), ground, generator, SensorMount(1.84))
    raised = cars_with_a_region(*street(height), ground, generator, SensorMount(height if known else None))
    assert usual == len(CARS)
    assert raised >= usual


def real_street(root: Path) -> np.ndarray:
    reader = NuScenesReader(root, "v1.0-mini", 1)
    return np.ascontiguousarray(reader.source(reader.frames(None)[0]).read().points[:, :3])


@pytest.mark.parametrize("height", [2.6, 3.2])
def test_a_real_street_seen_from_higher_has_the_same_regions(real_root: Path, height: float) -> None:
    xyz = real_street(real_root)
    regions = []
    for cloud, mount in (
        (xyz, SensorMount(1.841, "y")),
        (xyz - np.float32([0, 0, height - 1.841]), SensorMount(height, "y")),
    ):
        ground = GROUNDS["strips"](cloud, mount)
        regions.append(GENERATORS["dbscan"](cloud, ground, height_above_ground(cloud, ground)))
    assert regions[0].max() >= 20
    assert (regions[0] >= 0).sum() == pytest.approx((regions[1] >= 0).sum(), rel=0.01)  # rounding moves some points


@pytest.mark.parametrize("forward", ["x", "y"])
def test_strips_run_along_the_driving_direction(forward: str) -> None:
    """A bank on the left: strips along the road fit it separately, strips across would include the road."""
    rng = np.random.default_rng(0)
    along, across = rng.uniform(-50, 50, 20_000), rng.uniform(-50, 50, 20_000)
    height = np.where(across < -24, 1.0, 0.0) + rng.normal(0, 0.02, 20_000)  # -24: a border of strips
    columns = {"x": (along, across), "y": (across, along)}[forward]
    xyz = np.column_stack([*columns, height - 1.84]).astype(np.float32)
    assert GROUNDS["strips"](xyz, SensorMount(1.84, forward)).mean() > 0.99  # type: ignore[arg-type]
    other = {"x": "y", "y": "x"}[forward]
    assert GROUNDS["strips"](xyz, SensorMount(1.84, other)).mean() < 0.9  # type: ignore[arg-type]
