"""Properties of all ground methods, and of RANSAC and Patchwork++."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.nuscenes import NuScenesReader
from data_prep.regions import GROUNDS
from data_prep.regions.ground_floor import FloorGround
from data_prep.regions.ground_patchwork import PatchworkGround
from data_prep.regions.ground_ransac import RansacGround
from data_prep.regions.mount import SensorMount

NUSCENES = SensorMount(1.841, "y")


def street(seed: int = 0, slope: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """A cloud around a sensor 1.84 m above a slightly sloping street: ground, walls and boxes; True for ground."""
    rng = np.random.default_rng(seed)
    angle, reach = rng.uniform(-np.pi, np.pi, 8000), 40 * np.sqrt(rng.uniform(0.01, 1, 8000))
    ground = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), rng.normal(-1.84, 0.02, 8000)])
    walls = np.column_stack([rng.uniform(-35, 35, 1500), rng.choice([-20, 20], 1500), rng.uniform(-1, 6, 1500)])
    boxes = rng.uniform(-15, 15, (5, 1, 3)) * [1, 1, 0] + rng.uniform([-2, -1, -1.4], [2, 1, 0], (5, 200, 3))
    xyz = np.concatenate([ground, walls, boxes.reshape(-1, 3)])
    xyz[:, 2] += slope * xyz[:, 0]
    is_ground = np.arange(len(xyz)) < len(ground)
    order = rng.permutation(len(xyz))
    return xyz[order].astype(np.float32), is_ground[order]


@pytest.mark.parametrize("name", [name for name in GROUNDS if name != "floor"])
def test_ground_is_found_and_objects_are_not(name: str) -> None:
    xyz, expected = street()
    ground = GROUNDS[name](xyz, NUSCENES)
    near = np.hypot(xyz[:, 0], xyz[:, 1]) > 3  # Patchwork++ leaves out nearer points
    assert (ground & expected & near).sum() > 0.95 * (expected & near).sum()
    assert (ground & ~expected).sum() < 0.03 * (~expected).sum()


@pytest.mark.parametrize("name", GROUNDS)
def test_ground_of_a_frame_does_not_depend_on_the_frames_before(name: str) -> None:
    xyz, _ = street(1)
    alone = GROUNDS[name](xyz, NUSCENES)
    GROUNDS[name](street(2, slope=0.1)[0], NUSCENES)
    assert np.array_equal(GROUNDS[name](xyz, NUSCENES), alone)


@pytest.mark.parametrize("name", GROUNDS)
@pytest.mark.parametrize("points", [0, 1, 2, 3, 60])
def test_few_points_are_not_an_error(name: str, points: int) -> None:
    ground = GROUNDS[name](np.zeros((points, 3), np.float32), NUSCENES)
    assert (ground.dtype, ground.shape) == (np.bool_, (points,))


def test_ransac_finds_the_plane() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(-30, 30, (5000, 2))
    height = np.concatenate([rng.normal(0, 0.03, 3000), rng.uniform(0.5, 3, 2000)])
    xyz = np.column_stack([xy, 0.1 * xy[:, 0] - 0.05 * xy[:, 1] - 1.8 + height]).astype(np.float32)
    assert np.array_equal(RansacGround(thickness=0.25)(xyz, NUSCENES), np.arange(5000) < 3000)
    thin = RansacGround(thickness=0.05)(xyz, NUSCENES)
    expected = np.abs(height) / np.sqrt(1 + 0.1**2 + 0.05**2) <= 0.05
    assert (thin != expected).sum() < 0.01 * len(xyz)


def test_ransac_does_not_label_a_wall_as_ground() -> None:
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(-20, 20, 5000), np.full(5000, 8.0), rng.uniform(-2, 10, 5000)])
    floor = np.column_stack([rng.uniform(-20, 20, (1000, 2)), np.full(1000, -1.8)])
    ground = RansacGround()(np.concatenate([wall, floor]).astype(np.float32), NUSCENES)
    assert ground[5000:].all()
    assert ground[:5000].mean() < 0.1
    assert not RansacGround()(wall.astype(np.float32), NUSCENES).any()


def test_patchwork_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    PatchworkGround()(street()[0], NUSCENES)
    print("still here", flush=True)
    assert capfd.readouterr().out == "still here\n"


def test_on_a_real_street_the_methods_agree(real_root: Path) -> None:
    reader = NuScenesReader(real_root, "v1.0-mini", 1)
    xyz = np.ascontiguousarray(reader.source(reader.frames(None)[0]).read().points[:, :3])
    found = {name: ground(xyz, NUSCENES) for name, ground in GROUNDS.items() if name != "floor"}  # "floor" is for rooms
    for ground in found.values():
        assert 0.5 < ground.mean() < 0.7
        for other in found.values():
            assert (ground & other).sum() > 0.8 * (ground | other).sum()


def test_the_floor_of_a_room_is_found_under_a_larger_table_and_ceiling() -> None:
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(0, 6, (3000, 2)), rng.normal(0.1, 0.008, 3000)])
    floor[:, 2] += 0.01 * floor[:, 0]  # not quite level
    table = np.column_stack([rng.uniform(1, 4, (6000, 2)), rng.normal(0.75, 0.005, 6000)])
    ceiling = np.column_stack([rng.uniform(0, 6, (9000, 2)), rng.normal(2.6, 0.005, 9000)])
    stray = np.column_stack([rng.uniform(0, 6, (20, 2)), rng.uniform(-1.5, 0, 20)])  # seen in a mirror
    xyz = np.concatenate([floor, table, ceiling, stray]).astype(np.float32)
    ground = FloorGround()(xyz, NUSCENES)
    assert ground[:3000].mean() > 0.999
    assert not ground[3000:18000].any()
