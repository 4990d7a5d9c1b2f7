"""Removal of clusters that are not objects: too near the vehicle, too low, too high, too thin, too large, too small.

The criteria and thresholds are those of CALICO's public prototype (ICLR 2024, jiachens/calico); the paper calls them
"simple yet effective heuristics" and does not give them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True)
class SizeFilter:
    """Keeps a cluster whose footprint and height are plausible for an object.

    Args:
        min_reach: metres; dropped if no point has |x|, or no point has |y|, of at least this: returns from the
            recording vehicle (and, as in the prototype, objects exactly ahead of, behind or next to it).
        min_top, max_top: metres above the local ground; dropped if the highest point is lower or higher: kerbs and
            leftovers of the ground, or buildings and trees. The prototype's 3 m are in the frame of a LiDAR 1.84 m
            above the street.
        min_side_ratio: dropped if the shorter side of the smallest enclosing rectangle is less than this share of the
            longer one: walls and fences.
        min_area, max_area: square metres of the convex hull seen from above.
    """

    min_reach: float = 1.5
    min_top: float = 0.25
    max_top: float = 4.84
    min_side_ratio: float = 0.1
    min_area: float = 0.25
    max_area: float = 20.0

    def __call__(
        self, xyz: NDArray[np.float32], cluster: NDArray[np.int32], height: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """xyz [N, 3] metres; cluster [N] (-1 none); height [N] metres above the ground -> [K] bool: which to keep."""
        above_ground = np.column_stack([xyz[:, :2], height]).astype(np.float64)
        reach_x, reach_y, top, area, short, long = _shapes(above_ground, *_members(cluster)).T
        thin = (long == 0) | (short < self.min_side_ratio * long)
        near = (reach_x < self.min_reach) | (reach_y < self.min_reach)
        return (
            ~near
            & ~thin
            & (top >= self.min_top)
            & (top <= self.max_top)
            & (area >= self.min_area)
            & (area <= self.max_area)
        )


@njit(cache=True, nogil=True)
def _members(cluster: NDArray) -> tuple[NDArray, NDArray]:
    """rows [n] of the clustered points, cluster by cluster, and start [K + 1]: where each cluster begins in it."""
    clusters = 0
    for c in cluster:
        clusters = max(clusters, c + 1)
    start = np.zeros(clusters + 1, np.int64)
    for c in cluster:
        if c >= 0:
            start[c + 1] += 1
    for c in range(clusters):
        start[c + 1] += start[c]
    free = start.copy()
    rows = np.empty(start[clusters], np.int64)
    for i in range(len(cluster)):
        c = cluster[i]
        if c >= 0:
            rows[free[c]] = i
            free[c] += 1
    return rows, start


@njit(cache=True, nogil=True)
def _shapes(xyz: NDArray, rows: NDArray, start: NDArray) -> NDArray:
    """[K, 6]: max |x|, max |y|, max z, hull area, shorter and longer side of the smallest enclosing rectangle."""
    shape = np.zeros((len(start) - 1, 6))
    for c in range(len(start) - 1):
        members = rows[start[c] : start[c + 1]]
        shape[c, 2] = -np.inf
        for i in members:
            shape[c, 0] = max(shape[c, 0], abs(xyz[i, 0]))
            shape[c, 1] = max(shape[c, 1], abs(xyz[i, 1]))
            shape[c, 2] = max(shape[c, 2], xyz[i, 2])
        corners = _hull(xyz, members)
        shape[c, 3] = _area(xyz, corners)
        shape[c, 4], shape[c, 5] = _rectangle(xyz, corners)
    return shape


@njit(cache=True, nogil=True)
def _turn(xyz: NDArray, a: int, b: int, c: int) -> float:
    """Positive if the path a -> b -> c turns left, seen from above."""
    return (xyz[b, 0] - xyz[a, 0]) * (xyz[c, 1] - xyz[a, 1]) - (xyz[b, 1] - xyz[a, 1]) * (xyz[c, 0] - xyz[a, 0])


@njit(cache=True, nogil=True)
def _hull(xyz: NDArray, members: NDArray) -> NDArray:
    """Rows of the convex hull's corners, counter-clockwise (gift wrapping: hulls of clusters have few corners)."""
    corner = members[0]
    for i in members:
        if xyz[i, 0] < xyz[corner, 0] or (xyz[i, 0] == xyz[corner, 0] and xyz[i, 1] < xyz[corner, 1]):
            corner = i
    first = corner
    corners = np.empty(len(members), np.int64)
    count = 0
    while count < len(members):
        corners[count] = corner
        count += 1
        following, farthest = corner, 0.0
        for i in members:
            distance = (xyz[i, 0] - xyz[corner, 0]) ** 2 + (xyz[i, 1] - xyz[corner, 1]) ** 2
            turn = _turn(xyz, corner, following, i)
            if turn < 0 or (turn == 0 and distance > farthest):
                following, farthest = i, distance
        corner = following
        if xyz[corner, 0] == xyz[first, 0] and xyz[corner, 1] == xyz[first, 1]:
            break
    return corners[:count]


@njit(cache=True, nogil=True)
def _area(xyz: NDArray, corners: NDArray) -> float:
    twice = 0.0
    for k in range(1, len(corners) - 1):
        twice += _turn(xyz, corners[0], corners[k], corners[k + 1])
    return twice / 2


@njit(cache=True, nogil=True)
def _rectangle(xyz: NDArray, corners: NDArray) -> tuple[float, float]:
    """Shorter and longer side of the smallest enclosing rectangle; one of its sides contains an edge of the hull."""
    best, short, long = np.inf, 0.0, 0.0
    for k in range(len(corners)):
        a, b = corners[k], corners[(k + 1) % len(corners)]
        x, y = xyz[b, 0] - xyz[a, 0], xyz[b, 1] - xyz[a, 1]
        length = np.sqrt(x * x + y * y)
        if length == 0:
            continue
        low = high = deep = 0.0  # extent along the edge, and across it to the inner side
        for i in corners:
            along = ((xyz[i, 0] - xyz[a, 0]) * x + (xyz[i, 1] - xyz[a, 1]) * y) / length
            low, high = min(low, along), max(high, along)
            deep = max(deep, _turn(xyz, a, b, i) / length)
        if (high - low) * deep < best:
            best = (high - low) * deep
            short, long = min(high - low, deep), max(high - low, deep)
    return short, long
