"""RGB-D views of a room: pairs of points and pixels, with visibility from the measured depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.projection import PinholeCamera

TOLERANCE = 0.1  # metres between projected and measured depth; twice the error of reconstruction and tracking


@dataclass(frozen=True)
class RgbdCamera(PinholeCamera):
    """A colour camera with a depth camera at about the same position.

    Args:
        depth_intrinsic: [3, 3] float64 of the depth image.
        read_depth: decodes the depth image, [H, W] uint16 along the optical axis, millimetres, 0 where not
            measured; raises UserError if it is damaged. A room has hundreds of them, which are decoded one at a time.
    """

    measures_depth: ClassVar[bool] = True
    depth_intrinsic: NDArray[np.float64]
    read_depth: Callable[[], NDArray[np.uint16]]

    def pairs(self, xyz: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Project points [N, 3] of the room frame, metres; only those at the measured depth are visible.

        Returns:
            as `PinholeCamera.pairs`.

        Raises:
            UserError: the depth image is damaged.
        """
        return _pairs(
            xyz, self.camera_from_lidar, self.intrinsic, self.depth_intrinsic,
            self.read_depth(), self.width, self.height, TOLERANCE,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _pairs(
    xyz: NDArray,
    camera_from_room: NDArray,
    intrinsic: NDArray,
    depth_intrinsic: NDArray,
    depth_mm: NDArray,
    width: int,
    height: int,
    tolerance: float,
) -> tuple[NDArray, NDArray]:
    m, c, d = camera_from_room, intrinsic, depth_intrinsic
    rows, columns = depth_mm.shape
    pixel = np.empty((len(xyz), 2), np.float32)
    point = np.empty(len(xyz), np.int32)
    count = 0
    for i in range(len(xyz)):
        px, py, pz = np.float64(xyz[i, 0]), np.float64(xyz[i, 1]), np.float64(xyz[i, 2])
        z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz + m[2, 3]
        if z <= 0:
            continue
        x = (m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz + m[0, 3]) / z
        y = (m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz + m[1, 3]) / z
        u, v = c[0, 0] * x + c[0, 1] * y + c[0, 2], c[1, 1] * y + c[1, 2]
        if not (0 <= u <= width - 1 and 0 <= v <= height - 1):
            continue
        column, row = d[0, 0] * x + d[0, 1] * y + d[0, 2] + 0.5, d[1, 1] * y + d[1, 2] + 0.5
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        measured = 0.001 * depth_mm[int(row), int(column)]
        if measured > 0 and abs(measured - z) <= tolerance:
            pixel[count, 0], pixel[count, 1], point[count] = u, v, i
            count += 1
    return pixel[:count].copy(), point[:count].copy()
