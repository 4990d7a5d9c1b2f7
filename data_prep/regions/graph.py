"""Graph-based over-segmentation by normals, as in ScanNet's segmentator.

Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004: edges are processed from the
lightest to the heaviest, and an edge joins its two segments if its weight is at most

    min(Int(A) + threshold / |A|, Int(B) + threshold / |B|),      Int(A): the heaviest edge that joined A

ScanNet (Dai et al., CVPR 2017) segments meshes with the angle between the vertices' normals as weight, threshold 0.01
and at least 20 vertices; convex edges have smaller weights. For a cloud without a mesh the edges are those to nearest
neighbours; its normals have no sign, so convex and concave edges have the same weight.
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

MESH_THRESHOLD, MESH_VERTICES = 0.01, 20  # of the segments of ScanNet's benchmark


@dataclass(frozen=True)
class GraphRegions:
    """Over-segments the points that are not ground where their normals change.

    Args:
        threshold: of merging; a larger threshold gives larger segments.
        min_points: smaller segments are merged into a neighbour, or dropped without one.
        neighbours: number of nearest points connected by edges.
        normal_neighbours: number of nearest points for normals.
        max_edge: metres; longer edges are dropped.
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
        """Regions [N] of one cloud, see `RegionGenerator`."""
        above = np.flatnonzero(~ground)
        places = distinct(xyz[above])  # coincident neighbours do not determine a normal
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
    """Segment a mesh where its vertices' normals change, as `Segmentator/segmentator.cpp` of ScanNet's code.

    As there, a vertex's normal is the mean of the unit normals of its faces, neither weighted by area nor normalised
    again. Each face (i1, i2, i3) adds the directed edges i1 to i2, i1 to i3 and i3 to i2: an edge of two faces occurs
    twice, with the convexity seen from each side.

    Args:
        vertex: [N, 3] metres.
        face: [F, 3] rows of `vertex`, counter-clockwise from outside.
        threshold, min_vertices: the benchmark's values by default.

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
        size: [N] number of points of each node.
        first, second: [E] the nodes of each edge.
        weight: [E]; equal weights keep the order of the edges.
        threshold: as above.
        min_size: in a second pass, edges join two segments if one has fewer points.

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
