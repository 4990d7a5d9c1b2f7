"""Fills a street: buildings and gardens on the lots, furniture and trees along the roads, parked vehicles, people."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.categories import LABEL
from data_prep.simulate.mesh import Mesh
from data_prep.simulate.street import buildings, furniture, plants
from data_prep.simulate.street.car_parks import CarPark
from data_prep.simulate.street.cars import car
from data_prep.simulate.street.content import StreetContent
from data_prep.simulate.street.cycles import bicycle, bicycle_rack, motorcycle
from data_prep.simulate.street.ground import Ground
from data_prep.simulate.street.heavy import bus, construction_vehicle, trailer, truck
from data_prep.simulate.street.layout import Road, Street, free_stations
from data_prep.simulate.street.lots import Lot
from data_prep.simulate.street.people import draw_figure, person
from data_prep.simulate.street.roadside import barrier, bin_, debris, traffic_cone
from data_prep.simulate.street.things import Scenery, Thing, frame_at, standing

SMALL_FURNITURE = (  # share of the places along a kerb, and whether rare objects are there
    (0.16, False),  # sign
    (0.06, False),  # cabinet
    (0.04, False),  # hydrant
    (0.06, False),  # bollards
    (0.04, False),  # bin
    (0.08, True),  # bicycles
    (0.03, False),  # bus shelter
    (0.08, False),  # bush
    (0.45, False),  # nothing
)


@dataclass
class Stage:
    """The street under construction: the objects placed so far."""

    rng: np.random.Generator
    street: Street
    ground: Ground
    content: StreetContent
    scenery: list[Scenery] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    _closed: list[tuple[int, int, float, float]] = field(default_factory=list)

    def close(self, road: int, side: int, low: float, high: float) -> None:
        """Keep the kerb of a road free of parked vehicles between two stations."""
        self._closed.append((road, side, low, high))

    def is_closed(self, road: int, side: int, s: float) -> bool:
        return any((road, side) == (r, k) and low < s < high for r, k, low, high in self._closed)

    def put(self, mesh: Mesh, label: str, xy: NDArray, yaw: float) -> None:
        """Place scenery, unless it would be outside the built area."""
        low_x, low_y, high_x, high_y = self.street.extent.bounds
        if low_x < xy[0] < high_x and low_y < xy[1] < high_y:
            self.scenery.append(Scenery(mesh.moved(frame_at(self.ground, xy, yaw)), LABEL[label]))

    def park(self, category: str, mesh: Mesh, xy: NDArray, yaw: float, attribute: str) -> None:
        """Place a static object."""
        pose = frame_at(self.ground, xy, yaw, tilted=category.startswith("vehicle"))
        self.things.append(Thing(category, (mesh,), standing(pose), attribute, attribute))

    def stand(self, category: str, xy: NDArray, yaw: float) -> None:
        """Place a person who stands still."""
        mesh = person(draw_figure(self.rng, category), self.rng.random(), walking=False)
        self.park(category, mesh, xy, yaw, "pedestrian.standing")


def fill_lots(stage: Stage, lots: list[Lot], car_parks: dict[int, CarPark]) -> None:
    """Build on every lot; `car_parks` by the index of the lot."""
    for index, lot in enumerate(lots):
        if lot.kind == "car_park":
            _fill_car_park(stage, car_parks[index])
        elif lot.kind == "park":
            _plant(stage, lot, trees=0.012, bushes=0.012)
            _benches(stage, lot)
        elif lot.kind == "meadow":
            _plant(stage, lot, trees=0.003, bushes=0.004)
        elif lot.kind == "construction":
            _construction_site(stage, lot)
        elif lot.kind == "depot":
            _depot(stage, lot)
        else:
            _build(stage, lot)


def _on_lot(stage: Stage, lot: Lot, along: float, deep: float) -> tuple[NDArray, float]:
    """Position and heading (x along the road, y away from it) at shares of the lot's length and depth."""
    curve = stage.street.roads[lot.road].curve
    s = lot.low + along * lot.length
    yaw = float(curve.heading_at(s)) + (0.0 if lot.side > 0 else np.pi)
    return curve.at(s, lot.near + lot.side * deep * lot.depth), yaw


