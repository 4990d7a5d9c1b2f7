"""LiDAR sweeps: reading nuScenes' point files and merging sweeps in the frame of the latest one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

COLUMNS = ("x", "y", "z", "intensity", "ring")  # of a nuScenes .pcd.bin file, float32
FARTHEST = 10_000.0  # metres; a coordinate beyond is damage, not a return
CLOSE = (
    1.0  # metres; |x| and |y| below this are returns from the recording vehicle, as in nuScenes' devkit (remove_close)
)
MAX_INTENSITY = 255.0  # nuScenes intensities are whole numbers from 0 to 255


def read_sweep(path: Path) -> NDArray[np.float32]:
    """Read a nuScenes point file: [N, 5] float32, x y z in metres in the sensor's frame, intensity 0..255, ring.

    Raises:
        UserError: the file is missing, empty, cut off, or holds values that no sensor gives.
    """
    record = 4 * len(COLUMNS)
    content = read_bytes(path)
    if len(content) == 0 or len(content) % record:
        raise UserError(
            f"{path}: {len(content)} bytes are not a whole number of points of {record} bytes "
            f"({' '.join(COLUMNS)} as float32); the file is cut off: copy it again"
        )
    points = np.frombuffer(content, np.dtype("<f4")).reshape(-1, len(COLUMNS))
    bad = ~(np.abs(points) <= FARTHEST)  # also true for NaN
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise UserError(
            f"{path}: {COLUMNS[column]} of point {row} is {points[row, column]:g}, expected a number up to {FARTHEST:g}"
        )
    return points


def is_return(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[N] bool: False for returns from the recording vehicle itself. points [N, 2 or more] in the sensor's frame."""
    return (np.abs(points[:, 0]) >= CLOSE) | (np.abs(points[:, 1]) >= CLOSE)


def merge(
    sweeps: Sequence[NDArray[np.float32]], key_from_sweep: Sequence[NDArray[np.float64]], lags_s: Sequence[float] | None
) -> NDArray[np.float32]:
    """Move sweeps into the key sweep's frame, without the returns from the recording vehicle.

    Args:
        sweeps: point files as `read_sweep` gives them, the key sweep first.
        key_from_sweep: [4, 4] of each, through the global frame with each sweep's own ego pose.
        lags_s: seconds from each sweep to the key sweep, or None for no such column.

    Returns:
        [N, 4] float32 x y z intensity in [0, 1], or [N, 5] with the lag.
    """
    kept = [is_return(sweep) for sweep in sweeps]
    points = np.empty((sum(int(keep.sum()) for keep in kept), 4 if lags_s is None else 5), np.float32)
    count = 0
    for index, (sweep, keep, pose) in enumerate(zip(sweeps, kept, key_from_sweep, strict=True)):
        lag = 0.0 if lags_s is None else lags_s[index]
        count = _place(sweep, keep, pose, lag, points, count)
    return points


@njit(cache=True, nogil=True)
def _place(sweep: NDArray, keep: NDArray, key_from_sweep: NDArray, lag: float, points: NDArray, count: int) -> int:
    """Write the kept points of one sweep to the rows of `points` from `count` on; the number of rows filled then."""
    m = key_from_sweep
    for i in range(len(sweep)):
        if keep[i]:
            x, y, z = np.float64(sweep[i, 0]), np.float64(sweep[i, 1]), np.float64(sweep[i, 2])
            for axis in range(3):
                points[count, axis] = m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3]
            points[count, 3] = sweep[i, 3] / MAX_INTENSITY
            if points.shape[1] == 5:
                points[count, 4] = lag
            count += 1
    return count
