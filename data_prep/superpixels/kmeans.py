"""k-means in colour and position with local search windows, the core of SLIC."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def local_kmeans(lab: NDArray[np.float32], segments: int, weight: float, iterations: int) -> NDArray[np.int32]:
    """Assign each pixel to the closest of about `segments` centres, which move to the mean of their pixels.

    Args:
        lab: [3, H, W].
        segments: centres are initialised on the regular grid whose number of cells is closest to it.
        weight: colour distance that one pixel of distance counts as.
        iterations: of assignment and update; the last one only assigns.

    Returns:
        [H, W] int32: the centre of each pixel. Centres may have no pixels; pixels of a centre need not be connected.
    """
    _, height, width = lab.shape
    rows = max(1, round(np.sqrt(segments * height / width)))
    columns = max(1, round(segments / rows))
    reach = int(np.ceil(np.sqrt(height * width / (rows * columns))))
    label = _grid(height, width, rows, columns)
    centre = np.empty((rows * columns, 5), np.float32)
    distance = np.empty((height, width), np.float32)
    for _ in range(iterations):
        _update(lab, label, centre)
        _assign(lab, centre, reach, np.float32(weight**2), distance, label)
    return label


@njit(cache=True, nogil=True)
def _grid(height: int, width: int, rows: int, columns: int) -> NDArray:
    label = np.empty((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            label[y, x] = y * rows // height * columns + x * columns // width
    return label


@njit(cache=True, nogil=True)
def _update(lab: NDArray, label: NDArray, centre: NDArray) -> None:
    """centre [K, 5]: mean L, a, b, y, x of the pixels of each; centres without pixels do not move."""
    total = np.zeros((len(centre), 6))
    for y in range(label.shape[0]):
        for x in range(label.shape[1]):
            of = total[label[y, x]]
            of[0] += lab[0, y, x]
            of[1] += lab[1, y, x]
            of[2] += lab[2, y, x]
            of[3] += y
            of[4] += x
            of[5] += 1
    for k in range(len(centre)):
        if total[k, 5] > 0:
            for i in range(5):
                centre[k, i] = total[k, i] / total[k, 5]


@njit(cache=True, nogil=True)
def _assign(lab: NDArray, centre: NDArray, reach: int, weight2: float, distance: NDArray, label: NDArray) -> None:
    """Closest centre of each pixel among those at most `reach` away along x and y; a pixel without one keeps its label.

    The inner loop has no branches and works on separate planes, so that it is vectorised.
    """
    height, width = label.shape
    distance[:] = np.inf
    for k in range(len(centre)):
        light, red, yellow, cy, cx = centre[k, 0], centre[k, 1], centre[k, 2], centre[k, 3], centre[k, 4]
        left, right = max(0, int(cx) - reach), min(width, int(cx) + reach + 1)
        offset = np.float32(left) - cx
        for y in range(max(0, int(cy) - reach), min(height, int(cy) + reach + 1)):
            down = (np.float32(y) - cy) * (np.float32(y) - cy) * weight2
            plane_l, plane_a, plane_b = lab[0, y, left:right], lab[1, y, left:right], lab[2, y, left:right]
            best, of = distance[y, left:right], label[y, left:right]
            for x in range(right - left):
                dl, da, db = plane_l[x] - light, plane_a[x] - red, plane_b[x] - yellow
                dx = np.float32(np.int32(x)) + offset
                d = dl * dl + da * da + db * db + dx * dx * weight2 + down
                closer = d < best[x]
                best[x] = d if closer else best[x]
                of[x] = np.int32(k) if closer else of[x]