def _build(stage: Stage, lot: Lot) -> None:
    rng = stage.rng
    make = {
        "offices": buildings.offices,
        "apartments": buildings.apartments,
        "shops": buildings.shops,
        "houses": buildings.house,
    }[lot.kind]
    setback = {
        "offices": rng.uniform(0.5, 7.0),
        "apartments": rng.uniform(1.5, 7.0),
        "shops": 0.3,
        "houses": rng.uniform(3, 8),
    }
    back = setback[lot.kind]
    width = lot.length - (1.0 if lot.kind == "shops" else rng.uniform(2.0, 5.0))
    depth = min(lot.depth - back - 1.0, rng.uniform(9.0, 13.0) if lot.kind == "houses" else rng.uniform(13.0, 24.0))
    xy, yaw = _on_lot(stage, lot, 0.5, back / lot.depth)
    mesh = (
        buildings.ring_building(rng, 0.4 * width)
        if lot.kind == "offices" and rng.random() < 0.15
        else make(rng, width, depth)
    )
    stage.put(mesh, "static.manmade", xy, yaw)
    if back > 3.0:
        _front_garden(stage, lot, back)
    if lot.kind == "houses" and rng.random() < 0.6:
        xy, yaw = _on_lot(stage, lot, rng.choice([0.12, 0.88]), 0.45 * back / lot.depth)
        if back > 6.0:
            stage.park("vehicle.car", car(rng), xy, yaw + 0.5 * np.pi * rng.choice([-1, 1]), "vehicle.parked")


def _front_garden(stage: Stage, lot: Lot, back: float) -> None:
    rng = stage.rng
    if rng.random() < 0.6:
        side = lot.length * 0.5 - 2.0
        mesh = plants.hedge(rng, side) if rng.random() < 0.6 else furniture.fence(rng, side)
        label = "static.vegetation" if mesh.num_triangles > 200 and (mesh.material == 5).all() else "static.manmade"
        for along in (0.25, 0.75):
            xy, yaw = _on_lot(stage, lot, along, 0.5 / lot.depth)
            stage.put(mesh, label, xy, yaw)
    for _ in range(int(rng.integers(0, 5))):
        xy, yaw = _on_lot(stage, lot, rng.uniform(0.05, 0.95), rng.uniform(1.2, back - 1.2) / lot.depth)
        stage.put(plants.bush(rng), "static.vegetation", xy, rng.uniform(0, 6))
    if back > 5.0 and rng.random() < 0.7:
        xy, yaw = _on_lot(stage, lot, rng.uniform(0.15, 0.85), 0.45 * back / lot.depth)
        stage.put(plants.tree(rng, rng.uniform(4.0, 7.0)), "static.vegetation", xy, rng.uniform(0, 6))


def _plant(stage: Stage, lot: Lot, *, trees: float, bushes: float) -> None:
    """Plant trees and bushes; `trees` and `bushes` are densities per square metre."""
    area = lot.length * lot.depth
    for make, density in ((plants.tree, trees), (plants.bush, bushes)):
        for _ in range(stage.rng.poisson(density * area)):
            xy, _ = _on_lot(stage, lot, stage.rng.uniform(0.03, 0.97), stage.rng.uniform(0.05, 0.97))
            stage.put(make(stage.rng), "static.vegetation", xy, stage.rng.uniform(0, 2 * np.pi))


def _benches(stage: Stage, lot: Lot) -> None:
    for along in np.arange(0.15, 0.9, 0.25):
        xy, yaw = _on_lot(stage, lot, along, 1.2 / lot.depth)
        stage.put(furniture.bench(stage.rng), "static.manmade", xy, yaw + np.pi)
        if stage.rng.random() < 0.3:
            stage.stand("human.pedestrian.adult", xy + stage.rng.normal(0, 0.5, 2) + 0.9, stage.rng.uniform(-3, 3))


def _fill_car_park(stage: Stage, park: CarPark) -> None:
    rng = stage.rng
    full = rng.uniform(0.25, 0.9)
    for x, y, heading in park.places:
        if rng.random() < full:
            yaw = heading + (np.pi if rng.random() < 0.45 else 0.0) + rng.normal(0, 0.02)
            xy = np.array([x, y]) + rng.normal(0, 0.12, 2)
            if rng.random() < stage.content.often(0.06, 0.4):
                stage.park("vehicle.motorcycle", motorcycle(rng, rider=False), xy, yaw, "cycle.without_rider")
            else:
                stage.park("vehicle.car", car(rng), xy, yaw, "vehicle.parked")


