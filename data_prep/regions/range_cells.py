"""Neighbours by a range-adaptive distance, in n log n also in dense clusters.

Points are sorted into cells so small that all points of a cell are neighbours of each other. Two cells are then joined
by the first pair of neighbours that is found, and cells that are joined already are not compared: the cost depends on
the number of occupied cells around a cell, not on the points in them. See `range_adaptive.py` for the distance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.union_find import join, root_of

# Sides of a cell as shares of the reach: 0.45^2 + 0.45^2 + 0.7^2 = 0.895. Two points of a cell are at most the reach
# apart, as the side across grows by at most 9 % over a cell's depth (LARGEST_REACH).
ACROSS, ALONG, ABOVE = 0.45, 0.45, 0.7
LARGEST_REACH = 0.2  # radians; a larger azimuth_reach gives cells of this reach


class Cells(NamedTuple):
    """Points sorted by cells, cells by columns of azimuth and then by distance.

    row [N] int64: the points, cell by cell; start [K + 1] int64: where each cell begins in it; column [K] and
    column_start [C + 1] int64: the cells of each column; edge [K] float64: distance at which the band of a cell begins,
    ascending within a column; low, high [K, 3] float64: bounding boxes; near, far [K]: least and largest distance of
    the points, all in the plan view.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    column: NDArray[np.int64]
    column_start: NDArray[np.int64]
    edge: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    near: NDArray[np.float64]
    far: NDArray[np.float64]


def cells_of(
    points: NDArray[np.float64],
    distance: NDArray[np.float64],
    azimuth: NDArray[np.float64],
    columns: int,
    reach: tuple[float, float],
    min_range: float,
) -> Cells:
    """Sort points [N, 3] with their `distance` [N] in the plan view.

    Args:
        points, distance: metres.
        azimuth: [N] in columns, 0 to `columns`.
        columns: number of columns of azimuth.
        reach: of azimuth and of height, as multiples of the range (radians).
        min_range: metres.
    """
    across, above = min(reach[0], LARGEST_REACH), reach[1]
    column = np.minimum(azimuth.astype(np.int64), columns - 1)
    parts = math.ceil(2 * math.pi / columns / (ACROSS * across))  # of a column
    part = np.floor((azimuth - column) * parts)
    # Bands of ALONG times the reach: of constant depth below min_range, of constant ratio beyond.
    ratio = math.log1p(ALONG * across)
    inner = np.floor(distance / (ALONG * across * min_range))
    outer = np.floor(np.log(np.maximum(distance / min_range, 1)) / ratio)
    last_inner = math.ceil(1 / (ALONG * across))
    beyond = distance >= min_range
    band = np.where(beyond, last_inner + outer, np.minimum(inner, last_inner))
    scale = np.where(beyond, min_range * np.exp(outer * ratio), min_range)
    edge = np.where(beyond, scale, band * ALONG * across * min_range) * (
        1 - 1e-9
    )  # below its points after rounding too
    layer = np.floor(points[:, 2] / (ABOVE * above * scale))
    key = np.column_stack([layer, part, band, column])
    row = np.lexsort(key.T)
    ordered = key[row]
    first = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))[: len(row)])
    own = column[row[first]]
    xyz, far = points[row], distance[row]
    return Cells(
        row,
        np.append(first, len(row)),
        own,
        np.searchsorted(own, np.arange(columns + 1)),
        edge[row[first]],
        *((of.reduceat(xyz, first, axis=0) if len(first) else xyz) for of in (np.minimum, np.maximum)),
        *((of.reduceat(far, first) if len(first) else far) for of in (np.minimum, np.maximum)),
    )


@njit(cache=True, nogil=True)
def window(own, columns, distance, reach):
    """First and last + 1 of the columns (modulo their number) within `reach` of a point in column `own`."""
    sine = reach / (2 * distance) if distance > 0 else 1.0
    aside = 1 + int(2 * math.asin(min(1.0, sine)) * columns / (2 * math.pi))  # columns to either side
    if 2 * aside + 1 > columns:
        return own, own + columns
    return own - aside, own + aside + 1


