"""Nearest neighbours, and normals estimated from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(xyz: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """distance [N, K] (metres, ascending) and row [N, K] of the nearest points of each point, without the point itself.

    K is `count`, or N - 1 if that is smaller.
    """
    from scipy.spatial import cKDTree

    count = min(count, len(xyz) - 1)
    if count < 1:
        return np.empty((len(xyz), 0)), np.empty((len(xyz), 0), np.int64)
    distance, row = cKDTree(xyz).query(xyz, count + 1)
    own = row == np.arange(len(xyz))[:, None]
    own[~own.any(axis=1), -1] = True  # more than `count` coincident points: any of them is as near
    return distance[~own].reshape(-1, count), row[~own].reshape(-1, count)


def normals_of(xyz: NDArray[np.float64], row: NDArray[np.int64]) -> NDArray[np.float64]:
    """Unit normals [N, 3] of the planes through each point and its neighbours `row` [N, K]; their sign is arbitrary.

    With fewer than two neighbours in different directions the normal is one of those that fit.
    """
    patch = np.concatenate([xyz[:, None], xyz[row]], axis=1)
    centred = patch - patch.mean(axis=1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", centred, centred))[1][:, :, 0]
