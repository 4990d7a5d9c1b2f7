"""Exact DBSCAN in two or three dimensions on a sorted grid.

Ester et al., "A Density-Based Algorithm for Discovering Clusters in Large Spatial Databases with Noise", KDD 1996; the
grid follows Gunawan, "A Faster Algorithm for DBSCAN", 2013. The side of a cell is eps / sqrt(d), so that all points of
a cell are neighbours: a cell with `min_points` points contains only core points of one cluster, and clusters are
formed by joining cells, not points. Cells are sorted by key, so the cells of one row are consecutive, and as cells are
visited in order, the start in each neighbouring row only moves forward. No hash table or tree is needed.

Border points (not core, but with a core point within eps) may be in reach of several clusters; they are assigned to
the lowest number. Clusters are numbered by the lowest row of their core points. Both rules are scikit-learn's.
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
        min_points: number of neighbours, itself included, of a core point.

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
    xyz, lower, upper = _as_xyz(points)
    if not np.isfinite(lower + upper).all():
        raise ValueError("dbscan: the points must be finite")
    # slightly less than eps / sqrt(d), so that points of a cell are neighbours despite rounding
    side = eps / math.sqrt(dimensions) * (1 - 1e-9)
    extent = (upper - lower).max() / side
    if not extent < MAX_CELLS_PER_AXIS:
        raise ValueError(
            f"dbscan: the points must span less than {MAX_CELLS_PER_AXIS} cells of {side:g}, got {extent:g}"
        )
    planes = REACH if dimensions == 3 else 0
    order, start, key, stride = _sorted_cells(xyz, lower, upper, side)
    sorted_xyz = xyz[order]
    run, first_run = _neighbour_runs(key, stride, planes)
    core = _core_points(sorted_xyz, start, run, first_run, eps * eps, min_points)
    parent = _join_cells(sorted_xyz, start, run, first_run, core, eps * eps)
    return _labels(sorted_xyz, order, start, run, first_run, core, parent, eps * eps)


@njit(cache=True, nogil=True)
def _as_xyz(points: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """[N, 3] float64, for exact comparisons with eps (x = 0 for 2D points), and the bounds, NaN if a coordinate is."""
    n, dimensions = points.shape
    xyz = np.zeros((n, 3))
    lower, upper = np.zeros(3), np.zeros(3)
    for axis in range(3 - dimensions, 3):
        lower[axis], upper[axis] = np.inf, -np.inf
    for i in range(n):
        for axis in range(3 - dimensions, 3):
            value = np.float64(points[i, axis - 3 + dimensions])
            xyz[i, axis] = value
            if not (lower[axis] <= value <= upper[axis]):
                lower[axis], upper[axis] = np.minimum(lower[axis], value), np.maximum(upper[axis], value)
    return xyz, lower, upper


@njit(cache=True, nogil=True)
def _sorted_cells(
    xyz: NDArray, lower: NDArray, upper: NDArray, side: float
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Sort the points by cell (radix sort, stable).

    Returns:
        order [N]: rows of `xyz`, cell by cell; start [C + 1]: where each cell begins in it; key [C]: the cells' keys,
        ascending; stride [2]: the key's step along x and y (along z it is 1).
    """
    n = len(xyz)
    extent = ((upper - lower) / side).astype(np.int64)
    # rows are padded, so that a neighbour beyond a row's end is not a cell of the next row
    stride_y = extent[2] + 2 * REACH + 1
    stride_x = (extent[1] + 2 * REACH + 1) * stride_y
    keys = np.empty(n, np.int64)
    for i in range(n):
        x, y, z = (xyz[i, 0] - lower[0]) / side, (xyz[i, 1] - lower[1]) / side, (xyz[i, 2] - lower[2]) / side
        keys[i] = int(x) * stride_x + int(y) * stride_y + int(z)

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
            keys[cells] = keys[i]  # cells <= i: only overwrites keys already read
            cells += 1
    start[cells] = n
    return order, start[: cells + 1].copy(), keys[:cells].copy(), np.array([stride_x, stride_y])


