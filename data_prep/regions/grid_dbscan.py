"""Exact DBSCAN in two or three dimensions on a sorted grid.

Ester et al., "A Density-Based Algorithm for Discovering Clusters in Large Spatial Databases with Noise", KDD 1996; the
grid follows Gunawan, "A Faster Algorithm for DBSCAN", 2013. The side of a cell is eps / sqrt(d), so that all points of
a cell are neighbours: a cell with `min_points` points holds core points only and is one cluster by itself, and clusters
grow by joining cells, not points. Cells lie in the order of their key, hence the cells of one row are consecutive, and
while the cells are visited in order, the start of each neighbouring row only moves forward: no hash table, no tree.

Border points (not core, but with a core point within eps) may belong to several clusters; the one with the lowest
number gets them, and clusters are numbered by the lowest row of their core points. This is also scikit-learn's choice.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_CELLS_PER_AXIS = 1 << 20  # three axes of 20 bits and the sum of two reaches fit into an int64 key
REACH = 2  # cells from a point's cell to the farthest one that holds a neighbour: ceil(sqrt(d)) for d = 2, 3


def dbscan(points: NDArray[np.floating], eps: float, min_points: int) -> NDArray[np.int32]:
    """Cluster points.

    Args:
        points: [N, 2] or [N, 3], finite, in the unit of `eps`.
        eps: two points at this distance or less are neighbours.
        min_points: a point with so many neighbours, itself included, is a core point.

    Returns:
        [N] int32: cluster 0..K - 1, -1 for noise; equal to scikit-learn's DBSCAN, numbers and border points included.

    Raises:
        ValueError: the shape, eps or min_points is wrong, or the points are not finite or span over a million cells.
    """
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ValueError(f"dbscan: points must be [N, 2] or [N, 3], got {points.shape}")
    if not (eps > 0 and min_points >= 1):
        raise ValueError(f"dbscan: need eps > 0 and min_points >= 1, got {eps} and {min_points}")
    if len(points) == 0:
        return np.empty(0, np.int32)
    dimensions = points.shape[1]
    xyz = np.zeros((len(points), 3))  # float64, as distances are compared with eps exactly
    xyz[:, 3 - dimensions :] = points
    if not np.isfinite(xyz).all():
        raise ValueError("dbscan: the points must be finite")
    lower = xyz.min(axis=0)
    side = (
        eps / math.sqrt(dimensions) * (1 - 1e-9)
    )  # a hair less, so that rounding puts no two points of a cell too far
    extent = (xyz.max(axis=0) - lower).max() / side
    if not extent < MAX_CELLS_PER_AXIS:
        raise ValueError(
            f"dbscan: the points must span less than {MAX_CELLS_PER_AXIS} cells of {side:g}, got {extent:g}"
        )
    planes = REACH if dimensions == 3 else 0
    order, start, key, stride = _sorted_cells(xyz, lower, side)
    sorted_xyz = xyz[order]
    first, last = _neighbour_rows(key, stride, planes)
    core = _core_points(sorted_xyz, start, first, last, eps * eps, min_points)
    parent = _join_cells(sorted_xyz, start, first, last, core, eps * eps)
    return _labels(sorted_xyz, order, start, first, last, core, parent, eps * eps)


@njit(cache=True, nogil=True)
def _sorted_cells(xyz: NDArray, lower: NDArray, side: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Sort the points by cell (radix sort, stable).

    Returns:
        order [N]: rows of `xyz`, cell by cell; start [C + 1]: where each cell begins in it; key [C]: the cells' keys,
        ascending; stride [2]: the key's step along x and y (along z it is 1).
    """
    n = len(xyz)
    extent = np.zeros(3, np.int64)
    index = np.empty((n, 3), np.int64)
    for i in range(n):
        for axis in range(3):
            index[i, axis] = int((xyz[i, axis] - lower[axis]) / side)
            extent[axis] = max(extent[axis], index[i, axis])
    stride_y = (
        extent[2] + 2 * REACH + 1
    )  # rows are padded, so that a neighbour beyond a row's end is no cell of another
    stride_x = (extent[1] + 2 * REACH + 1) * stride_y
    keys = np.empty(n, np.int64)
    for i in range(n):
        keys[i] = index[i, 0] * stride_x + index[i, 1] * stride_y + index[i, 2]

    digits = 11
    order = np.arange(n)
    other_order, other_keys = np.empty_like(order), np.empty_like(keys)
    largest = (extent[0] + 1) * stride_x
    shift = 0
    while (largest >> shift) > 0:
        count = np.zeros((1 << digits) + 1, np.int64)
        for i in range(n):
            count[((keys[i] >> shift) & ((1 << digits) - 1)) + 1] += 1
        for digit in range(1 << digits):
            count[digit + 1] += count[digit]
        for i in range(n):
            digit = (keys[i] >> shift) & ((1 << digits) - 1)
            to = count[digit]
            count[digit] += 1
            other_order[to], other_keys[to] = order[i], keys[i]
        order, other_order = other_order, order
        keys, other_keys = other_keys, keys
        shift += digits

    start = np.empty(n + 1, np.int64)
    cells = 0
    for i in range(n):
        if i == 0 or keys[i] != keys[i - 1]:
            start[cells] = i
            keys[cells] = keys[i]  # cells <= i: never ahead of what is still read
            cells += 1
    start[cells] = n
    return order, start[: cells + 1].copy(), keys[:cells].copy(), np.array([stride_x, stride_y])


