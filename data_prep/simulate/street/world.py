"""One whole scene, drawn from one random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.simulate.categories import LABEL
from data_prep.simulate.mesh import Mesh
from data_prep.simulate.street.buildings import skyline
from data_prep.simulate.street.car_parks import CarPark, car_park, driveway
from data_prep.simulate.street.ground import lay_ground
from data_prep.simulate.street.layout import Street, lay_out
from data_prep.simulate.street.lots import Lot, divide_into_lots
from data_prep.simulate.street.paint import Paint, paint_road
from data_prep.simulate.street.plants import bush, tree
from data_prep.simulate.street.scenery import Stage, fill_lots, furnish, park_along
from data_prep.simulate.street.things import Scenery, Thing, Track
from data_prep.simulate.street.traffic import drive
from data_prep.simulate.street.trip import ego_path
from data_prep.simulate.street.walkers import people_on_foot, work_zones


@dataclass(frozen=True)
class World:
    """Everything that the sensors of one scene can see, in the scene frame.

    Args:
        street: roads, lanes and crossings.
        walkway: the sidewalks.
        car_parks: the parking areas.
        ground_mesh, ground_label: the ground and the label of each of its triangles.
        paint: the markings on the road.
        scenery: what has a label but no box.
        things: what has a box.
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


def build_world(rng: np.random.Generator, duration: float, hand: int) -> World:
    """Draw a scene of `duration` seconds; `hand` is 1 for traffic on the right, -1 for traffic on the left."""
    turns = rng.random() < 0.2
    speed = rng.uniform(5.5, 11.5)
    trip = max(speed * duration, 12.0)
    street = lay_out(rng, trip, hand, turns)
    lots = divide_into_lots(rng, street)
    parks = {index: car_park(street, lot) for index, lot in enumerate(lots) if lot.kind == "car_park"}
    paved = [area for park in parks.values() for area in (park.area, park.driveway)]
    paved += [driveway(street, lot, 4.0) for lot in lots if lot.kind == "depot"]
    ground, walkway = lay_ground(rng, street, lots, paved)
    paint = paint_road(rng, street, [line for park in parks.values() for line in park.lines])
    stage = Stage(rng, street, ground)
    density = rng.uniform(0.35, 1.7)
    ego, moving = drive(rng, street, ground, ego_path(rng, street, speed, turns=turns), duration, density)
    stage.things += moving
    fill_lots(stage, lots, parks)
    park_along(stage)
    furnish(stage)
    work_zones(stage)
    people_on_foot(stage, duration, rng.uniform(0.3, 1.6))
    _wild_plants(stage, lots)
    stage.scenery.append(Scenery(skyline(rng, 230.0), LABEL["static.manmade"]))
    mesh, label = ground.mesh()
    return World(street, walkway, list(parks.values()), mesh, label, paint, stage.scenery, stage.things, ego)


def _wild_plants(stage: Stage, lots: list[Lot]) -> None:
    """Trees and bushes on the land behind the lots."""
    lawn = next((surface.area for surface in stage.ground.surfaces if surface.name == "lawn"), shapely.Polygon())
    behind = lawn.difference(shapely.union_all([lot.area for lot in lots])).buffer(-2.0)
    low_x, low_y, high_x, high_y = stage.street.extent.bounds
    count = int((high_x - low_x) * (high_y - low_y) * 0.003)
    xy = stage.rng.uniform((low_x, low_y), (high_x, high_y), (count, 2))
    for point in xy[shapely.contains_xy(behind, xy[:, 0], xy[:, 1])]:
        make = tree if stage.rng.random() < 0.6 else bush
        stage.put(make(stage.rng), "static.vegetation", point, stage.rng.uniform(0, 2 * np.pi))
