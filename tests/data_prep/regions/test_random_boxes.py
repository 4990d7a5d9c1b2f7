from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_prep.regions.random_boxes import RandomBoxRegions

BOXES = RandomBoxRegions(boxes=30, reach=20.0)


def _street(seed: int = 0, points: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).uniform([-20, -20, -1], [20, 20, 2], (points, 3)).astype(np.float32)


@given(seed=st.integers(0, 100))
def test_a_region_is_no_wider_than_a_box_and_has_enough_points(seed: int) -> None:
    xyz = _street(seed)
    region = BOXES(xyz, np.zeros(len(xyz), bool), xyz[:, 2])
    assert region.max() >= 5
    for number in range(region.max() + 1):
        members = xyz[region == number, :2]
        assert len(members) >= BOXES.min_points
        assert (np.ptp(members, axis=0) <= BOXES.max_side).all()


def test_the_first_box_has_all_points_within_it() -> None:
    xyz = _street(points=40_000)
    one = RandomBoxRegions(boxes=1, reach=5.0, min_side=4.0, max_side=4.0, min_points=1)
    members = one(xyz, np.zeros(len(xyz), bool), xyz[:, 2]) == 0
    low, high = xyz[members, :2].min(axis=0), xyz[members, :2].max(axis=0)
    between = ((xyz[:, :2] >= low) & (xyz[:, :2] <= high)).all(axis=1)
    np.testing.assert_array_equal(members, between)
    np.testing.assert_allclose(high - low, 4.0, atol=0.1)


def test_boxes_depend_on_points_and_seed() -> None:
    xyz, ground = _street(), np.zeros(4000, bool)
    region = BOXES(xyz, ground, xyz[:, 2])
    np.testing.assert_array_equal(region, BOXES(xyz.copy(), ground, xyz[:, 2]))
    assert (region != replace(BOXES, seed=1)(xyz, ground, xyz[:, 2])).any()
    moved = BOXES(xyz + np.float32(1e-3), ground, xyz[:, 2])
    assert (region != moved).mean() > 0.05  # another scene, other boxes
