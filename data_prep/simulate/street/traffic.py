"""Traffic: vehicles that follow their lanes, and each other, by the intelligent driver model.

Model: Treiber, Hennecke, Helbing, "Congested traffic states in empirical observations and microscopic simulations",
2000, equations 3 and 4. The parameters below are for city traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.mesh import Mesh, join
from data_prep.simulate.street.cars import car
from data_prep.simulate.street.content import StreetContent
from data_prep.simulate.street.curve import Curve
from data_prep.simulate.street.cycles import bicycle, motorcycle
from data_prep.simulate.street.ground import Ground
from data_prep.simulate.street.heavy import bellows, bus, construction_vehicle, trailer, truck
from data_prep.simulate.street.layout import Lane, Street
from data_prep.simulate.street.things import STEP, Thing, Track, frames_along

HEADWAY = 1.3  # seconds
STANDSTILL_GAP = 2.2  # metres
ACCELERATION = 1.4  # metres per second squared
BRAKING = 2.2  # metres per second squared, comfortable
BEFORE = 0.2  # seconds of track before the first keyframe
EGO_LENGTH = 4.1  # metres; Renault Zoe, nuScenes' recording vehicle
EGO_REAR_AXLE = 0.75  # metres from the rear end to the origin of the ego frame
AFTER = 0.2  # seconds of track after the last keyframe


@dataclass
class Vehicle:
    """A vehicle, or several coupled ones, on a path.

    Args:
        parts: category, mesh, and distance of the mesh's origin behind the front bumper, metres.
        length: from the front bumper to the rear end, metres.
        s: position of the front bumper along the path at the first sample.
        speed, wish: current and desired speed, metres per second.
    """

    parts: list[tuple[str, Mesh, float]]
    length: float
    s: float
    speed: float
    wish: float


@dataclass
class Path:
    """A line that vehicles follow; the vehicles are in order, the foremost first.

    Args:
        halts: positions of red lights along the path, ascending.
        offset: lateral offset of the vehicles, for cycles at the edge of the lane.
    """

    curve: Curve
    vehicles: list[Vehicle]
    halts: tuple[float, ...] = ()
    offset: float = 0.0


def drive(
    rng: np.random.Generator,
    street: Street,
    ground: Ground,
    ego_path: Path,
    duration: float,
    density: float,
    content: StreetContent,
) -> tuple[Track, list[Thing]]:
    """Populate the lanes and simulate the traffic for `duration` seconds.

    Args:
        ego_path: with only the ego vehicle on it, without parts.
        density: of the traffic; 1 is usual.

    Returns:
        the track of the ego frame (x forward, origin on the ground under the rear axle), and all other moving objects.
    """
    steps = int(np.ceil((duration + BEFORE + AFTER) / STEP)) + 1
    ego = ego_path.vehicles[0]
    paths = []
    for lane in street.lanes:
        if lane.road == 0 and lane.along == 1 and _same_line(lane.curve, ego_path.curve):
            keep_free = (ego.s - ego.length - 14.0, ego.s + 9.0)
            path = _populate(rng, street, lane, duration, density, content, keep_free)
            ego_path.vehicles = sorted([*path.vehicles, ego], key=lambda v: -v.s)
            ego_path.halts = path.halts
            if not _same_line(ego_path.curve, lane.curve, to_the_end=True):
                ego_path.vehicles = [v for v in ego_path.vehicles if v is ego]
            paths.append(ego_path)
        else:
            paths.append(_populate(rng, street, lane, duration, density, content))
    paths += [
        _cyclists(rng, lane, duration, street.hand)
        for lane in street.lanes
        if _outermost(street, lane) and rng.random() < content.often(0.3)
    ]
    things: list[Thing] = []
    trip: Track | None = None
    for path in paths:
        for vehicle, s, speed in zip(path.vehicles, *_follow(path, steps), strict=True):
            if vehicle is ego:
                trip = _track(ground, path, s - (EGO_LENGTH - EGO_REAR_AXLE), speed, wheelbase=2.6)
            else:
                things += _things(ground, path, vehicle, s, speed)
    if trip is None:
        raise ValueError("drive: the ego vehicle's path does not start on a lane of the main road")
    return trip, things


def _same_line(a: Curve, b: Curve, *, to_the_end: bool = False) -> bool:
    at = -1 if to_the_end else 0
    return bool(np.linalg.norm(a.point[at] - b.point[at]) < 0.1)


def _outermost(street: Street, lane: Lane) -> bool:
    return lane.rank == street.roads[lane.road].lanes - 1


def red(street: Street, lane: Lane, junction: int) -> bool:
    """Whether the lane's light at the junction is red for the whole scene."""
    green = street.junctions[junction].green
    if green == "turn":
        return not (lane.road == 0 and lane.along == 1)
    return green != ("main" if lane.road == 0 else "side")


