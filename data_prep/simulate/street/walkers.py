"""Pedestrians: along the sidewalks, across the crossings, and in standing groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.street.layout import Crossing, free_stations
from data_prep.simulate.street.people import PHASES, STRIDE, draw_figure, person
from data_prep.simulate.street.scenery import Stage
from data_prep.simulate.street.things import STEP, Thing, Track, frames_along
from data_prep.simulate.street.traffic import AFTER, BEFORE


def draw_category(rng: np.random.Generator) -> str:
    kinds = ("adult", "child", "police_officer")
    return "human.pedestrian." + str(rng.choice(kinds, p=[0.92, 0.06, 0.02]))


def people_on_foot(stage: Stage, duration: float, density: float) -> None:
    """Walkers on all sidewalks and, where their light is green, on the crossings; `density` is about 1."""
    rng = stage.rng
    for index, road in enumerate(stage.street.roads):
        for side in (-1, 1):
            inner, outer = road.edge(side) + side * (road.verge + 1.15), road.back(side) - 0.75 * side
            if abs(outer) < abs(inner):
                continue
            for low, high in free_stations(stage.street, index, margin=2.0):
                for _ in range(rng.poisson(density * (high - low) / 28.0)):
                    d = float(rng.uniform(min(inner, outer), max(inner, outer)))
                    _on_sidewalk(stage, index, low, high, d, duration)
    for crossing in stage.street.crossings:
        if _walk_is_green(stage, crossing):
            for _ in range(rng.poisson(1.8 * density)):
                _on_crossing(stage, crossing, duration)


def _on_sidewalk(stage: Stage, road: int, low: float, high: float, d: float, duration: float) -> None:
    rng = stage.rng
    curve = stage.street.roads[road].curve
    if rng.random() < 0.22:
        _group(stage, curve.at(rng.uniform(low, high), d), int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15])))
        return
    speed, direction = max(rng.normal(1.3, 0.25), 0.5), rng.choice([-1.0, 1.0])
    way = speed * (duration + BEFORE + AFTER)
    if high - low <= way + 1.0:
        return
    start = rng.uniform(low, high - way) if direction > 0 else rng.uniform(low + way, high)
    for k in range(int(rng.choice([1, 2, 3], p=[0.72, 0.22, 0.06]))):  # people who walk together
        times = _times(duration)
        s = np.clip(start + direction * speed * times - 0.35 * k, 0.5, curve.length - 0.5)
        lateral = d - 0.75 * k * np.sign(d)
        heading = curve.heading_at(s) + (0.0 if direction > 0 else np.pi)
        _walk(stage, draw_category(rng), curve.at(s, lateral), heading, speed, speed * times)


def _group(stage: Stage, center: NDArray, count: int) -> None:
    """People standing in a ring and facing each other; a single person has a random heading."""
    start = stage.rng.uniform(-np.pi, np.pi)
    for k in range(count):
        angle = start + 2 * np.pi * k / count
        away = np.array([np.cos(angle), np.sin(angle)]) * (0.55 if count > 1 else 0.0)
        stage.stand(draw_category(stage.rng), center + away, angle + np.pi + stage.rng.normal(0, 0.3))


def _on_crossing(stage: Stage, crossing: Crossing, duration: float) -> None:
    rng = stage.rng
    road = stage.street.roads[crossing.road]
    begin, end = road.edge(-1) - 1.2, road.edge(1) + 1.2
    speed, direction = max(rng.normal(1.35, 0.2), 0.7), rng.choice([-1.0, 1.0])
    times = _times(duration)
    start = rng.uniform(begin, end) - direction * speed * 0.5 * duration * rng.random()
    d = np.clip(start + direction * speed * times, begin, end)
    s = crossing.s + rng.uniform(-0.35, 0.35) * crossing.width
    heading = float(road.curve.heading_at(s)) + 0.5 * np.pi * direction
    moved = np.abs(np.diff(d, prepend=d[0]))
    now = np.append(moved[1:], moved[-1]) / STEP
    _walk(
        stage, draw_category(rng), road.curve.at(np.full(len(d), s), d), np.full(len(d), heading), now, np.cumsum(moved)
    )


def _walk_is_green(stage: Stage, crossing: Crossing) -> bool:
    green = stage.street.junctions[crossing.junction].green
    return green == ("side" if crossing.road == 0 else "main")


def _times(duration: float) -> NDArray[np.float64]:
    return np.arange(int(np.ceil((duration + BEFORE + AFTER) / STEP)) + 1) * STEP


def _walk(stage: Stage, category: str, xy: NDArray, yaw: NDArray, speed: float | NDArray, way: NDArray) -> None:
    figure = draw_figure(stage.rng, category)
    meshes = tuple(person(figure, k / PHASES, walking=True) for k in range(PHASES))
    pose = frames_along(stage.ground, xy, yaw, tilted=False)
    count = len(xy)
    track = Track(
        -BEFORE,
        pose,
        np.broadcast_to(np.asarray(speed, float), (count,)),
        way + stage.rng.uniform(0, STRIDE),
        np.ones(count, bool),
    )
    stage.things.append(Thing(category, meshes, track, "pedestrian.standing", "pedestrian.moving", STRIDE))
