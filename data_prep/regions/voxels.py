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
    first_cell, extent = _extent(xyz, 1 / size)
    if not extent.max() < MAX_CELLS_PER_AXIS:  # also true for NaN
        raise ValueError(
            f"thinned: the points must be finite and span less than {MAX_CELLS_PER_AXIS} voxels of {size:g}"
        )
    return _means(xyz, 1 / size, first_cell)


@njit(cache=True, nogil=True)
def _extent(xyz: NDArray, per_metre: float) -> tuple[NDArray, NDArray]:
    """First cell [3] along each axis, and number of further cells [3]; NaN if a coordinate is not finite."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    finite = True
    for i in range(len(xyz)):
        for axis in range(3):
            value = np.float64(xyz[i, axis])
            finite = finite and np.isfinite(value)
            low[axis], high[axis] = min(low[axis], value), max(high[axis], value)
    if not finite:
        return low, np.full(3, np.nan)
    first = np.floor(low * per_metre)
    return first, np.floor(high * per_metre) - first


@njit(cache=True, nogil=True)
def _means(xyz: NDArray, per_metre: float, first_cell: NDArray) -> tuple[NDArray, NDArray]:
    """Means and voxels, with an open-addressing hash table that is at most half full."""
    n, columns = xyz.shape
    bits = 1
    while (1 << bits) < 2 * n:
        bits += 1
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    slot_key, slot_voxel = np.full(1 << bits, -1, np.int64), np.empty(1 << bits, np.int32)
    voxel = np.empty(n, np.int64)
    voxels = 0
    for i in range(n):
        key = np.int64(0)
        for axis in range(3):
            key = (key << 21) | np.int64(np.floor(xyz[i, axis] * per_metre) - first_cell[axis])
        slot = np.int64((np.uint64(key) * SPREAD) >> shift)
        while slot_key[slot] != key:
            if slot_key[slot] < 0:
                slot_key[slot], slot_voxel[slot] = key, voxels
                voxels += 1
                break
            slot = (slot + 1) & mask
        voxel[i] = slot_voxel[slot]
    mean, count = np.zeros((voxels, columns)), np.zeros(voxels)
    for i in range(n):
        v = voxel[i]
        count[v] += 1
        for column in range(columns):
            mean[v, column] += xyz[i, column]
    for v in range(voxels):
        for column in range(columns):
            mean[v, column] /= count[v]
    return mean, voxel
