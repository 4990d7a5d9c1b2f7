"""Connected components of a label map; small ones are merged into neighbours."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.union_find import join, number_sets, root_of


def join_small_pieces(label: NDArray[np.int32], colour: NDArray[np.float32], least: int) -> NDArray[np.int32]:
    """Make each connected component of a label map a segment, and merge small ones into a neighbour.

    Args:
        label: [H, W].
        colour: [3, H, W].
        least: pixels; a smaller component is merged into the 4-connected neighbour of the closest mean colour, in the
            order of first pixels, until no small component with a neighbour remains.

    Returns:
        [H, W] int32, segments 0..S - 1 numbered by their first pixels.
    """
    parent, size = _pieces(label)
    total = _sums(parent, colour)
    first, second = _borders(label.shape, parent, size, least)
    _join(parent, size, total, first, second, least)
    return number_sets(parent, size, 1).reshape(label.shape)


@njit(cache=True, nogil=True)
def _pieces(label: NDArray) -> tuple[NDArray, NDArray]:
    """Union-find forest of the pixels [H W], one root per component, and the component's size at the root."""
    height, width = label.shape
    parent = np.arange(height * width)
    size = np.ones(height * width, np.int64)
    for y in range(height):
        for x in range(width):
            item = y * width + x
            if x > 0 and label[y, x] == label[y, x - 1]:
                a, b = root_of(parent, item - 1), root_of(parent, item)
                if a != b:
                    join(parent, size, a, b)
            if y > 0 and label[y, x] == label[y - 1, x]:
                a, b = root_of(parent, item - width), root_of(parent, item)
                if a != b:
                    join(parent, size, a, b)
    for item in range(len(parent)):
        parent[item] = root_of(parent, item)
    return parent, size


@njit(cache=True, nogil=True)
def _sums(parent: NDArray, colour: NDArray) -> NDArray:
    """[H W, 3]: the sum of the colours of each component, at its root; `parent` holds roots."""
    plane = colour.reshape(3, -1)
    total = np.zeros((len(parent), 3))
    for item in range(len(parent)):
        for channel in range(3):
            total[parent[item], channel] += plane[channel, item]
    return total


@njit(cache=True, nogil=True)
def _borders(shape: tuple[int, int], parent: NDArray, size: NDArray, least: int) -> tuple[NDArray, NDArray]:
    """Roots of pairs of adjacent components, at least one of them small; pairs may be repeated."""
    height, width = shape
    first, second = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for y in range(height):
        for x in range(width):
            item = y * width + x
            for there, neighbour in ((x + 1 < width, item + 1), (y + 1 < height, item + width)):
                a = parent[item]
                b = parent[neighbour] if there else a
                if a != b and min(size[a], size[b]) < least:
                    first.append(a)
                    second.append(b)
    return np.array(first), np.array(second)


@njit(cache=True, nogil=True)
def _join(parent: NDArray, size: NDArray, total: NDArray, first: NDArray, second: NDArray, least: int) -> None:
    """Merge small components into their closest neighbours in rounds; each round visits each border once."""
    closest = np.full(len(parent), -1, np.int64)
    distance = np.full(len(parent), np.inf)
    while True:
        for i in range(len(first)):
            a, b = root_of(parent, first[i]), root_of(parent, second[i])
            if a == b:
                continue
            between = 0.0
            for channel in range(3):
                between += (total[a, channel] / size[a] - total[b, channel] / size[b]) ** 2
            for small, other in ((a, b), (b, a)):
                if size[small] < least and between < distance[small]:
                    closest[small], distance[small] = other, between
        joined = False
        for piece in range(len(parent)):
            if closest[piece] >= 0:
                a, b = root_of(parent, piece), root_of(parent, closest[piece])
                if a != b and size[a] < least:
                    total[min(a, b)] += total[max(a, b)]
                    join(parent, size, a, b)
                    joined = True
                closest[piece], distance[piece] = -1, np.inf
        if not joined:
            return
