"""Triangulation of polygons, cut along a lattice so that the triangles can follow hills."""

from __future__ import annotations

import numba
import numpy as np
import shapely
from numpy.typing import NDArray


def triangulate(area: shapely.Geometry, cell: float) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Cover polygons with triangles.

    Args:
        area: a polygon or several.
        cell: edge of the lattice, metres; each triangle is within one cell.

    Returns:
        xy [V, 2] and triangle [T, 3], counter-clockwise.
    """
    pieces = _cut(area, cell)
    ring = [shapely.get_coordinates(shapely.get_exterior_ring(piece))[:-1] for piece in pieces]
    if not ring:
        return np.zeros((0, 2)), np.zeros((0, 3), np.int32)
    length = np.array([len(r) for r in ring])
    return np.concatenate(ring), _clip_ears(np.concatenate(ring), np.concatenate([[0], np.cumsum(length)]))


def _cut(area: shapely.Geometry, cell: float) -> NDArray:
    """Simple polygons without holes, none larger than a lattice cell, counter-clockwise."""
    low_x, low_y, high_x, high_y = np.floor(np.array(area.bounds) / cell)
    x, y = (index.ravel() * cell for index in np.meshgrid(np.arange(low_x, high_x + 1), np.arange(low_y, high_y + 1)))
    shapely.prepare(area)
    boxes = shapely.box(x, y, x + cell, y + cell)
    boxes = boxes[shapely.intersects(area, boxes)]
    whole = shapely.contains_properly(area, boxes)
    pieces = shapely.get_parts(shapely.intersection(boxes[~whole], area))
    pieces = pieces[(shapely.get_type_id(pieces) == 3) & (shapely.area(pieces) > 1e-6)]
    holed = shapely.get_num_interior_rings(pieces) > 0
    simple = [boxes[whole], pieces[~holed]]
    simple += [_cut(piece, 0.5 * cell) for piece in pieces[holed]]
    return shapely.reverse(shapely.normalize(np.concatenate(simple)))


@numba.njit(cache=True)
def _clip_ears(xy: NDArray, start: NDArray) -> NDArray:
    """Ear clipping of the simple counter-clockwise rings xy[start[i]:start[i + 1]]; [T, 3] int32 rows of xy."""
    triangle = np.empty((max(len(xy) - 2 * (len(start) - 1), 0), 3), np.int32)
    count = 0
    for ring in range(len(start) - 1):
        left = list(range(start[ring], start[ring + 1]))
        while len(left) > 3:
            best, best_quality = -1, -1.0
            for i in range(len(left)):
                a, b, c = left[i - 1], left[i], left[(i + 1) % len(left)]
                quality = _ear_quality(xy, left, a, b, c)
                if quality > best_quality:
                    best, best_quality = i, quality
            if best < 0:  # only degenerate slivers remain
                break
            triangle[count] = left[best - 1], left[best], left[(best + 1) % len(left)]
            count += 1
            left.pop(best)
        if len(left) == 3:
            triangle[count] = left[0], left[1], left[2]
            count += 1
    return triangle[:count]


@numba.njit(cache=True)
def _ear_quality(xy: NDArray, left: list, a: int, b: int, c: int) -> float:
    """Height of the triangle a b c over its longest edge (0..0.87), or -1 if it is not an ear."""
    ux, uy = xy[b, 0] - xy[a, 0], xy[b, 1] - xy[a, 1]
    vx, vy = xy[c, 0] - xy[b, 0], xy[c, 1] - xy[b, 1]
    wx, wy = xy[a, 0] - xy[c, 0], xy[a, 1] - xy[c, 1]
    area = ux * vy - uy * vx
    if area < 0.0:
        return -1.0
    for p in left:
        if p != a and p != b and p != c:
            px, py = xy[p, 0], xy[p, 1]
            if (
                ux * (py - xy[a, 1]) - uy * (px - xy[a, 0]) > 1e-12
                and vx * (py - xy[b, 1]) - vy * (px - xy[b, 0]) > 1e-12
                and wx * (py - xy[c, 1]) - wy * (px - xy[c, 0]) > 1e-12
            ):
                return -1.0
    longest = max(ux * ux + uy * uy, vx * vx + vy * vy, wx * wx + wy * wy)
    return area / max(longest, 1e-12)
