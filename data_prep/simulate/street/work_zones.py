"""Work zones at the kerb and rows of barriers on medians."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.street.heavy import construction_vehicle
from data_prep.simulate.street.layout import free_stations
from data_prep.simulate.street.roadside import barrier, traffic_cone
from data_prep.simulate.street.scenery import Stage

TAPER = 9.0  # metres kept free of parked vehicles at both ends, for the cones
MARGIN = 9.0  # metres between a work zone and the next junction or crossing
MOST_CONES = 6  # of one taper
STEP = {"cones": 2.4, "water": 2.15, "board": 2.6, "concrete": 2.15, "fence": 2.15}  # metres between elements


def work_zones(stage: Stage) -> None:
    """Close parts of parking lanes and of kerb sides with cones and barriers, and put rows of barriers on medians."""
    rng = stage.rng
    for index, road in enumerate(stage.street.roads):
        for side in (-1, 1):
            for low, high in free_stations(stage.street, index, margin=MARGIN):
                if high - low > 30.0 and rng.random() < stage.content.often(0.4, 0.8):
                    length = min(rng.uniform(14.0, 36.0), high - low - 6.0)
                    start = rng.uniform(low, high - length)
                    stage.close(index, side, start - TAPER, start + length + TAPER)
                    _work_zone(stage, index, side, start, length)
        if road.median and rng.random() < stage.content.often(0.3, 0.8):
            kind = str(rng.choice(["water", "concrete"]))
            for low, high in free_stations(stage.street, index, margin=MARGIN + 2.0):
                _row(stage, index, low, min(high, low + rng.uniform(20.0, 60.0)), 0.0, kind)


def _row(stage: Stage, index: int, low: float, high: float, d: float, kind: str) -> None:
    """Cones or elements of a barrier along a road at the offset `d`."""
    rng, curve = stage.rng, stage.street.roads[index].curve
    for s in np.arange(low, high, STEP[kind]):
        xy, heading = curve.at(s, d), float(curve.heading_at(s))
        if kind == "cones":
            stage.park("movable_object.trafficcone", traffic_cone(rng), xy, rng.uniform(-np.pi, np.pi), "")
        else:
            stage.park("movable_object.barrier", barrier(rng, kind), xy, heading + 0.5 * np.pi, "")


def _work_zone(stage: Stage, index: int, side: int, low: float, length: float) -> None:
    """A row along the traffic, tapers of cones at both ends, workers behind it and sometimes a machine."""
    rng, road = stage.rng, stage.street.roads[index]
    parking = road.parking[0 if side < 0 else 1]
    line = side * (road.traffic_half + 0.35) if parking else road.edge(side) + 0.4 * side
    kind = str(rng.choice(list(STEP)))
    rare = stage.content.rare_objects
    if rare > 1.0 and rng.random() < 0.4:
        kind = "cones"  # fewer points each than any barrier
    _row(stage, index, low, low + length, line, kind)
    for end, direction in ((low, -1.0), (low + length, 1.0)):
        for k in range(min(int(rare * rng.integers(2, 5)), MOST_CONES)):
            xy = road.curve.at(end + direction * 1.5 * (k + 1), line + 0.35 * k * side)
            stage.park("movable_object.trafficcone", traffic_cone(rng), xy, rng.uniform(-np.pi, np.pi), "")
    behind, middle = line + side * (1.2 if parking else 1.2 + road.verge), low + 0.5 * length
    workers = int(rng.integers(1, 5))
    if rng.random() < 0.5 and (parking or road.verge + road.sidewalk > 3.6):
        yaw = float(road.curve.heading_at(middle)) + (0.0 if rng.random() < 0.5 else np.pi)
        xy = road.curve.at(middle, line + (1.55 if parking else 2.0) * side)
        stage.park("vehicle.construction", construction_vehicle(rng), xy, yaw, "vehicle.parked")
        spots = rng.uniform(4.5, 0.5 * length, workers) * rng.choice([-1.0, 1.0], workers)  # next to the machine
    else:
        spots = rng.uniform(-0.5, 0.5, workers) * length
    for s in spots:
        xy = road.curve.at(middle + s, behind + rng.uniform(-0.4, 0.4))
        stage.stand("human.pedestrian.construction_worker", xy, rng.uniform(-np.pi, np.pi))