def _populate(
    rng: np.random.Generator,
    street: Street,
    lane: Lane,
    duration: float,
    density: float,
    content: StreetContent,
    keep_free: tuple[float, float] = (0.0, 0.0),
) -> Path:
    halts = sorted(s for s, junction in lane.stop if s > 0 and red(street, lane, junction))
    wish = rng.uniform(7.0, 13.0) if lane.road == 0 else rng.uniform(5.5, 9.0)
    vehicles: list[Vehicle] = []
    here = lane.curve.length
    while here > -wish * duration:
        parts, length = _draw_vehicle(rng, content)
        queue = [h for h in halts if h < here]
        waiting = bool(queue) and rng.random() < 0.75 and queue[-1] - 24.0 < here - 4.0 < queue[-1] + 2.0
        gap = rng.uniform(1.5, 3.0) if waiting else wish * HEADWAY + rng.exponential(22.0 / density)
        front = here - gap
        blocked = front > keep_free[0] and front - length < keep_free[1] and keep_free != (0.0, 0.0)
        inside = any(
            low - 2.0 < front and front - length < high + 2.0
            for (low, high), h in zip(lane.through, lane.stop, strict=True)
            if h[0] in halts
        )
        if not blocked and not inside:
            vehicles.append(Vehicle(parts, length, front, 0.0 if waiting else wish, wish))
        here = front - length if not blocked else min(front - length, keep_free[0])
        if queue and not waiting and rng.random() < 0.5:
            here = min(here, queue[-1] + 0.5)
    return Path(lane.curve, vehicles, tuple(halts))


def _draw_vehicle(rng: np.random.Generator, content: StreetContent) -> tuple[list[tuple[str, Mesh, float]], float]:
    kinds = ["car", "truck", "bus", "bendy", "trailer", "motorcycle", "machine"]
    rare = [kind not in ("car", "truck") for kind in kinds]
    kind = rng.choice(kinds, p=content.shares([0.75, 0.1, 0.025, 0.01, 0.03, 0.065, 0.02], rare))
    if kind == "car":
        meshes = [("vehicle.car", car(rng))]
    elif kind == "truck":
        meshes = [("vehicle.truck", truck(rng))]
    elif kind == "bus":
        meshes = [("vehicle.bus.rigid", bus(rng, bendy=False)[0])]
    elif kind == "bendy":
        first, second = bus(rng, bendy=True)
        joint = bellows(0.9, 2.4, 3.0).shifted(x=float(second.bounds()[1][0]) + 0.45)
        meshes = [("vehicle.bus.bendy", first), ("vehicle.bus.bendy", join([second, joint]))]
    elif kind == "trailer":
        meshes = [("vehicle.truck", truck(rng)), ("vehicle.trailer", trailer(rng))]
    elif kind == "motorcycle":
        meshes = [("vehicle.motorcycle", motorcycle(rng, rider=True))]
    else:
        meshes = [("vehicle.construction", construction_vehicle(rng))]
    parts, back = [], 0.0
    for category, mesh in meshes:
        low, high = mesh.bounds()
        parts.append((category, mesh, back + float(high[0])))
        back += float(high[0] - low[0]) + (0.0 if category == "vehicle.bus.bendy" else 0.3)
    return parts, back


