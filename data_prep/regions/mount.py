"""Mounting of the LiDAR: sensor height and driving direction, used by ground segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NEAR, FAR = 3.0, 15.0  # metres in the plan view: beyond returns from the vehicle, within dense ground
CELL = 1.0  # metres
LAYER = 0.1  # metres: thickness of a layer of heights
MIN_CELLS = 30  # with fewer, layers cannot be identified
INLIER = (0.6, 0.4, 0.3, 0.2, 0.2)  # metres to either side of the plane, one value for each fit


@dataclass(frozen=True)
class SensorMount:
    """Pose of a cloud's frame relative to the ground.

    Args:
        height: metres of the origin above the ground; None: estimated from each cloud.
        forward: axis of the LiDAR frame along which the vehicle drives.
    """

    height: float | None = None
    forward: Literal["x", "y"] = "x"

    def height_in(self, xyz: NDArray[np.float32]) -> float:
        """Metres of the origin of the points [N, 3] above the ground: `height` if known, else an estimate."""
        return estimate_sensor_height(xyz) if self.height is None else self.height


def estimate_sensor_height(xyz: NDArray[np.floating]) -> float:
    """Height of the origin above the ground, from the lowest dense layer of points around it.

    The lowest point of each cell of 1 m x 1 m between 3 and 15 m is on the ground in most cells, above it where an
    object hides the ground, and below it where it is a reflection. Of the layers of 0.1 m of these lowest points the
    ground is the lowest one with at least half as many cells as the fullest one, each counted with its two neighbours.
    A plane is fitted to the cells around that layer, as a street may slope; the height is its depth below the origin.

    Args:
        xyz: [N, 3] metres, z up, finite.

    Returns:
        Metres; 0 for an empty cloud. With too few cells around the origin the layer of the whole cloud is used.
    """
    reach = np.hypot(xyz[:, 0], xyz[:, 1])
    lowest = _lowest_of_cells(xyz[(reach >= NEAR) & (reach <= FAR)])
    if len(lowest) < MIN_CELLS:
        return -_lowest_layer(_lowest_of_cells(xyz)[:, 2]) if len(xyz) else 0.0
    plane = np.array([0.0, 0.0, _lowest_layer(lowest[:, 2])])
    design = np.column_stack([lowest[:, :2], np.ones(len(lowest))])
    for thickness in INLIER:
        inlier = np.abs(lowest[:, 2] - design @ plane) <= thickness
        if inlier.sum() < MIN_CELLS // 2:
            break
        plane = np.linalg.lstsq(design[inlier], lowest[inlier, 2], rcond=None)[0]
    return -float(plane[2])


def _lowest_layer(z: NDArray[np.float64]) -> float:
    """Height of the lowest dense layer of the heights z [N]."""
    layer = np.round(z / LAYER).astype(np.int64)
    layers, cells = np.unique(layer, return_counts=True)
    count = dict(zip(layers.tolist(), cells.tolist(), strict=True))
    around = np.array([sum(count.get(layer + step, 0) for step in (-1, 0, 1)) for layer in layers.tolist()])
    lowest = layers[np.argmax(2 * around >= around.max())]
    return float(np.median(z[np.abs(layer - lowest) <= 1]))


def _lowest_of_cells(xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """[C, 3]: the lowest point of each occupied cell."""
    cell = np.floor(xyz[:, :2].astype(np.float64) / CELL)
    order = np.lexsort((xyz[:, 2], cell[:, 1], cell[:, 0]))
    cell = cell[order]
    first = np.append(True, (cell[1:] != cell[:-1]).any(axis=1))[: len(order)]
    return xyz[order[first]].astype(np.float64)
