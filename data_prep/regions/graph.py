"""Graph-based over-segmentation by normals, as ScanNet's segmentator cuts meshes.

Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004: edges are walked from the lightest
to the heaviest, and an edge joins its two segments if it weighs no more than

    min(Int(A) + threshold / |A|, Int(B) + threshold / |B|),      Int(A): the heaviest edge that joined A

ScanNet (Dai et al., CVPR 2017) does so on a mesh with the angle between the vertices' normals as weight, threshold 0.01
and at least 20 vertices; convex edges weigh less. A cloud without a mesh gets the edges to its nearest neighbours and
normals without a sign, so that there convex and concave edges weigh the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.distinct import distinct
from data_prep.regions.neighbours import nearest, normals_of
from data_prep.regions.numbering import numbered
from data_prep.regions.union_find import join, number_sets, root_of

MESH_THRESHOLD, MESH_VERTICES = 0.01, 20  # as the segments of ScanNet's own benchmark were made


@dataclass(frozen=True)
class GraphRegions:
    """Cuts the points that are not ground where their normals turn.

    Args:
        threshold: of the walk: the larger, the larger segments grow.
        min_points: smaller segments join a neighbour, or become no region if they have none.
        neighbours: nearest points that edges lead to.
        normal_neighbours: nearest points that a normal is fitted to.
        max_edge: metres; longer edges are left out.
    """

    over_sweeps: ClassVar[bool] = False
    threshold: float = 0.01
    min_points: int = 20
    neighbours: int = 8
    normal_neighbours: int = 15
    max_edge: float = 1.0

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Regions [N] of one cloud, as `RegionGenerator` says."""
        above = np.flatnonzero(~ground)
        places = distinct(xyz[above])  # neighbours at the same place would say nothing about a normal
        points = xyz[above[places.first]].astype(np.float64)
        distance, row = nearest(points, max(self.neighbours, self.normal_neighbours))
        normal = normals_of(points, row[:, : self.normal_neighbours])
        near = distance[:, : self.neighbours] <= self.max_edge
        first, second = np.nonzero(near)[0], row[:, : self.neighbours][near]
        weight = 1 - np.abs((normal[first] * normal[second]).sum(axis=1))
        region = np.full(len(xyz), -1, np.int32)
        segment = felzenszwalb(places.points, first, second, weight, self.threshold, self.min_points)
        region[above] = segment[places.of_point]
        return numbered(region, self.min_points)


def mesh_segments(
    vertex: NDArray[np.floating],
    face: NDArray[np.integer],
    threshold: float = MESH_THRESHOLD,
    min_vertices: int = MESH_VERTICES,
) -> NDArray[np.int32]:
    """ScanNet's segmentator (`Segmentator/segmentator.cpp` of its code): cut a mesh where its vertices' normals turn.

    As there, a vertex's normal is the mean of the unit normals of its faces, neither weighted by area nor normalised
    again, and each face (i1, i2, i3) brings its own directed edges i1 to i2, i1 to i3 and i3 to i2: an edge of two
    faces occurs twice, and its convexity is judged from each side.

    Args:
        vertex: [N, 3] metres.
        face: [F, 3] rows of `vertex`, counter-clockwise from outside.
        threshold, min_vertices: as the benchmark's own segments were made.

    Returns:
        [N] int32: segment 0..S - 1 of each vertex.
    """
    xyz, corner = vertex.astype(np.float64), face.astype(np.int64)
    a, b, c = (xyz[corner[:, number]] for number in range(3))
    face_normal = np.cross(b - a, c - a)
    face_normal /= np.maximum(np.linalg.norm(face_normal, axis=1, keepdims=True), 1e-30)
    normal, faces = np.zeros_like(xyz), np.maximum(np.bincount(corner.ravel(), minlength=len(xyz)), 1)
    for axis in range(3):
        normal[:, axis] = np.bincount(corner.ravel(), np.repeat(face_normal[:, axis], 3), len(xyz)) / faces
    first, second = corner[:, [0, 0, 2]].ravel(), corner[:, [1, 2, 1]].ravel()
    weight = 1 - (normal[first] * normal[second]).sum(axis=1)
    convex = (normal[second] * (xyz[second] - xyz[first])).sum(axis=1) > 0
    return felzenszwalb(
        np.ones(len(xyz), np.int64), first, second, np.where(convex, weight**2, weight), threshold, min_vertices
    )


def felzenszwalb(
    size: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    weight: NDArray[np.float64],
    threshold: float,
    min_size: int,
) -> NDArray[np.int32]:
    """Segment a graph.

    Args:
        size: [N] points that each node stands for.
        first, second: [E] the nodes of each edge.
        weight: [E]; of equal edges the earlier one comes first.
        threshold: as above.
        min_size: afterwards the edges are walked once more, and join segments of which one has fewer points.

    Returns:
        [N] int32: segment 0..S - 1 by their first nodes.
    """
    order = np.argsort(weight, kind="stable")
    return _walk(size, first[order], second[order], weight[order], threshold, min_size)


@njit(cache=True, nogil=True)
def _walk(
    points: NDArray, first: NDArray, second: NDArray, weight: NDArray, threshold: float, min_size: int
) -> NDArray:
    parent, size = np.arange(len(points)), points.copy()
    limit = threshold / size  # Int(A) + threshold / |A|, at the root
    for i in range(len(first)):
        a, b = root_of(parent, first[i]), root_of(parent, second[i])
        if a != b and weight[i] <= min(limit[a], limit[b]):
            join(parent, size, a, b)
            limit[min(a, b)] = weight[i] + threshold / size[min(a, b)]
    for i in range(len(first)):
        a, b = root_of(parent, first[i]), root_of(parent, second[i])
        if a != b and min(size[a], size[b]) < min_size:
            join(parent, size, a, b)
    return number_sets(parent, size, 1)
