"""nuScenes' point files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.left_out import is_finite
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

COLUMNS = ("x", "y", "z", "intensity", "ring")  # of a nuScenes .pcd.bin file, float32
FARTHEST = 10_000.0  # metres; larger coordinates indicate damage
CLOSE = (
    1.0  # metres; |x| and |y| below this are returns from the recording vehicle, as in nuScenes' devkit (remove_close)
)
MAX_INTENSITY = 255.0  # nuScenes intensities are whole numbers from 0 to 255
RANGES = (*3 * ((-FARTHEST, FARTHEST),), (0.0, MAX_INTENSITY), (-1.0, 255.0))  # of COLUMNS; ring -1: unknown


def read_sweep(path: Path) -> NDArray[np.float32]:
    """Read a nuScenes point file: [N, 5] float32, x y z in metres in the sensor's frame, intensity 0..255, ring.

    Raises:
        UserError: the file is missing, empty or cut off; values are out of range, as with other columns; or the
            coordinates of most points are not finite.
    """
    record = 4 * len(COLUMNS)
    content = read_bytes(path)
    if len(content) == 0 or len(content) % record:
        raise UserError(
            f"{path}: {len(content)} bytes are not a whole number of points of {record} bytes "
            f"({' '.join(COLUMNS)} as float32); the file is cut off (copy it again), or has other columns"
        )
    points = np.frombuffer(content, np.dtype("<f4")).reshape(-1, len(COLUMNS))
    finite = is_finite(path, points[:, :3])
    for column, (least, most) in enumerate(RANGES):
        values = points[:, column]
        bad = ~((values >= least) & (values <= most))  # also True for NaN
        if column < 3:
            bad &= finite  # points without finite coordinates are left out, see `is_return`
        elif COLUMNS[column] == "ring":
            bad |= values != np.rint(values)
        if bad.any():
            row, whole = int(bad.argmax()), "a whole number " if COLUMNS[column] == "ring" else ""
            raise UserError(
                f"{path}: {COLUMNS[column]} of point {row} is {values[row]:g}, expected {whole}{least:g} to {most:g}; "
                f"are {' '.join(COLUMNS)} the file's columns?"
            )
    return points


def is_return(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[N] bool: False for returns from the recording vehicle itself, and for points without finite coordinates.

    points [N, 3 or more] in the sensor's frame.
    """
    finite = np.isfinite(points[:, :3]).all(axis=1)
    return finite & ((np.abs(points[:, 0]) >= CLOSE) | (np.abs(points[:, 1]) >= CLOSE))


def columns_of(sweep: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[n, 4] float32 x y z intensity in [0, 1] of the `kept` [N] points of a sweep [N, 5]."""
    points = sweep[kept, :4]
    points[:, 3] /= MAX_INTENSITY
    return points