def _cyclists(rng: np.random.Generator, lane: Lane, duration: float, hand: int) -> Path:
    """Cycles at the outer edge of a lane; their speed is constant, and they only use lanes without a red light."""
    first_stop = min([s for s, _ in lane.stop if s > 0], default=lane.curve.length)
    vehicles, here = [], min(lane.curve.length, first_stop - 6.0)
    speed = rng.uniform(3.5, 5.5)
    here -= speed * duration
    while here > 10.0:
        mesh = bicycle(rng, rider=True)
        vehicles.append(Vehicle([("vehicle.bicycle", mesh, float(mesh.bounds()[1][0]))], 1.8, here, speed, speed))
        here -= rng.uniform(6.0, 60.0)
    return Path(lane.curve, vehicles, offset=-hand * (0.5 * lane.width - 0.05))


def _follow(path: Path, steps: int) -> tuple[NDArray, NDArray]:
    """Front bumper and speed of each vehicle at each step, [number of vehicles, steps]."""
    count = len(path.vehicles)
    s, speed = np.zeros((count, steps)), np.zeros((count, steps))
    here = np.array([v.s for v in path.vehicles])
    now = np.array([v.speed for v in path.vehicles])
    wish = np.array([v.wish for v in path.vehicles])
    length = np.array([v.length for v in path.vehicles])
    halts = np.array([*path.halts, np.inf])
    for step in range(steps):
        s[:, step], speed[:, step] = here, now
        lead_rear = np.concatenate([[np.inf], here[:-1] - length[:-1]])
        lead_speed = np.concatenate([[0.0], now[:-1]])
        halt = halts[np.searchsorted(halts, here)]
        stops_first = lead_rear > halt
        gap = np.where(stops_first, halt + STANDSTILL_GAP - 0.5, lead_rear) - here
        approach = np.where(stops_first, now, now - lead_speed)
        desired = STANDSTILL_GAP + np.maximum(
            0.0, now * HEADWAY + now * approach / (2 * np.sqrt(ACCELERATION * BRAKING))
        )
        pull = ACCELERATION * (1 - (now / wish) ** 4 - (desired / np.maximum(gap, 0.3)) ** 2)
        pull = np.clip(pull, -6.0, ACCELERATION)
        following = np.maximum(now + STEP * pull, 0.0)
        here = here + STEP * 0.5 * (now + following)
        now = following
    return s, speed


def _track(ground: Ground, path: Path, s: NDArray, speed: NDArray, wheelbase: float) -> Track:
    """Poses at positions s [N] of the rear axle along the path; the front axle is on the path as well."""
    rear, front = path.curve.at(s, path.offset), path.curve.at(s + wheelbase, path.offset)
    before = s < 0.0
    yaw = np.arctan2(front[:, 1] - rear[:, 1], front[:, 0] - rear[:, 0])
    yaw[before] = path.curve.heading[0]
    pose = frames_along(ground, rear, yaw, tilted=True, offset=0.0)
    present = (s > 1.0) & (s + wheelbase < path.curve.length - 1.0)
    return Track(-BEFORE, pose, speed, s - s[0], present)


def _things(ground: Ground, path: Path, vehicle: Vehicle, s: NDArray, speed: NDArray) -> list[Thing]:
    things = []
    for category, mesh, back in vehicle.parts:
        low, high = mesh.bounds()
        half = 0.3 * float(high[0] - low[0])
        track = _track(ground, path, s - back - half, speed, wheelbase=2 * half)
        pose = track.scene_from_thing.copy()
        pose[:, :3, 3] += half * pose[:, :3, 0]  # from the rear axle to the mesh's origin
        track = Track(track.start, pose, track.speed, track.way, track.present)
        if track.present.any():
            cycle = category in ("vehicle.motorcycle", "vehicle.bicycle")
            idle, busy = ("cycle.with_rider", "cycle.with_rider") if cycle else ("vehicle.stopped", "vehicle.moving")
            things.append(Thing(category, (mesh,), track, idle, busy))
    return things
