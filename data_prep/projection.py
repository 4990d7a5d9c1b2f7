"""Projection of points into cameras: pairs of points and pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pc_ssl.errors import UserError

MIN_DEPTH = 1.0  # metres in front of the camera; nearer points are dropped, as in SLidR and in nuScenes' devkit
BORDER = 1.0  # pixels; nuScenes' devkit keeps 1 < u < width - 1 and 1 < v < height - 1
BLOCK = 256  # points per block: intermediate results fit into the L1 cache

Pairs = tuple[NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True)
class Occlusion:
    """Drops points that are occluded for a camera, which is mounted apart from the LiDAR, by nearer points.

    A point is occluded if a point whose pixel is within `pixels` of its own, in u and in v, is nearer by `margin`:
    depth > (1 + margin) * depth of the other. This is a z-buffer with a neighbourhood that closes gaps between points.

    The defaults are reconstructed (SLidR pairs without a test): a camera of nuScenes sees neighbours of one beam about
    7 pixels apart, and with 8 pixels and a tenth of the depth, level ground does not occlude itself up to about 24 m
    even where merged sweeps close all gaps.

    Args:
        pixels: half the side of the neighbourhood.
        margin: share of the depth.
    """

    pixels: float = 8.0
    margin: float = 0.1


@dataclass(frozen=True)
class PinholeCamera:
    """An undistorted camera at the time of its image.

    Args:
        width, height: pixels.
        intrinsic: [3, 3] float64, pixels from the camera frame (x right, y down, z forward); last row 0 0 1.
        camera_from_lidar: [4, 4] float64, from the LiDAR at its time to the camera at the time of its image.
    """

    measures_depth: ClassVar[bool] = False  # whether `pairs` compares each point with a measured depth
    width: int
    height: int
    intrinsic: NDArray[np.float64]
    camera_from_lidar: NDArray[np.float64]

    def pairs(self, xyz: NDArray[np.float32]) -> Pairs:
        """Project points [N, 3] of the LiDAR frame, metres. Occlusion is not tested.

        Returns:
            pixel [P, 2] float32 (u to the right, v down) and point [P] int32, ascending: its row of `xyz`.
        """
        return pairs_of_cameras({"": self}, xyz)[""]


def pairs_of_cameras(
    cameras: Mapping[str, PinholeCamera], xyz: NDArray[np.float32], occlusion: Occlusion | None = None
) -> dict[str, Pairs]:
    """Project points [N, 3] of the LiDAR frame, metres, into all cameras, in one pass over the points.

    Args:
        cameras: by name; cameras with `measures_depth` test visibility themselves.
        xyz: [N, 3].
        occlusion: drops hidden points; None keeps them, as SLidR does.

    Returns:
        the pairs of each camera, as `PinholeCamera.pairs`; cameras with a damaged depth image are left out.
    """
    names = [name for name, camera in cameras.items() if not camera.measures_depth]
    seen: dict[str, Pairs] = {}
    if names:
        matrix = np.stack([cameras[name].intrinsic @ cameras[name].camera_from_lidar[:3] for name in names])
        size = np.array([[cameras[name].width, cameras[name].height] for name in names], np.float64)
        pixel, point, count = _project(xyz, matrix, size - BORDER)
        for k, name in enumerate(names):
            on, row = pixel[k, : count[k]], point[k, : count[k]]
            kept = slice(None) if occlusion is None else _visible(xyz, on, row, matrix[k], size[k], **vars(occlusion))
            seen[name] = on[kept].copy(), row[kept].copy()
    for name, camera in cameras.items():
        if camera.measures_depth:
            with contextlib.suppress(UserError):  # the depth image is damaged: the view is left out, the frame is kept
                seen[name] = camera.pairs(xyz)
    return {name: seen[name] for name in cameras if name in seen}


@njit(
    cache=True, nogil=True, error_model="numpy"
)  # no exception for a division by zero, so that loops have no branches
def _project(xyz: NDArray, pixel_from_lidar: NDArray, last: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """pixel [K, N, 2], point [K, N], of which the first count [K] rows are filled; last [K, 2]: bounds of u and v.

    Points are processed in blocks; a block entirely behind a camera costs a third. Rows that are not filled are never
    touched, so that they take no memory.
    """
    n, cameras = len(xyz), len(pixel_from_lidar)
    pixel, point = np.empty((cameras, n, 2), np.float32), np.empty((cameras, n), np.int32)
    count = np.zeros(cameras, np.int64)
    x, y, z, depth = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    u, v, seen = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.bool_)
    for begin in range(0, n, BLOCK):
        rows = min(BLOCK, n - begin)
        for i in range(rows):
            x[i], y[i], z[i] = xyz[begin + i, 0], xyz[begin + i, 1], xyz[begin + i, 2]
        for k in range(cameras):
            right, bottom = last[k, 0], last[k, 1]
            m00, m01, m02, m03 = pixel_from_lidar[k, 0]
            m10, m11, m12, m13 = pixel_from_lidar[k, 1]
            m20, m21, m22, m23 = pixel_from_lidar[k, 2]
            some = False
            for i in range(rows):
                depth[i] = m20 * x[i] + m21 * y[i] + m22 * z[i] + m23
                some |= depth[i] > MIN_DEPTH
            if not some:
                continue
            some = False
            for i in range(rows):
                s = (m00 * x[i] + m01 * y[i] + m02 * z[i] + m03) / depth[i]
                t = (m10 * x[i] + m11 * y[i] + m12 * z[i] + m13) / depth[i]
                u[i], v[i] = s, t
                seen[i] = (depth[i] > MIN_DEPTH) & (s > BORDER) & (s < right) & (t > BORDER) & (t < bottom)
                some |= seen[i]
            if not some:
                continue
            row = count[k]
            for i in range(rows):
                if seen[i]:
                    pixel[k, row, 0], pixel[k, row, 1], point[k, row] = u[i], v[i], begin + i
                    row += 1
            count[k] = row
    return pixel, point, count


@njit(cache=True, nogil=True)
def _visible(
    xyz: NDArray, pixel: NDArray, point: NDArray, pixel_from_lidar: NDArray, size: NDArray, pixels: float, margin: float
) -> NDArray:
    """[P] bool: pairs that are not occluded (`Occlusion`), found in neighbouring cells of the size of the reach."""
    columns, rows = int(size[0] / pixels) + 1, int(size[1] / pixels) + 1
    cell, depth = np.empty((len(pixel), 2), np.int64), np.empty(len(pixel))
    start = np.zeros(rows * columns + 1, np.int64)
    for i in range(len(pixel)):
        p = xyz[point[i]]
        depth[i] = (
            pixel_from_lidar[2, 0] * p[0] + pixel_from_lidar[2, 1] * p[1] + pixel_from_lidar[2, 2] * p[2]
            + pixel_from_lidar[2, 3]
        )  # fmt: skip
        cell[i, 0], cell[i, 1] = int(pixel[i, 0] / pixels), int(pixel[i, 1] / pixels)
        start[cell[i, 1] * columns + cell[i, 0] + 1] += 1
    start = np.cumsum(start)
    order, free = np.empty(len(pixel), np.int64), start.copy()
    for i in range(len(pixel)):
        c = cell[i, 1] * columns + cell[i, 0]
        order[free[c]] = i
        free[c] += 1
    visible = np.ones(len(pixel), np.bool_)
    for i in range(len(pixel)):
        first, last = max(cell[i, 0] - 1, 0), min(cell[i, 0] + 1, columns - 1)
        for row in range(max(cell[i, 1] - 1, 0), min(cell[i, 1] + 1, rows - 1) + 1):
            for j in order[start[row * columns + first] : start[row * columns + last + 1]]:
                if (
                    depth[i] > (1 + margin) * depth[j]
                    and abs(pixel[i, 0] - pixel[j, 0]) <= pixels
                    and abs(pixel[i, 1] - pixel[j, 1]) <= pixels
                ):
                    visible[i] = False
                    break
            if not visible[i]:
                break
    return visible
