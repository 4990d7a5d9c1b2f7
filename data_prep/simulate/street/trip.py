"""The ego vehicle's path through the street: straight on, or around a corner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.street.curve import Curve
from data_prep.simulate.street.layout import Lane, Street
from data_prep.simulate.street.traffic import EGO_LENGTH, Path, Vehicle


def ego_path(rng: np.random.Generator, street: Street, speed: float, *, turns: bool) -> Path:
    """The ego vehicle's path, without other vehicles.

    Args:
        speed: desired speed, metres per second.
        turns: turn into the first side road.
    """
    own = [lane for lane in street.lanes if lane.road == 0 and lane.along == 1]
    lane = own[int(rng.integers(len(own)))]
    curve = _turn(rng, street, lane) if turns else lane.curve
    wish = min(speed, 5.0) if turns else speed
    start = curve.nearest(lane.curve.at(_ego_start(street, lane)))
    return Path(curve, [Vehicle([], EGO_LENGTH, start, wish if turns else 0.9 * speed, wish)])


def _ego_start(street: Street, lane: Lane) -> float:
    """Position along the lane at which the trip begins."""
    return lane.curve.nearest(street.roads[0].curve.at(street.start))


def _turn(rng: np.random.Generator, street: Street, lane: Lane) -> Curve:
    """From `lane` over the first junction into a lane of its side road that leads away."""
    junction = street.junctions[0]
    away = [
        other
        for other in street.lanes
        if other.road == junction.side_road and (other.along == 1 or not street.roads[other.road].one_sided)
    ]
    target = away[int(rng.integers(len(away)))]
    enter = next(low for (low, _), (_, number) in zip(lane.through, lane.stop, strict=True) if number == 0)
    leave = next(high for (_, high), (_, number) in zip(target.through, target.stop, strict=True) if number == 0)
    begin, end = lane.curve.at(enter), target.curve.at(leave)
    bend = hermite(begin, float(lane.curve.heading_at(enter)), end, float(target.curve.heading_at(leave)))
    before = lane.curve.point[lane.curve.station < enter - 0.5]
    after = target.curve.point[target.curve.station > leave + 0.5]
    return Curve(even_line(np.concatenate([before, bend, after])))


def hermite(begin: NDArray, begin_heading: float, end: NDArray, end_heading: float) -> NDArray[np.float64]:
    """[30, 2] points of a smooth curve from one position and heading (radians) to another."""
    reach = 1.25 * float(np.linalg.norm(end - begin))
    u = np.linspace(0.0, 1.0, 30)[:, None]
    t0 = reach * np.array([np.cos(begin_heading), np.sin(begin_heading)])
    t1 = reach * np.array([np.cos(end_heading), np.sin(end_heading)])
    h00, h10 = 2 * u**3 - 3 * u**2 + 1, u**3 - 2 * u**2 + u
    return h00 * begin + h10 * t0 + (1 - h00) * end + (u**3 - u**2) * t1


def even_line(point: NDArray) -> NDArray[np.float64]:
    """The line through `point` resampled at one metre."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(point, axis=0), axis=1))])
    at = np.linspace(0.0, s[-1], int(s[-1]) + 1)
    return np.stack([np.interp(at, s, point[:, k]) for k in range(2)], 1)
