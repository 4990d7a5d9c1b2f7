"""nuScenes' point files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


def columns_of(sweep: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[n, 4] float32 x y z intensity in [0, 1] of the points of a sweep [N, 5] that are kept [N]."""
    points = sweep[kept, :4]
    points[:, 3] /= MAX_INTENSITY
    return points
