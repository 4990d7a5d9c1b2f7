"""A complete street scene, drawn from one random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.simulate.categories import LABEL
from data_prep.simulate.mesh import Mesh
from data_prep.simulate.street.buildings import apartments, hall, offices, skyline
from data_prep.simulate.street.car_parks import CarPark, car_park, driveway
from data_prep.simulate.street.content import USUAL, StreetContent
from data_prep.simulate.street.ground import lay_ground
from data_prep.simulate.street.layout import Street, lay_out
from data_prep.simulate.street.lots import Lot, divide_into_lots
from data_prep.simulate.street.paint import Paint, paint_road
from data_prep.simulate.street.plants import bush, tree
from data_prep.simulate.street.scenery import Stage, fill_lots, furnish, park_along
from data_prep.simulate.street.things import Scenery, Thing, Track
from data_prep.simulate.street.traffic import EGO_LENGTH, EGO_REAR_AXLE, drive
from data_prep.simulate.street.trip import ego_path
from data_prep.simulate.street.walkers import people_on_foot
from data_prep.simulate.street.work_zones import work_zones
from pc_ssl.geometry import yaw_of

CHECK_EVERY = 0.2  # seconds between collision checks with the ego vehicle
EGO_WIDTH = 1.8  # metres, mirrors included


@dataclass(frozen=True)
class World:
    """Everything that the sensors can see in one scene, in the scene frame.

    Args:
        street: roads, lanes and crossings.
        walkway: the sidewalks.
        car_parks: the parking areas.
        ground_mesh, ground_label: the ground and the label of each of its triangles.
        paint: the road markings.
        scenery: objects with a label but without a box.
        things: objects with a box.
        ego: the track of the ego frame.
    """

    street: Street
    walkway: shapely.Geometry
    car_parks: list[CarPark]
    ground_mesh: Mesh
    ground_label: NDArray[np.uint8]
    paint: Paint
    scenery: list[Scenery]
    things: list[Thing]
    ego: Track


def build_world(rng: np.random.Generator, duration: float, hand: int, content: StreetContent = USUAL) -> World:
    """Draw a scene of `duration` seconds; `hand` is 1 for traffic on the right, -1 for traffic on the left."""
    turns = rng.random() < 0.2
    speed = rng.uniform(5.5, 11.5)
    trip = max(speed * duration, 12.0)
    street = lay_out(rng, trip, hand, turns, content)
    lots = divide_into_lots(rng, street, content)
    parks = {index: car_park(street, lot) for index, lot in enumerate(lots) if lot.kind == "car_park"}
    paved = [area for park in parks.values() for area in (park.area, park.driveway)]
    paved += [driveway(street, lot, 4.0) for lot in lots if lot.kind == "depot"]
    ground, walkway = lay_ground(rng, street, lots, paved)
    paint = paint_road(rng, street, [line for park in parks.values() for line in park.lines])
    stage = Stage(rng, street, ground, content)
    density = rng.uniform(0.35, 1.7)
    path = ego_path(rng, street, speed, turns=turns)
    ego, moving = drive(rng, street, ground, path, duration, density, content)
    stage.things += moving
    fill_lots(stage, lots, parks)
    work_zones(stage)
    park_along(stage)
    furnish(stage)
    people_on_foot(stage, duration, rng.uniform(0.3, 1.6))
    _hinterland(stage, lots)
    stage.scenery.append(Scenery(skyline(rng, 230.0), LABEL["static.manmade"]))
    mesh, label = ground.mesh()
    drive_by = _DriveBy.of(ego, duration)
    things = [thing for thing in stage.things if drive_by.passes(thing)]
    return World(street, walkway, list(parks.values()), mesh, label, paint, stage.scenery, things, ego)


@dataclass(frozen=True)
class _DriveBy:
    """The ego vehicle's trip, against which things are checked.

    Args:
        time: [T] seconds, CHECK_EVERY apart.
        center: [T, 2] middle of the vehicle.
        yaw: [T] heading, radians.
    """

    time: NDArray[np.float64]
    center: NDArray[np.float64]
    yaw: NDArray[np.float64]

    @classmethod
    def of(cls, ego: Track, duration: float) -> _DriveBy:
        time = np.arange(0.0, duration + CHECK_EVERY, CHECK_EVERY)
        pose = [ego.pose(t) for t in time]
        middle = np.array([0.5 * EGO_LENGTH - EGO_REAR_AXLE, 0.0, 0.0, 1.0])
        return cls(time, np.array([(own @ middle)[:2] for own in pose]), np.array([yaw_of(own) for own in pose]))

    def passes(self, thing: Thing) -> bool:
        """Whether it never collides with a thing: traffic yields to vehicles ahead, not to crossing ones."""
        reach = 0.5 * (EGO_LENGTH + float(np.linalg.norm(thing.size[:2]))) + float(np.linalg.norm(thing.center[:2]))
        if self._stays_away(thing, reach):
            return True
        for time, center, yaw in zip(self.time, self.center, self.yaw, strict=True):
            pose = thing.track.pose(time)
            if np.hypot(*(center - pose[:2, 3])) > reach or not thing.track.present_at(time):
                continue
            body = _rectangle(center, EGO_LENGTH, EGO_WIDTH, float(yaw))
            place = (pose @ np.append(thing.center, 1.0))[:2]
            if body.intersects(_rectangle(place, thing.size[0], thing.size[1], yaw_of(pose))):
                return False
        return True

    def _stays_away(self, thing: Thing, reach: float) -> bool:
        """Whether boxes around both paths are farther apart than `reach`; a quick check that settles most things."""
        path = thing.track.scene_from_thing[:, :2, 3]
        gap = np.maximum(path.min(0) - self.center.max(0), self.center.min(0) - path.max(0))
        return bool(gap.max() > reach)


def _hinterland(stage: Stage, lots: list[Lot]) -> None:
    """Buildings, trees and bushes on the land behind the lots."""
    rng = stage.rng
    lawn = next((surface.area for surface in stage.ground.surfaces if surface.name == "lawn"), shapely.Polygon())
    behind = lawn.difference(shapely.union_all([lot.area for lot in lots])).buffer(-2.0)
    shapely.prepare(behind)
    plots: list[shapely.Polygon] = []
    low_x, low_y, high_x, high_y = stage.street.extent.bounds
    area = (high_x - low_x) * (high_y - low_y)
    built_up = rng.uniform(0.2, 1.0)
    for center in rng.uniform((low_x, low_y), (high_x, high_y), (int(area * 0.0016 * built_up), 2)):
        width, depth, yaw = rng.uniform(14.0, 34.0), rng.uniform(10.0, 18.0), rng.uniform(0, 2 * np.pi)
        plot = _rectangle(center, width + 3.0, depth + 3.0, yaw)
        if behind.contains(plot) and not any(plot.intersects(other) for other in plots):
            make = (offices, apartments, hall)[int(rng.choice(3, p=[0.35, 0.45, 0.2]))]
            front = center + 0.5 * depth * np.array([np.sin(yaw), -np.cos(yaw)])
            stage.put(make(rng, width, depth), "static.manmade", front, yaw)
            plots.append(plot)
    behind = behind.difference(shapely.union_all(plots))
    xy = rng.uniform((low_x, low_y), (high_x, high_y), (int(area * rng.uniform(0.002, 0.005)), 2))
    for point in xy[shapely.contains_xy(behind, xy[:, 0], xy[:, 1])]:
        plant = tree(rng, rng.uniform(6.0, 13.0)) if rng.random() < 0.7 else bush(rng)
        stage.put(plant, "static.vegetation", point, rng.uniform(0, 2 * np.pi))


def _rectangle(center: NDArray, width: float, depth: float, yaw: float) -> shapely.Polygon:
    corner = 0.5 * np.array([[-width, -depth], [width, -depth], [width, depth], [-width, depth]])
    cos, sin = np.cos(yaw), np.sin(yaw)
    return shapely.Polygon(corner @ np.array([[cos, sin], [-sin, cos]]) + center)
