"""The minimum spanning tree of a cloud under mutual reachability, the measure of HDBSCAN.

    core(p) = distance to the min_samples-th neighbour, p itself the first
    w(p, q) = max(core(p), core(q), |p - q|)

Boruvka's algorithm: every component finds its lightest edge to another one, these are joined, and so on; at most half
of the components remain after each round. The search descends a k-d tree and skips boxes that are too far, too sparse,
or in the same component (March et al., "Fast Euclidean Minimum Spanning Tree", KDD 2010, with one tree).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.union_find import join, root_of

LEAF = 12  # points; boxes with fewer are searched exhaustively
DEEPEST = 64  # maximum number of levels, enough for any cloud that fits into memory
MIXED = -1  # component of a box that holds points of several


def reachability_tree(
    xyz: NDArray[np.float64], min_samples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The tree's N - 1 edges, lightest first.

    Args:
        xyz: [N, 3], N at least min_samples.
        min_samples: as above.

    Returns:
        first, second [N - 1]: rows of `xyz`; weight [N - 1]: in the unit of `xyz`.
    """
    from scipy.spatial import cKDTree

    near, row = cKDTree(xyz).query(xyz, min_samples)
    near, row = near.reshape(len(xyz), -1), row.reshape(len(xyz), -1)
    order, start, box = _boxes(xyz)
    place = np.empty(len(xyz), np.int64)
    place[order] = np.arange(len(xyz))
    core = near[order, -1]
    first, second, weight = _boruvka(xyz[order], core, near[order], place[row[order]], start, box)
    by_weight = np.argsort(weight, kind="stable")
    return order[first[by_weight]], order[second[by_weight]], weight[by_weight]


def _boxes(xyz: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """A k-d tree, halved along the longest side of each box; the children of box b are 2 b + 1 and 2 b + 2.

    Returns:
        order [N]: the rows of `xyz`, box by box; start [B, 2]: each box holds order[start[b, 0]:start[b, 1]];
        box [B, 6]: its lower and upper corner. Boxes below a leaf are empty.
    """
    levels = max(0, int(np.ceil(np.log2(max(len(xyz), 1) / LEAF))))
    boxes = (1 << (levels + 1)) - 1
    order, start, box = np.arange(len(xyz)), np.zeros((boxes, 2), np.int64), np.zeros((boxes, 6))
    start[0] = 0, len(xyz)
    for b in range(boxes):
        low, high = start[b]
        points = xyz[order[low:high]]
        box[b, :3], box[b, 3:] = points.min(axis=0), points.max(axis=0)
        if 2 * b + 2 < boxes:
            middle = (low + high) // 2
            axis = int(np.argmax(box[b, 3:] - box[b, :3]))
            order[low:high] = order[low:high][np.argpartition(points[:, axis], middle - low)]
            start[2 * b + 1], start[2 * b + 2] = (low, middle), (middle, high)
    return order, start, box


@njit(cache=True, nogil=True)
def _boruvka(
    xyz: NDArray, core: NDArray, near: NDArray, neighbour: NDArray, start: NDArray, box: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Edges (rows of `xyz`, in the order of the boxes) and weights; near, neighbour [N, K]: the nearest points."""
    n, boxes = len(xyz), len(box)
    parent, size = np.arange(n), np.ones(n, np.int64)
    component = np.arange(n)
    box_component = np.empty(boxes, np.int64)
    least_core = np.empty(boxes)
    for b in range(boxes):
        least_core[b] = core[start[b, 0] : start[b, 1]].min()
    best, best_from, best_to = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
    first, second, weight = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1)
    edges = 0
    while edges < n - 1:
        _name_components(parent, component, start, box_component)
        best[:] = np.inf
        for i in range(n):
            c = component[i]
            for k in range(near.shape[1]):  # the nearest neighbours often suffice
                if max(core[i], near[i, k]) >= best[c]:
                    break
                j = neighbour[i, k]
                if component[j] != c and max(core[i], core[j], near[i, k]) < best[c]:
                    best[c], best_from[c], best_to[c] = max(core[i], core[j], near[i, k]), i, j
        for i in range(n):
            c = component[i]
            if core[i] < best[c]:
                w, j = _lightest(i, xyz, core, component, start, box, box_component, least_core, best[c])
                if j >= 0:
                    best[c], best_from[c], best_to[c] = w, i, j
        for c in range(n):
            if best[c] < np.inf:  # equal lightest edges may form a cycle, of which one edge is dropped
                a, b = root_of(parent, best_from[c]), root_of(parent, best_to[c])
                if a != b:
                    join(parent, size, a, b)
                    first[edges], second[edges], weight[edges] = best_from[c], best_to[c], best[c]
                    edges += 1
    return first, second, weight


@njit(cache=True, nogil=True)
def _name_components(parent: NDArray, component: NDArray, start: NDArray, box_component: NDArray) -> None:
    """component [N]: the root of each point; box_component [B]: that of all of a box's points, or MIXED."""
    for i in range(len(parent)):
        component[i] = root_of(parent, i)
    for b in range(len(start) - 1, -1, -1):
        if 2 * b + 2 < len(start):
            left, right = box_component[2 * b + 1], box_component[2 * b + 2]
            box_component[b] = left if left == right else MIXED
        else:
            box_component[b] = component[start[b, 0]]
            for i in range(start[b, 0], start[b, 1]):
                if component[i] != box_component[b]:
                    box_component[b] = MIXED


@njit(cache=True, nogil=True)
def _lightest(
    i: int,
    xyz: NDArray,
    core: NDArray,
    component: NDArray,
    start: NDArray,
    box: NDArray,
    box_component: NDArray,
    least_core: NDArray,
    limit: float,
) -> tuple[float, int]:
    """The lightest edge of point i to another component that is lighter than `limit`: weight and point, or -1."""
    found = -1
    stack = np.empty(DEEPEST, np.int64)
    stack[0] = 0
    size = 1
    while size > 0:
        size -= 1
        b = stack[size]
        if box_component[b] == component[i]:
            continue
        if max(least_core[b], _distance(xyz, i, box, b)) >= limit:
            continue
        if 2 * b + 2 < len(box):
            left, right = 2 * b + 1, 2 * b + 2
            if _distance(xyz, i, box, left) < _distance(xyz, i, box, right):
                left, right = right, left
            stack[size], stack[size + 1] = left, right  # the nearer one is visited first
            size += 2
        else:
            for j in range(start[b, 0], start[b, 1]):
                if component[j] != component[i]:
                    x, y, z = xyz[i, 0] - xyz[j, 0], xyz[i, 1] - xyz[j, 1], xyz[i, 2] - xyz[j, 2]
                    w = max(core[i], core[j], np.sqrt(x * x + y * y + z * z))
                    if w < limit:
                        limit, found = w, j
    return limit, found


@njit(cache=True, nogil=True)
def _distance(xyz: NDArray, i: int, box: NDArray, b: int) -> float:
    """From point i to box b; 0 inside."""
    total = 0.0
    for axis in range(3):
        outside = max(box[b, axis] - xyz[i, axis], xyz[i, axis] - box[b, 3 + axis], 0.0)
        total += outside * outside
    return np.sqrt(total)
