"""Road markings as a fine raster of coverage, looked up where a ray hits asphalt."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.street.layout import Crossing, Lane, Street, free_stations

CELL = 0.05  # metres per raster element
LINE = 0.13  # metres; width of a lane line
WHITE, YELLOW = (255, 0), (0, 255)
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


@dataclass(frozen=True)
class Paint:
    """Coverage by white (channel 0) and yellow (channel 1) paint, 0..255.

    Args:
        picture: [H, W, 2] uint8, rows along y.
        origin: x and y of the centre of element (0, 0), metres.
    """

    picture: NDArray[np.uint8]
    origin: NDArray[np.float64]


class _Painter:
    def __init__(self, bounds: tuple[float, float, float, float]) -> None:
        low_x, low_y, high_x, high_y = bounds
        self.origin = np.array([low_x, low_y])
        self.picture = np.zeros((int((high_y - low_y) / CELL) + 1, int((high_x - low_x) / CELL) + 1, 2), np.uint8)

    def fill(self, outline: NDArray, color: tuple[int, int]) -> None:
        fixed = np.round((np.asarray(outline) - self.origin) / CELL * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(self.picture, [fixed], color, lineType=cv2.LINE_AA, shift=_SHIFT)

    def line(self, point: NDArray, width: float, color: tuple[int, int]) -> None:
        """A solid line along point [N, 2]."""
        tangent = np.gradient(point, axis=0)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        side = 0.5 * width * np.stack([-tangent[:, 1], tangent[:, 0]], 1)
        self.fill(np.concatenate([point - side, (point + side)[::-1]]), color)


def paint_road(rng: np.random.Generator, street: Street, bays: list[NDArray]) -> Paint:
    """Draw all markings of a scene.

    Args:
        bays: lines [2, 2] between the places of car parks.
    """
    painter = _Painter(street.road_area.union(street.extent).bounds)
    middle = YELLOW if street.hand > 0 else WHITE
    for index, road in enumerate(street.roads):
        double = rng.random() < 0.6
        for low, high in free_stations(street, index, margin=3.0):
            offsets = (-0.12, 0.12) if double or road.median else (0.0,)
            for d in offsets:
                edge = np.sign(d) * (0.5 * road.median + 0.05) if road.median else d
                painter.line(road.curve.line(low, high, edge), LINE, middle)
            _lane_lines(rng, painter, street, index, low, high)
    for crossing in street.crossings:
        _zebra(painter, street, crossing)
    for area, _ in street.stop_lines:
        painter.fill(np.array(area.exterior.coords), WHITE)
    for lane in street.lanes:
        _arrows(rng, painter, lane)
    for bay in bays:
        painter.line(bay, 0.1, WHITE)
    return Paint(painter.picture, painter.origin)


def _lane_lines(
    rng: np.random.Generator, painter: _Painter, street: Street, index: int, low: float, high: float
) -> None:
    road = street.roads[index]
    dash, gap = (3.0, 4.5) if rng.random() < 0.5 else (2.0, 4.0)
    for side in (-1, 1):
        for rank in range(1, road.lanes):
            d = side * (0.5 * road.median + rank * road.lane_width)
            for begin in np.arange(low, high - dash, dash + gap):
                painter.line(road.curve.line(begin, begin + dash, d), LINE, WHITE)
        parking = road.parking[0 if side < 0 else 1]
        border = side * (road.traffic_half - 0.1)
        painter.line(road.curve.line(low, high, border), LINE, WHITE if parking or street.hand > 0 else YELLOW)
        if parking:
            for begin in np.arange(low + 1.0, high, 6.0):
                painter.line(road.curve.at(begin, np.array([border, road.edge(side)])), LINE, WHITE)


def _zebra(painter: _Painter, street: Street, crossing: Crossing) -> None:
    road = street.roads[crossing.road]
    low, high = crossing.s - 0.5 * crossing.width, crossing.s + 0.5 * crossing.width
    for d in np.arange(road.edge(-1) + 0.4, road.edge(1) - 0.4, 1.0):
        painter.line(road.curve.line(low, high, float(d) + 0.25, 1.0), 0.5, WHITE)


def _arrows(rng: np.random.Generator, painter: _Painter, lane: Lane) -> None:
    """Arrows ahead of the stop lines of some lanes."""
    outline = np.array([[0, -0.1], [2.6, -0.1], [2.6, -0.4], [4.2, 0], [2.6, 0.4], [2.6, 0.1], [0, 0.1]])
    if rng.random() < 0.5:
        for s, _ in lane.stop:
            for back in (8.0, 26.0):
                if s - back > 2.0:
                    painter.fill(lane.curve.at(s - back + outline[:, 0], outline[:, 1]), WHITE)
