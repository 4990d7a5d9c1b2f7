"""Heights above the local ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.mount import estimate_sensor_height

CELL = 2.0  # metres
NEAREST = 4  # cells with ground that are interpolated for a cell without


def height_above_ground(xyz: NDArray[np.float32], ground: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Height of each point above the ground around it.

    The ground of a cell of 2 m x 2 m is the median of its ground points, so that reflections from below the street do
    not count. A cell without ground has the mean of the four nearest cells with ground, weighted by the inverse squared
    distance (Shepard's interpolation).

    Args:
        xyz: [N, 3] metres, z up, finite.
        ground: [N].

    Returns:
        [N] float32 metres. Without any ground, heights are relative to the lowest dense layer of the cloud.
    """
    if not ground.any():
        return (xyz[:, 2] + estimate_sensor_height(xyz)).astype(np.float32)
    cell, of_point = _cells(xyz[:, :2])
    rows = np.flatnonzero(ground)
    rows = rows[np.lexsort((xyz[rows, 2], of_point[rows]))]
    known, first, count = np.unique(of_point[rows], return_index=True, return_counts=True)
    level = np.empty(len(cell))
    level[known] = xyz[rows[first + count // 2], 2]
    level[_rest(known, len(cell))] = _interpolated(cell, known, level)
    return (xyz[:, 2] - level[of_point]).astype(np.float32)


def _cells(xy: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The occupied cells [C, 2], and the row of each point's cell [N]."""
    index = np.floor(xy.astype(np.float64) / CELL).astype(np.int64)
    index -= index.min(axis=0)
    rows = int(index[:, 1].max()) + 1
    key, of_point = np.unique(index[:, 0] * rows + index[:, 1], return_inverse=True)
    return np.column_stack(np.divmod(key, rows)), of_point


def _rest(known: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    rest = np.ones(cells, bool)
    rest[known] = False
    return np.flatnonzero(rest)


def _interpolated(cell: NDArray[np.int64], known: NDArray[np.int64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ground of the cells [C, 2], interpolated from `level` [C] of the `known` cells."""
    from scipy.spatial import cKDTree

    nearest = min(NEAREST, len(known))
    distance, row = cKDTree(cell[known]).query(cell[_rest(known, len(cell))], range(1, nearest + 1))
    weight = 1 / distance**2
    return (weight * level[known][row]).sum(axis=1) / weight.sum(axis=1)
