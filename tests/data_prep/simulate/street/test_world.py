"""Complete scenes: vehicles do not collide, objects are on the ground, all classes occur."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from data_prep.simulate.categories import LABEL
from data_prep.simulate.street.things import Thing
from data_prep.simulate.street.traffic import EGO_LENGTH, EGO_REAR_AXLE
from data_prep.simulate.street.world import World, build_world

DURATION = 4.0
CHALLENGE = {  # nuScenes' detection classes by category
    "vehicle.car", "vehicle.truck", "vehicle.bus.rigid", "vehicle.trailer", "vehicle.construction",
    "vehicle.motorcycle", "vehicle.bicycle", "human.pedestrian.adult", "movable_object.trafficcone",
    "movable_object.barrier",
}  # fmt: skip
FLAT = {"flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain"}


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [build_world(np.random.default_rng(seed), DURATION, hand) for seed in range(4) for hand in (1, -1)]


def outline(thing: Thing, time: float) -> shapely.Polygon:
    corner = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * 0.5 * thing.size[:2] + thing.center[:2]
    pose = thing.track.pose(time)
    return shapely.Polygon(corner @ pose[:2, :2].T + pose[:2, 3])


def test_all_detection_classes_and_surfaces_occur(worlds: list[World]) -> None:
    assert {thing.category for world in worlds for thing in world.things} >= CHALLENGE
    labels = {label for world in worlds for label in np.unique(world.ground_label)}
    assert labels >= {LABEL[name] for name in FLAT}
    assert {part.label for world in worlds for part in world.scenery} == {
        LABEL["static.manmade"],
        LABEL["static.vegetation"],
    }


def test_some_vehicles_park_and_some_move(worlds: list[World]) -> None:
    for world in worlds:
        cars = [thing for thing in world.things if thing.category == "vehicle.car"]
        assert cars
    attributes = {thing.attribute(2.0) for world in worlds for thing in world.things}
    assert attributes >= {"vehicle.parked", "vehicle.moving", "vehicle.stopped", "pedestrian.moving",
                          "pedestrian.standing", "cycle.with_rider", "cycle.without_rider"}  # fmt: skip


@pytest.mark.parametrize("time", [0.0, 2.0, DURATION])
def test_vehicles_do_not_drive_through_each_other(worlds: list[World], time: float) -> None:
    overlapping = total = 0
    for world in worlds:
        cars = [t for t in world.things if t.category.startswith("vehicle") and t.track.present_at(time)]
        cars = [t for t in cars if t.category not in ("vehicle.bicycle", "vehicle.bus.bendy")]
        polygon = [outline(thing, time) for thing in cars]
        first, second = shapely.STRtree(polygon).query(polygon, predicate="intersects")
        for a, b in zip(first, second, strict=True):
            if a < b and polygon[a].intersection(polygon[b]).area > 0.3:
                overlapping += 1
        total += len(cars)
    assert overlapping <= 0.03 * total


def test_ego_vehicle_collides_with_nothing(worlds: list[World]) -> None:
    body = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * [0.5 * EGO_LENGTH, 0.8]
    body += [0.5 * EGO_LENGTH - EGO_REAR_AXLE, 0.0]
    hits = 0
    for world in worlds:
        for time in np.arange(0.0, DURATION, 0.5):
            pose = world.ego.pose(time)
            ego = shapely.Polygon(body @ pose[:2, :2].T + pose[:2, 3])
            assert world.street.road_area.buffer(1.5).contains(ego)
            present = (thing for thing in world.things if thing.track.present_at(time))
            hits += any(outline(thing, time).intersection(ego).area > 0.1 for thing in present)
    assert hits == 0


def test_things_are_on_the_ground(worlds: list[World]) -> None:
    import open3d as o3d

    for world in worlds[:3]:
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        mesh = world.ground_mesh
        scene.add_triangles(o3d.core.Tensor(mesh.vertex), o3d.core.Tensor(mesh.triangle.astype(np.uint32)))
        still = [thing for thing in world.things if not thing.track.moves]
        foot = np.array([thing.track.pose(0.0)[:3, 3] for thing in still], np.float32)
        ray = np.column_stack([foot[:, :2], foot[:, 2] + 1.0, np.tile([0, 0, -1], (len(foot), 1))]).astype(np.float32)
        gap = scene.cast_rays(o3d.core.Tensor(ray))["t_hit"].numpy() - 1.0
        assert np.percentile(np.abs(gap), 95) < 0.06


def test_traffic_keeps_to_its_side(worlds: list[World]) -> None:
    """A moving car is to the right of the centre line for hand 1, else to the left."""
    for world, hand in zip(worlds, [1, -1] * 4, strict=True):
        road = world.street.roads[0]
        for thing in world.things:
            if thing.category != "vehicle.car" or not thing.track.moves:
                continue
            pose = thing.track.pose(2.0)
            s = road.curve.nearest(pose[:2, 3])
            heading = float(road.curve.heading_at(s))
            along = pose[0, 0] * np.cos(heading) + pose[1, 0] * np.sin(heading)
            left = np.array([-np.sin(heading), np.cos(heading)]) @ (pose[:2, 3] - road.curve.at(s))
            if abs(along) > 0.99 and 0.5 < abs(left) < road.traffic_half and 5 < s < road.curve.length - 5:
                assert np.sign(left) == -np.sign(along) * hand


def test_same_generator_draws_the_same_world() -> None:
    first, second = (build_world(np.random.default_rng(9), 1.0, 1) for _ in range(2))
    assert first.ground_mesh.vertex.tobytes() == second.ground_mesh.vertex.tobytes()
    assert [t.track.scene_from_thing.tobytes() for t in first.things] == [
        t.track.scene_from_thing.tobytes() for t in second.things
    ]
