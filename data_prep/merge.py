"""Merging of sweeps in the keyframe's LiDAR frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.reader import Sweep


def merge_sweeps(key: NDArray[np.float32], earlier: Sequence[Sweep]) -> NDArray[np.float32]:
    """Move earlier sweeps into the frame of the key sweep.

    Args:
        key: [N, 3 + F] x y z (metres, LiDAR frame), then features.
        earlier: sweeps with the same columns.

    Returns:
        [N + M, 3 + F + 1] float32: the key sweep first; the last column is the time lag in seconds.
    """
    points = np.empty((len(key) + sum(len(sweep.points) for sweep in earlier), key.shape[1] + 1), np.float32)
    points[: len(key), :-1], points[: len(key), -1] = key, 0
    count = len(key)
    for sweep in earlier:
        _place(sweep.points, sweep.key_from_sweep, points[count : count + len(sweep.points)])
        points[count : count + len(sweep.points), -1] = sweep.lag_s
        count += len(sweep.points)
    return points


@njit(cache=True, nogil=True)
def _place(sweep: NDArray, key_from_sweep: NDArray, points: NDArray) -> None:
    """Write a transformed sweep to all columns of `points` except the last."""
    m = key_from_sweep
    for i in range(len(sweep)):
        x, y, z = np.float64(sweep[i, 0]), np.float64(sweep[i, 1]), np.float64(sweep[i, 2])
        for axis in range(3):
            points[i, axis] = m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3]
        for column in range(3, sweep.shape[1]):
            points[i, column] = sweep[i, column]
