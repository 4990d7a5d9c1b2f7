"""Thinning a cloud to one point per voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thinned(xyz: NDArray[np.floating], size: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means of the points of each occupied voxel.

    Args:
        xyz: [N, 3] metres.
        size: metres; edge of a voxel.

    Returns:
        mean [V, 3] float64, in the order of the voxels' x, y, z; voxel [N] int64: the voxel of each point.
    """
    if len(xyz) == 0:
        return np.empty((0, 3)), np.empty(0, np.int64)
    cell = np.floor(xyz.astype(np.float64) / size).astype(np.int64)
    cell -= cell.min(axis=0)
    extent = cell.max(axis=0) + 1
    key = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    voxel, count = np.unique(key, return_inverse=True, return_counts=True)[1:]
    mean = np.stack([np.bincount(voxel, xyz[:, axis]) for axis in range(3)], axis=1) / count[:, None]
    return mean, voxel