@njit(cache=True, nogil=True)
def _neighbour_runs(key: NDArray, stride: NDArray, planes: int) -> tuple[NDArray, NDArray]:
    """The occupied cells in reach of each cell, as runs of consecutive cells of a row.

    Returns:
        run [n, 2] int32: the cells run[k, 0]..run[k, 1] - 1; those of cell c are first_run[c]..first_run[c + 1] - 1,
        the cell's own row first, so that most counts reach min_points early.
    """
    cells = len(key)
    row_start = _row_starts(key, stride[1])
    row_key = key[row_start[:-1]] // stride[1]
    stride_x = stride[0] // stride[1]
    planes_first = np.zeros(2 * planes + 1, np.int64)  # in each plane, where the previous row's neighbours began
    near = np.empty((2 * planes + 1) * (2 * REACH + 1), np.int64)
    begin = np.empty_like(near)  # in each neighbouring row, where the previous cell's run began
    end, step = np.empty_like(near), np.empty_like(near)  # where each ends; from a cell's key to the first in reach
    run = np.empty((8 * cells + len(near), 2), np.int32)
    first_run = np.empty(cells + 1, np.int64)
    count = 0
    for row in range(len(row_key)):
        rows = _near_rows(row, row_key, stride_x, planes, planes_first, near)
        for k in range(rows):
            begin[k], end[k] = row_start[near[k]], row_start[near[k] + 1]
            step[k] = (row_key[near[k]] - row_key[row]) * stride[1] - REACH
        for cell in range(row_start[row], row_start[row + 1]):
            first_run[cell] = count
            if count + rows > len(run):
                run = np.concatenate((run, np.empty_like(run)))
            for k in range(rows):
                low = key[cell] + step[k]
                first = begin[k]
                while first < end[k] and key[first] < low:
                    first += 1
                begin[k] = first
                last = first
                while last < end[k] and key[last] <= low + 2 * REACH:
                    last += 1
                if last > first:
                    run[count, 0], run[count, 1] = first, last
                    count += 1
    first_run[cells] = count
    return run[:count], first_run


@njit(cache=True, nogil=True)
def _row_starts(key: NDArray, stride_y: int) -> NDArray:
    """[rows + 1]: the first cell of each row, that is of each x and y, and the number of cells."""
    start = np.empty(len(key) + 1, np.int64)
    rows, last = 0, np.int64(-1)
    for cell in range(len(key)):
        row = key[cell] // stride_y
        if row != last:
            start[rows] = cell
            rows += 1
            last = row
    start[rows] = len(key)
    return start[: rows + 1]


@njit(cache=True, nogil=True)
def _near_rows(row: int, row_key: NDArray, stride_x: int, planes: int, planes_first: NDArray, near: NDArray) -> int:
    """Write the occupied rows in reach of a row to `near`, itself first; returns their number. Rows are in order."""
    near[0] = row
    count = 1
    for plane in range(2 * planes + 1):
        low = row_key[row] + (plane - planes) * stride_x - REACH
        other = planes_first[plane]
        while other < len(row_key) and row_key[other] < low:
            other += 1
        planes_first[plane] = other
        while other < len(row_key) and row_key[other] <= low + 2 * REACH:
            if other != row:
                near[count] = other
                count += 1
            other += 1
    return count


@njit(cache=True, nogil=True)
def _within(xyz: NDArray, i: int, j: int, eps2: float) -> bool:
    x, y, z = xyz[i, 0] - xyz[j, 0], xyz[i, 1] - xyz[j, 1], xyz[i, 2] - xyz[j, 2]
    return x * x + y * y + z * z <= eps2


@njit(cache=True, nogil=True)
def _core_points(
    xyz: NDArray, start: NDArray, run: NDArray, first_run: NDArray, eps2: float, min_points: int
) -> NDArray:
    """[N] bool, in the order of the cells: the points with at least `min_points` neighbours."""
    core = np.zeros(len(xyz), np.bool_)
    for cell in range(len(start) - 1):
        crowded = start[cell + 1] - start[cell] >= min_points
        near = run[first_run[cell] : first_run[cell + 1]]
        for i in range(start[cell], start[cell + 1]):
            core[i] = crowded or _has_neighbours(xyz, i, start, near, eps2, min_points)
    return core


@njit(cache=True, nogil=True)
def _has_neighbours(xyz: NDArray, i: int, start: NDArray, run: NDArray, eps2: float, min_points: int) -> bool:
    found = 0
    for k in range(len(run)):
        for j in range(start[run[k, 0]], start[run[k, 1]]):
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
def _join_cells(xyz: NDArray, start: NDArray, run: NDArray, first_run: NDArray, core: NDArray, eps2: float) -> NDArray:
    """parent [C]: a union-find forest in which two cells share a root if their core points are in one cluster."""
    cells = len(start) - 1
    parent = np.arange(cells)
    for cell in range(cells):
        a = cell
        for k in range(first_run[cell], first_run[cell + 1]):
            for other in range(run[k, 0], min(run[k, 1], cell)):
                b = _root(parent, other)
                if a != b and _touch(xyz, start, core, cell, other, eps2):
                    parent[max(a, b)] = min(a, b)
                    a = min(a, b)
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
    run: NDArray,
    first_run: NDArray,
    core: NDArray,
    parent: NDArray,
    eps2: float,
) -> NDArray:
    """[N] int32 in the input's order: number the clusters by their lowest core row, then assign border points."""
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
        for k in range(first_run[cell], first_run[cell + 1]):
            for other in range(run[k, 0], run[k, 1]):
                candidate = number[_root(parent, other)]
                if 0 <= candidate < lowest:
                    for j in range(start[other], start[other + 1]):
                        if core[j] and _within(xyz, i, j, eps2):
                            lowest = candidate
                            break
        if lowest < clusters:
            label[order[i]] = lowest
    return label
