from pathlib import Path

import numpy as np
import pytest

from data_prep.regions.ground import StripPlaneGround
from data_prep.regions.mount import SensorMount

NUSCENES = SensorMount(1.841, "y")


def street(rng: np.random.Generator, slope_x: float = 0.0, slope_y: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] of a plane with blocks on it, and which of them are ground."""
    xy = rng.uniform(-50, 50, (8000, 2))
    on_block = rng.random(8000) < 0.2
    height = np.where(on_block, rng.uniform(0.4, 2.0, 8000), rng.normal(0, 0.02, 8000))
    z = -1.84 + slope_x * xy[:, 0] + slope_y * xy[:, 1] + height
    return np.column_stack([xy, z]).astype(np.float32), ~on_block


@pytest.mark.parametrize(("slope_x", "slope_y"), [(0, 0), (0, 0.008), (0, -0.008), (0.008, 0), (-0.004, 0.004)])
def test_a_tilted_street_is_ground_and_objects_are_not(slope_x: float, slope_y: float) -> None:
    xyz, expected = street(np.random.default_rng(0), slope_x, slope_y)
    np.testing.assert_array_equal(StripPlaneGround()(xyz, NUSCENES), expected)


def plain_numpy(xyz: np.ndarray) -> np.ndarray:
    """Reference: one strip at a time, with numpy's eigendecomposition."""
    ground = np.zeros(len(xyz), bool)
    for start in np.arange(-54.0, 54.0, 10.0):
        rows = np.flatnonzero((xyz[:, 0] >= start) & (xyz[:, 0] < start + 10))
        strip = xyz[rows].astype(np.float64)
        if len(strip) < 50:
            continue
        above_floor = strip[strip[:, 2] >= -1.841 - 0.5]
        seeds = above_floor[above_floor[:, 2] < np.sort(above_floor[:, 2])[:50].mean() + 0.5]
        for _ in range(5):
            normal = np.linalg.svd(np.cov(seeds.T, bias=True))[0][:, 2]
            normal = normal * np.sign(normal[2])
            limit = normal @ seeds.mean(axis=0) + 0.2
            seeds = seeds[seeds @ normal < limit]
        ground[rows] = strip @ normal < limit
    return ground


@pytest.mark.parametrize("seed", range(5))
def test_planes_equal_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz, _ = street(rng, *rng.uniform(-0.01, 0.01, 2))
    xyz[:, 2] += rng.normal(0, 0.1, len(xyz))
    xyz = np.concatenate([xyz, rng.uniform([-60, -60, -6], [60, 60, -2.5], (50, 3)).astype(np.float32)])
    found, expected = StripPlaneGround()(xyz, NUSCENES), plain_numpy(xyz)
    assert (found != expected).sum() <= 2  # points within rounding of a plane


def test_reflections_below_the_street_are_ground_but_do_not_pull_it_down() -> None:
    xyz, expected = street(np.random.default_rng(1))
    below = xyz[:200] * [1, 1, 0] - np.float32([0, 0, 4])
    found = StripPlaneGround()(np.concatenate([xyz, below.astype(np.float32)]), NUSCENES)
    np.testing.assert_array_equal(found[: len(xyz)], expected)
    assert found[len(xyz) :].all()


def test_nothing_outside_the_strips_or_in_an_empty_strip_is_ground() -> None:
    inside, _ = street(np.random.default_rng(2))
    far = np.array([[57, 0, -1.84], [-55, 0, -1.84]], np.float32)
    assert not StripPlaneGround()(np.concatenate([inside, far]), NUSCENES)[-2:].any()
    assert not StripPlaneGround()(
        inside[:40] * np.float32([0.01, 1, 1]), NUSCENES
    ).any()  # 40 points: fewer than 50 a strip
    assert StripPlaneGround()(np.empty((0, 3), np.float32), NUSCENES).shape == (0,)


def test_a_strip_with_all_points_below_the_floor_has_no_ground() -> None:
    assert not StripPlaneGround()(np.tile(np.float32([0, 0, -9]), (100, 1)), NUSCENES).any()


def test_the_real_street(real_root: Path) -> None:
    file = next((real_root / "samples" / "LIDAR_TOP").iterdir())
    xyz = np.fromfile(file, np.float32).reshape(-1, 5)[:, :3].copy()
    ground = StripPlaneGround()(xyz, NUSCENES)
    np.testing.assert_array_equal(ground, plain_numpy(xyz))
    near = (np.hypot(xyz[:, 0], xyz[:, 1]) < 10) & (np.abs(xyz[:, 0]) > 1.5)
    assert np.abs(xyz[near & ground, 2] + 1.84).max() < 0.6
