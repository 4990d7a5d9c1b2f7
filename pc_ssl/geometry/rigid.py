"""Rigid transforms, named `dst_from_src`: points in the frame `src` go in, points in the frame `dst` come out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def transform_from(rotation: NDArray | list, translation: NDArray | list) -> NDArray[np.float64]:
    """Build a transform.

    Args:
        rotation: [3, 3] matrix, or a quaternion (w, x, y, z) of any length.
        translation: [3], metres.

    Returns:
        [4, 4] float64 `dst_from_src`, where `rotation` turns the axes of src into dst and `translation` is src's origin
        in dst.
    """
    matrix = np.eye(4)
    rotation = np.asarray(rotation, dtype=np.float64)
    matrix[:3, :3] = rotation if rotation.shape == (3, 3) else _rotation_from_quaternion(rotation)
    matrix[:3, 3] = translation
    return matrix


def invert(dst_from_src: NDArray) -> NDArray[np.float64]:
    """`src_from_dst` [4, 4] float64 of a rigid transform [4, 4]."""
    src_from_dst = np.eye(4)
    src_from_dst[:3, :3] = dst_from_src[:3, :3].T
    src_from_dst[:3, 3] = -dst_from_src[:3, :3].T @ dst_from_src[:3, 3]
    return src_from_dst


def apply(dst_from_src: NDArray, xyz: NDArray) -> NDArray:
    """Move points [N, 3] in src, metres, to dst; computed in float64, returned in the dtype of `xyz`."""
    moved = xyz.astype(np.float64) @ dst_from_src[:3, :3].T + dst_from_src[:3, 3]
    return moved.astype(xyz.dtype)


def rotation_about_z(angle: float) -> NDArray[np.float64]:
    """[3, 3] float64, counter-clockwise by `angle` radians seen from above."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def yaw_of(rotation: NDArray) -> float:
    """Heading in radians, in (-pi, pi], of the x axis of a rotation [3, 3] projected to the ground plane."""
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def _rotation_from_quaternion(quaternion: NDArray) -> NDArray[np.float64]:
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