@njit(cache=True, nogil=True)
def first_at(distance, begin, end, least):
    """The first of the rows begin..end - 1, ascending, with distance >= least; `end` if there is none."""
    while begin < end:
        middle = (begin + end) // 2
        if distance[middle] < least:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)
def join_neighbours(points, distance, cells, azimuth_reach, height_reach, min_range, parent, size):
    """Join all neighbours among points [N, 3]; parent, size [N]: their sets."""
    columns = len(cells.column_start) - 1
    low, high = cells.low, cells.high
    for a in range(len(cells.start) - 1):
        for k in range(cells.start[a] + 1, cells.start[a + 1]):
            _join(parent, size, cells.row[cells.start[a]], cells.row[k])
    for a in range(len(cells.start) - 1):
        scale = max(min_range, cells.far[a])
        reach, height = azimuth_reach * scale, height_reach * scale
        per_reach, per_height = (1 - 1e-9) / reach**2, (1 - 1e-9) / height**2  # boxes at the reach itself are compared
        near = cells.near[a]
        begin, end = window(cells.column[a], columns, near, azimuth_reach * max(min_range, near))
        for c in range(begin, end):
            column = c % columns
            last = cells.column_start[column + 1]
            for b in range(first_at(cells.edge, cells.column_start[column], last, cells.edge[a]), last):
                if cells.edge[b] > cells.far[a] + reach:
                    break
                if cells.edge[b] == cells.edge[a] and b <= a and near >= min_range:
                    continue  # compared from the other side, whose columns around it are as many
                z = max(0.0, low[a, 2] - high[b, 2], low[b, 2] - high[a, 2])
                if z > height * (1 + 1e-9):
                    continue
                x = max(0.0, low[a, 0] - high[b, 0], low[b, 0] - high[a, 0])
                y = max(0.0, low[a, 1] - high[b, 1], low[b, 1] - high[a, 1])
                if (x * x + y * y) * per_reach + z * z * per_height > 1:
                    continue
                root_a = root_of(parent, cells.row[cells.start[a]])
                root_b = root_of(parent, cells.row[cells.start[b]])
                if root_a != root_b and _touch(points, distance, cells, a, b, azimuth_reach, height_reach, min_range):
                    join(parent, size, root_a, root_b)


@njit(cache=True, nogil=True)
def _join(parent, size, one, other):
    a, b = root_of(parent, one), root_of(parent, other)
    if a != b:
        join(parent, size, a, b)


@njit(cache=True, nogil=True)
def _touch(points, distance, cells, a, b, azimuth_reach, height_reach, min_range):
    """Whether a point of cell `a` is a neighbour of one of cell `b`."""
    low, high = cells.low, cells.high
    for i in cells.row[cells.start[a] : cells.start[a + 1]]:
        scale = max(min_range, min(distance[i], cells.far[b]))
        reach, height = azimuth_reach * scale * (1 + 1e-9), height_reach * scale * (1 + 1e-9)
        x = max(0.0, points[i, 0] - high[b, 0], low[b, 0] - points[i, 0])
        y = max(0.0, points[i, 1] - high[b, 1], low[b, 1] - points[i, 1])
        z = max(0.0, points[i, 2] - high[b, 2], low[b, 2] - points[i, 2])
        if (x * x + y * y) / (reach * reach) + z * z / (height * height) > 1:
            continue
        for j in cells.row[cells.start[b] : cells.start[b + 1]]:
            scale = max(min_range, min(distance[i], distance[j]))
            x, y, z = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
            reach, height = azimuth_reach * scale, height_reach * scale
            if (x * x + y * y) / (reach * reach) + z * z / (height * height) <= 1:
                return True
    return False