def _construction_site(stage: Stage, lot: Lot) -> None:
    rng = stage.rng
    kind = str(rng.choice(["fence", "water", "concrete"]))
    for along in np.arange(1.2, lot.length - 1.0, 2.25):
        if rng.random() < 0.9:
            xy, yaw = _on_lot(stage, lot, along / lot.length, 0.3 / lot.depth)
            stage.park("movable_object.barrier", barrier(rng, kind), xy, yaw + 0.5 * np.pi, "")
    for along, deep in ((0.25, 0.35), (0.75, 0.4), (0.5, 0.75)):
        xy, yaw = _on_lot(stage, lot, along + rng.uniform(-0.05, 0.05), deep)
        draw = rng.random()
        if draw < 0.7:
            stage.park(
                "vehicle.construction", construction_vehicle(rng), xy, rng.uniform(-np.pi, np.pi), "vehicle.parked"
            )
        elif draw < 0.85:
            stage.park("vehicle.truck", truck(rng), xy, yaw, "vehicle.parked")
        else:
            stage.put(buildings.hall(rng, 8.0, 3.0), "static.manmade", xy, yaw)
    for _ in range(int(rng.integers(1, 5))):
        xy, _ = _on_lot(stage, lot, rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.2))
        stage.stand("human.pedestrian.construction_worker", xy, rng.uniform(-np.pi, np.pi))
    for _ in range(int(rng.integers(1, 5))):
        xy, _ = _on_lot(stage, lot, rng.uniform(0.1, 0.9), rng.uniform(0.04, 0.15))
        make, category = ((debris, "movable_object.debris"), (traffic_cone, "movable_object.trafficcone"))[
            int(rng.integers(2))
        ]
        stage.park(category, make(rng), xy, rng.uniform(-np.pi, np.pi), "")


def _depot(stage: Stage, lot: Lot) -> None:
    rng = stage.rng
    xy, yaw = _on_lot(stage, lot, 0.5, 20.0 / lot.depth)
    if lot.depth > 30.0:
        stage.put(buildings.hall(rng, lot.length - 3.0, lot.depth - 21.0), "static.manmade", xy, yaw)
    for along in np.arange(3.0, lot.length - 3.0, 4.2):
        draw = rng.random()
        if draw < 0.25:
            continue
        xy, yaw = _on_lot(stage, lot, along / lot.length, 10.0 / lot.depth)
        if draw < 0.55:
            category, mesh = "vehicle.trailer", trailer(rng)
        elif draw < 0.78:
            category, mesh = "vehicle.truck", truck(rng)
        elif draw < 0.92:
            category, mesh = "vehicle.bus.rigid", bus(rng, bendy=False)[0]
        else:
            category, mesh = "vehicle.construction", construction_vehicle(rng)
        stage.park(category, mesh, xy, yaw + 0.5 * np.pi * rng.choice([-1, 1]) + rng.normal(0, 0.02), "vehicle.parked")


def park_along(stage: Stage) -> None:
    """Vehicles in the parking lanes."""
    rng = stage.rng
    for index, road in enumerate(stage.street.roads):
        for side in (-1, 1):
            width = road.parking[0 if side < 0 else 1]
            if not width:
                continue
            full = rng.uniform(0.3, 0.95)
            d = side * (road.traffic_half + 0.5 * width)
            for low, high in free_stations(stage.street, index, margin=7.0):
                for s in np.arange(low + 3.2, high - 3.2, 6.0):
                    if rng.random() < full and not stage.is_closed(index, side, s):
                        _park_at(stage, road, s + rng.uniform(-0.4, 0.4), d, side, width)


def _park_at(stage: Stage, road: Road, s: float, d: float, side: int, width: float) -> None:
    rng = stage.rng
    forward = side * stage.street.hand < 0  # with the traffic of its side
    yaw = float(road.curve.heading_at(s)) + (0.0 if forward else np.pi) + rng.normal(0, 0.015)
    xy = road.curve.at(s, d + rng.normal(0, 0.08))
    draw = rng.random()
    cars, motorcycles, _ = stage.content.shares([0.86, 0.06, 0.08], [False, True, False])
    if draw < cars:
        stage.park("vehicle.car", car(rng), xy, yaw, "vehicle.parked")
    elif draw < cars + motorcycles:
        for k in range(int(rng.integers(1, 4))):
            along = road.curve.at(s + 1.1 * k - 1.1, d)
            stage.park(
                "vehicle.motorcycle",
                motorcycle(rng, rider=False),
                along,
                yaw + 0.5 * np.pi * side,
                "cycle.without_rider",
            )
    else:
        mesh = truck(rng)
        low, high = mesh.bounds()
        if high[0] - low[0] < 5.9 and high[1] - low[1] < width + 0.3:
            stage.park("vehicle.truck", mesh, xy, yaw, "vehicle.parked")


def furnish(stage: Stage) -> None:
    """Lamps, trees, signs, lights, shelters, racks and bins along all roads."""
    for index, road in enumerate(stage.street.roads):
        for side in (-1, 1):
            _furnish_side(stage, index, road, side)
    for junction in stage.street.junctions:
        main = stage.street.roads[0]
        for direction in (-1, 1):
            side = -direction * stage.street.hand
            s = junction.main_s - direction * (junction.main_half + 5.5)
            d = main.edge(side) + 0.5 * side
            yaw = float(main.curve.heading_at(s)) + (0.0 if direction > 0 else np.pi)
            reach = stage.rng.choice([0.0, 4.0]) * stage.street.hand
            light = furniture.traffic_light(stage.rng, abs(reach))
            light = light if stage.street.hand > 0 else _flipped(light)
            stage.put(light, "static.manmade", main.curve.at(s, d), yaw)