@njit(cache=True, nogil=True)
def _neighbour_rows(key: NDArray, stride: NDArray, planes: int) -> tuple[NDArray, NDArray]:
    """For each cell and each row of its neighbourhood the run of cells in reach.

    Returns:
        first, last [C, rows] int32: the cells first..last - 1 lie in that row, at most REACH cells away along z.
    """
    cells = len(key)
    rows = (2 * planes + 1) * (2 * REACH + 1)
    first = np.empty((cells, rows), np.int32)
    last = np.empty((cells, rows), np.int32)
    row = 0
    for x in range(-planes, planes + 1):
        for y in range(-REACH, REACH + 1):
            centre = x * stride[0] + y * stride[1]
            begin = end = 0
            for cell in range(cells):
                while begin < cells and key[begin] < key[cell] + centre - REACH:
                    begin += 1
                while end < cells and key[end] <= key[cell] + centre + REACH:
                    end += 1
                first[cell, row] = begin
                last[cell, row] = end
            row += 1
    return first, last


@njit(cache=True, nogil=True)
def _within(xyz: NDArray, i: int, j: int, eps2: float) -> bool:
    x, y, z = xyz[i, 0] - xyz[j, 0], xyz[i, 1] - xyz[j, 1], xyz[i, 2] - xyz[j, 2]
    return x * x + y * y + z * z <= eps2


@njit(cache=True, nogil=True)
def _core_points(xyz: NDArray, start: NDArray, first: NDArray, last: NDArray, eps2: float, min_points: int) -> NDArray:
    """[N] bool, in the order of the cells: the points with at least `min_points` neighbours."""
    core = np.zeros(len(xyz), np.bool_)
    for cell in range(len(first)):
        crowded = start[cell + 1] - start[cell] >= min_points
        for i in range(start[cell], start[cell + 1]):
            core[i] = crowded or _has_neighbours(xyz, i, start, first[cell], last[cell], eps2, min_points)
    return core


@njit(cache=True, nogil=True)
def _has_neighbours(
    xyz: NDArray, i: int, start: NDArray, first: NDArray, last: NDArray, eps2: float, min_points: int
) -> bool:
    found = 0
    for row in range(len(first)):
        for j in range(start[first[row]], start[last[row]]):
            if _within(xyz, i, j, eps2):
                found += 1
                if found == min_points:
                    return True
    return False


@njit(cache=True, nogil=True)
def _root(parent: NDArray, cell: int) -> int:
    while parent[cell] != cell:
        parent[cell] = parent[parent[cell]]
        cell = parent[cell]
    return cell


@njit(cache=True, nogil=True)
def _join_cells(xyz: NDArray, start: NDArray, first: NDArray, last: NDArray, core: NDArray, eps2: float) -> NDArray:
    """parent [C]: a union-find forest in which two cells share a root if their core points belong together."""
    cells = len(first)
    parent = np.arange(cells)
    for cell in range(cells):
        for row in range(first.shape[1]):
            for other in range(first[cell, row], min(last[cell, row], cell)):
                a, b = _root(parent, cell), _root(parent, other)
                if a != b and _touch(xyz, start, core, cell, other, eps2):
                    parent[max(a, b)] = min(a, b)
    return parent


@njit(cache=True, nogil=True)
def _touch(xyz: NDArray, start: NDArray, core: NDArray, cell: int, other: int, eps2: float) -> bool:
    for i in range(start[cell], start[cell + 1]):
        if core[i]:
            for j in range(start[other], start[other + 1]):
                if core[j] and _within(xyz, i, j, eps2):
                    return True
    return False


@njit(cache=True, nogil=True)
def _labels(
    xyz: NDArray,
    order: NDArray,
    start: NDArray,
    first: NDArray,
    last: NDArray,
    core: NDArray,
    parent: NDArray,
    eps2: float,
) -> NDArray:
    """[N] int32 in the input's order: number the clusters by their lowest core row, then give out border points."""
    n, cells = len(xyz), len(parent)
    cell_of = np.empty(n, np.int64)
    position = np.empty(n, np.int64)
    for cell in range(cells):
        for i in range(start[cell], start[cell + 1]):
            cell_of[i] = cell
            position[order[i]] = i
    number = np.full(cells, -1, np.int32)  # of the cluster, at its root
    clusters = 0
    for point in range(n):
        i = position[point]
        if core[i]:
            root = _root(parent, cell_of[i])
            if number[root] < 0:
                number[root] = clusters
                clusters += 1
    label = np.full(n, -1, np.int32)
    for i in range(n):
        cell = cell_of[i]
        if core[i]:
            label[order[i]] = number[_root(parent, cell)]
            continue
        lowest = clusters
        for row in range(first.shape[1]):
            for other in range(first[cell, row], last[cell, row]):
                candidate = number[_root(parent, other)]
                if 0 <= candidate < lowest:
                    for j in range(start[other], start[other + 1]):
                        if core[j] and _within(xyz, i, j, eps2):
                            lowest = candidate
                            break
        if lowest < clusters:
            label[order[i]] = lowest
    return label
