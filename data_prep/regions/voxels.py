"""Thinning a cloud to one point per voxel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_CELLS_PER_AXIS = 1 << 21  # three axes of 21 bits fit into an int64 key
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing, Knuth, TAOCP 3, 6.4


def thinned(xyz: NDArray[np.floating], size: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means of the points of each occupied voxel.

    Args:
        xyz: [N, 3 or more]: x y z in metres, finite; further columns are averaged like them.
        size: metres; edge of a voxel.

    Returns:
        mean [V, columns] float64, in the order of the voxels' first points; voxel [N] int64: the voxel of each point.

    Raises:
        ValueError: the points are not finite, or span over two million voxels along an axis.
    """
    if len(xyz) == 0:
        return np.empty((0, xyz.shape[1])), np.empty(0, np.int64)
    lower, upper = xyz[:, :3].min(axis=0), xyz[:, :3].max(axis=0)
    first_cell = np.floor(lower.astype(np.float64) / size)
    extent = (np.floor(upper.astype(np.float64) / size) - first_cell).max()
    if not extent < MAX_CELLS_PER_AXIS:  # also true for NaN
        raise ValueError(
            f"thinned: the points must be finite and span less than {MAX_CELLS_PER_AXIS} voxels of {size:g}"
        )
    return _means(xyz, size, first_cell)


@njit(cache=True, nogil=True)
def _means(xyz: NDArray, size: float, first_cell: NDArray) -> tuple[NDArray, NDArray]:
    """With a hash table of open addressing, at most half full."""
    n, columns = xyz.shape
    bits = 1
    while (1 << bits) < 2 * n:
        bits += 1
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    table = np.full(1 << bits, -1, np.int32)  # voxel in each slot
    key_of = np.empty(n, np.int64)  # of each voxel
    count = np.zeros(n, np.int64)
    total = np.zeros((n, columns))
    voxel = np.empty(n, np.int64)
    voxels = 0
    for i in range(n):
        key = np.int64(0)
        for axis in range(3):
            key = (key << 21) | np.int64(np.floor(np.float64(xyz[i, axis]) / size) - first_cell[axis])
        slot = np.int64((np.uint64(key) * SPREAD) >> shift)
        while table[slot] >= 0 and key_of[table[slot]] != key:
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = voxels
            key_of[voxels] = key
            voxels += 1
        v = table[slot]
        voxel[i] = v
        count[v] += 1
        for column in range(columns):
            total[v, column] += xyz[i, column]
    mean = np.empty((voxels, columns))
    for v in range(voxels):
        for column in range(columns):
            mean[v, column] = total[v, column] / count[v]
    return mean, voxel
