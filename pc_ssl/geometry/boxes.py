"""Points inside boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def points_in_boxes(xyz: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """xyz [N, 3] metres; box [M, 7 or more] (x y z l w h yaw) in the same frame -> [M, N] bool, faces included."""
    inside = np.empty((len(box), len(xyz)), np.bool_)
    for row, (x, y, z, length, width, height, yaw) in zip(inside, box[:, :7].astype(np.float64), strict=True):
        dx, dy, dz = xyz[:, 0] - x, xyz[:, 1] - y, xyz[:, 2] - z
        along, across = np.cos(yaw) * dx + np.sin(yaw) * dy, -np.sin(yaw) * dx + np.cos(yaw) * dy
        row[:] = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2) & (np.abs(dz) <= height / 2)
    return inside