def _flipped(mesh: Mesh) -> Mesh:
    from data_prep.simulate.mesh import mirrored

    return mirrored(mesh)


def _furnish_side(stage: Stage, index: int, road: Road, side: int) -> None:
    rng = stage.rng
    kerb = road.edge(side) + 0.55 * side
    lamp_every, tree_every = rng.uniform(22.0, 36.0), rng.choice([0.0, rng.uniform(7.0, 14.0)], p=[0.35, 0.65])
    tree_kind = rng.uniform(4.5, 9.0)
    wall = road.back(side) - 0.35 * side
    parking = road.parking[0 if side < 0 else 1] > 0  # work zones are then in the parking lane, not on the kerb
    for low, high in free_stations(stage.street, index, margin=6.5):
        for s in np.arange(low + rng.uniform(0, 8), high, lamp_every):
            if parking or not stage.is_closed(index, side, s):
                inward = float(road.curve.heading_at(s)) - 0.5 * np.pi * side
                stage.put(furniture.street_lamp(rng), "static.manmade", road.curve.at(s, kerb), inward)
        if tree_every and road.verge + road.sidewalk > 2.3:
            for s in np.arange(low + 4.0, high, tree_every):
                if parking or not stage.is_closed(index, side, s):
                    tree = plants.tree(rng, tree_kind * rng.uniform(0.85, 1.15))
                    stage.put(tree, "static.vegetation", road.curve.at(s, kerb + 0.25 * side), rng.uniform(0, 6))
        for s in np.arange(low + 6.0, high, 9.0):
            if not stage.is_closed(index, side, s):
                _small_furniture(stage, road, s + rng.uniform(-2, 2), kerb, wall, side)


def _small_furniture(stage: Stage, road: Road, s: float, kerb: float, wall: float, side: int) -> None:
    rng = stage.rng
    heading = float(road.curve.heading_at(s))
    at_kerb, at_wall = road.curve.at(s, kerb), road.curve.at(s, wall)
    towards = heading + (0.0 if side * stage.street.hand < 0 else np.pi)
    draw = rng.random()
    share = stage.content.shares([share for share, _ in SMALL_FURNITURE], [rare for _, rare in SMALL_FURNITURE])
    sign, cabinet, hydrant, bollards, bins, bicycles, shelter, bush, _ = np.cumsum(share)
    if draw < sign:
        stage.put(furniture.sign(rng), "static.manmade", at_kerb, towards + rng.normal(0, 0.2))
    elif draw < cabinet:
        stage.put(furniture.cabinet(rng), "static.manmade", at_wall, heading + 0.5 * np.pi)
    elif draw < hydrant:
        stage.put(furniture.hydrant(rng), "static.manmade", at_kerb, heading)
    elif draw < bollards:
        for k in range(int(rng.integers(3, 7))):
            stage.put(furniture.bollard(rng), "static.manmade", road.curve.at(s + 1.5 * k, kerb - 0.2 * side), heading)
    elif draw < bins:
        stage.park("movable_object.pushable_pullable", bin_(rng), at_wall, heading + 0.5 * np.pi * side + np.pi, "")
    elif draw < bicycles and road.sidewalk > 2.2:
        _parked_bicycles(stage, road, s, kerb + 0.5 * side, heading)
    elif draw < shelter and road.sidewalk > 3.0:
        yaw = heading + (np.pi if side < 0 else 0.0)
        stage.put(furniture.bus_shelter(rng), "static.manmade", road.curve.at(s, kerb + 0.9 * side), yaw)
        for _ in range(int(rng.integers(1, 4))):
            xy = road.curve.at(s + rng.uniform(-1.6, 1.6), kerb + rng.uniform(0.3, 1.0) * side)
            stage.stand("human.pedestrian.adult", xy, heading - 0.5 * np.pi * side)
    elif draw < bush:
        stage.put(plants.bush(rng), "static.vegetation", road.curve.at(s, wall + 0.9 * side), rng.uniform(0, 6))


def _parked_bicycles(stage: Stage, road: Road, s: float, d: float, heading: float) -> None:
    rng = stage.rng
    count = int(rng.integers(1, 5))
    if count >= 3 and rng.random() < 0.5:
        stage.park(
            "static_object.bicycle_rack",
            bicycle_rack(rng, count),
            road.curve.at(s + 0.45 * (count - 1), d),
            heading + 0.5 * np.pi,
            "",
        )
    for k in range(count):
        xy = road.curve.at(s + 0.9 * k + 0.25, d)
        stage.park(
            "vehicle.bicycle",
            bicycle(rng, rider=False),
            xy,
            heading + 0.5 * np.pi + rng.normal(0, 0.12),
            "cycle.without_rider",
        )
