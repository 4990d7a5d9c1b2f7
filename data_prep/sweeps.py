"""nuScenes' point files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.left_out import is_finite
from data_prep.point_files.arrays import read_bin
from data_prep.point_files.layout import XYZ, PointLayout
from pc_ssl.errors import UserError

FARTHEST = 10_000.0  # metres; a coordinate beyond is damage, not a return
CLOSE = (
    1.0  # metres; |x| and |y| below this are returns from the recording vehicle, as in nuScenes' devkit (remove_close)
)
# Of a nuScenes .pcd.bin file: float32; intensities are whole numbers from 0 to 255.
LAYOUT = PointLayout(columns=(*XYZ, "intensity", "ring"), intensity_max=255.0, checked=("ring",))


def read_sweep(path: Path, layout: PointLayout = LAYOUT) -> NDArray[np.float32]:
    """Read a nuScenes point file: [N, 3 + F] float32, x y z in metres in the sensor's frame, and the features.

    Raises:
        UserError: the file is missing, empty or cut off; values are out of range, as with other columns; or the
            coordinates of most points are not finite.
    """
    columns = read_bin(path, layout.columns)
    xyz = np.stack([columns[axis] for axis in XYZ], axis=1)
    if not len(xyz):
        raise UserError(f"{path}: 0 bytes, it holds no points; the file is cut off (copy it again)")
    finite = is_finite(path, xyz)
    far = finite[:, None] & ~(np.abs(xyz) <= FARTHEST)
    if far.any():
        row, axis = (int(place) for place in np.argwhere(far)[0])
        raise UserError(
            f"{path}: {XYZ[axis]} of point {row} is {xyz[row, axis]:g}, expected {-FARTHEST:g} to {FARTHEST:g}; are "
            f"{' '.join(layout.columns)} the file's columns? --columns"
        )
    return np.column_stack([xyz, *layout.scaled(path, columns)]).astype(np.float32)


def is_return(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[N] bool: False for returns from the recording vehicle itself, and for points without finite coordinates.

    points [N, 3 or more] in the sensor's frame.
    """
    finite = np.isfinite(points[:, :3]).all(axis=1)
    return finite & ((np.abs(points[:, 0]) >= CLOSE) | (np.abs(points[:, 1]) >= CLOSE))
