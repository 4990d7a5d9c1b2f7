"""The LiDAR in scenes known in closed form: a level road and a wall."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.simulate.categories import LABEL
from data_prep.simulate.geometry import Geometry, Moment
from data_prep.simulate.lidar import RANGE_NOISE, Lidar
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, box, quads
from data_prep.simulate.raycast import Shell
from data_prep.simulate.rig import CAMERAS, COLUMNS, ego_from_lidar
from data_prep.simulate.street.paint import Paint
from data_prep.simulate.street.things import Scenery, Thing, standing

ROAD: Color = (128, 128, 128)
STILL = [Moment(0.0, Shell(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int32)), [], np.zeros((0, 4, 4)))]
PAINT = Paint(np.zeros((2, 2, 2), np.uint8), np.array([1e3, 1e3]))


def world_of(scenery: list[Scenery], things: list[Thing], material: Material = Material.CONCRETE) -> SimpleNamespace:
    corner = 300.0 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    ground = quads(corner[None], material, ROAD)
    label = np.full(2, LABEL["flat.driveable_surface"], np.uint8)
    return SimpleNamespace(ground_mesh=ground, ground_label=label, scenery=scenery, things=things)


def sweep_of(world: SimpleNamespace, pose: np.ndarray, before: np.ndarray, beams: int = 32):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    lidar = Lidar(Geometry(rng, world), PAINT, beams, COLUMNS)
    return lidar.sweep(rng, STILL * len(CAMERAS), pose, before)


def in_ego_frame(sweep) -> np.ndarray:  # type: ignore[no-untyped-def]
    return sweep.point[:, :3] @ ego_from_lidar()[:3, :3].T + ego_from_lidar()[:3, 3]


def test_ground_points_are_on_the_ground_up_to_range_noise() -> None:
    sweep = sweep_of(world_of([], []), np.eye(4), np.eye(4))
    road = sweep.label == LABEL["flat.driveable_surface"]
    point = in_ego_frame(sweep)[road]
    assert road.sum() > 8000
    steep = np.linalg.norm(point[:, :2] - ego_from_lidar()[:2, 3], axis=1) < 5.0
    height = ego_from_lidar()[2, 3]
    off = point[steep, 2] / height * np.linalg.norm(sweep.point[road][steep, :3], axis=1)  # height as range
    assert abs(off.mean()) < 0.002
    assert RANGE_NOISE * 0.9 < off.std() < RANGE_NOISE * 1.3  # and the surface's roughness


def test_sensor_motion_does_not_distort_the_scene() -> None:
    """Rays start at the sensor's position when they fire; points are in the frame of the end of the rotation."""
    wall = box((0.5, 80.0, 6.0), (20.0, 0.0, 3.0), Material.CONCRETE, ROAD)
    now, before = np.eye(4), np.eye(4)
    now[0, 3], before[0, 3] = 5.0, 4.25  # 15 m/s
    sweep = sweep_of(world_of([Scenery(wall, LABEL["static.manmade"])], []), now, before)
    point = in_ego_frame(sweep)[sweep.label == LABEL["static.manmade"]]
    face = point[(np.abs(point[:, 1]) < 30) & (point[:, 2] < 5.5)]
    assert len(face) > 500
    assert abs(np.median(face[:, 0]) - (20.0 - 0.25 - 5.0)) < 0.01
    assert np.percentile(np.abs(face[:, 0] - 14.75), 95) < 0.08


def test_every_ray_is_kept_in_firing_order_and_lost_ones_are_at_the_sensor() -> None:
    sweep = sweep_of(world_of([], []), np.eye(4), np.eye(4))
    np.testing.assert_array_equal(sweep.point[:64, 4], np.tile(np.arange(32), 2))
    lost = ~sweep.returned
    assert np.linalg.norm(sweep.point[lost, :3], axis=1).max() < 1e-3
    assert (sweep.label[lost] == LABEL["vehicle.ego"]).all()
    assert lost.reshape(-1, 32)[:, 24:].all()  # above the horizon there is nothing


def test_box_in_the_way_is_hit_and_casts_a_shadow_of_points() -> None:
    pose = np.eye(4)
    pose[:2, 3] = 8.0, 1.0
    mesh = box((2.0, 2.0, 2.5), (0, 0, 1.25), Material.CONCRETE, ROAD)
    thing = Thing("vehicle.car", (mesh,), standing(pose), "vehicle.parked", "vehicle.parked")
    sweep = sweep_of(world_of([], [thing]), np.eye(4), np.eye(4))
    point = in_ego_frame(sweep)
    hit = sweep.owner == 0
    assert hit.sum() > 200
    assert (sweep.label[hit] == LABEL["vehicle.car"]).all()
    assert (np.abs(point[hit] - [8.0, 1.0, 1.25]) < np.array([1.0, 1.0, 1.25]) + 0.1).all()
    behind = (point[:, 0] > 10.0) & (np.abs(point[:, 1] - 0.12 * point[:, 0]) < 0.4) & sweep.returned
    assert not behind.any()


@pytest.mark.parametrize(
    ("dark", "bright"), [(Material.RUBBER, Material.CONCRETE), (Material.CONCRETE, Material.RETRO)]
)
def test_brighter_materials_give_higher_intensities(dark: Material, bright: Material) -> None:
    strength = []
    for material in (dark, bright):
        wall = box((0.5, 30.0, 6.0), (10.0, 0.0, 3.0), material, ROAD)
        sweep = sweep_of(world_of([Scenery(wall, LABEL["static.manmade"])], []), np.eye(4), np.eye(4))
        intensity = sweep.point[sweep.label == LABEL["static.manmade"], 3]
        assert ((intensity >= 0) & (intensity <= 255) & (intensity == np.floor(intensity))).all()
        strength.append(np.median(intensity))
    assert strength[0] < strength[1]


def test_far_ground_is_lost_more_often_than_near_ground() -> None:
    sweep = sweep_of(world_of([], [], Material.ASPHALT), np.eye(4), np.eye(4))
    share = sweep.returned.reshape(-1, 32).mean(0)
    assert share[12] > 0.9 > 0.6 > share[21]
