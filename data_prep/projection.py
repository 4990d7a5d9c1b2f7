"""Points seen by cameras: which point falls on which pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

MIN_DEPTH = 1.0  # metres in front of the camera; nearer points are dropped, as in SLidR and in nuScenes' devkit
BORDER = 1.0  # pixels; nuScenes' devkit keeps 1 < u < width - 1 and 1 < v < height - 1


@dataclass(frozen=True)
class PinholeCamera:
    """An undistorted camera at the time of its image.

    Args:
        width, height: pixels.
        intrinsic: [3, 3] float64, pixels from the camera frame (x right, y down, z forward); last row 0 0 1.
        camera_from_lidar: [4, 4] float64 from the LiDAR at its time to the camera at its own, through the global frame.
    """

    width: int
    height: int
    intrinsic: NDArray[np.float64]
    camera_from_lidar: NDArray[np.float64]

    def pairs(self, xyz: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Project points [N, 3] of the LiDAR frame, metres. Occlusion is not tested.

        Returns:
            pixel [P, 2] float32 (u to the right, v down) and point [P] int32, ascending: the row of `xyz` seen there.
        """
        pixel_from_lidar = self.intrinsic @ self.camera_from_lidar[:3]
        return _pairs(xyz, pixel_from_lidar, self.width - BORDER, self.height - BORDER)


@njit(cache=True, nogil=True)
def _pairs(xyz: NDArray, pixel_from_lidar: NDArray, right: float, bottom: float) -> tuple[NDArray, NDArray]:
    m = pixel_from_lidar
    pixel = np.empty((len(xyz), 2), np.float32)
    point = np.empty(len(xyz), np.int32)
    count = 0
    for i in range(len(xyz)):
        x, y, z = np.float64(xyz[i, 0]), np.float64(xyz[i, 1]), np.float64(xyz[i, 2])
        depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        if depth > MIN_DEPTH:
            u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth
            v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth
            if BORDER < u < right and BORDER < v < bottom:
                pixel[count, 0], pixel[count, 1], point[count] = u, v, i
                count += 1
    return pixel[:count].copy(), point[:count].copy()
