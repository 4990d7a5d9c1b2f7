"""Supervoxels that grow from seeds along the neighbourhood of the points.

Papon et al., "Voxel Cloud Connectivity Segmentation - Supervoxels for Point Clouds", CVPR 2013. Parameters and
distance are those of the over-segmentation code of FAC (CVPR 2023):

    D(p, S) = 1 - |n_p . n_S| + spread * |p - S| / seed_resolution

Three changes are for LiDAR. Voxels are neighbours if one is among the other's nearest, not if they touch, as most
points are farther apart than a voxel. Seeds with few neighbours are kept, as far objects have few points. Components
that no seed reaches get an additional seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.neighbours import nearest, normals_of
from data_prep.regions.numbering import numbered
from data_prep.regions.voxels import thinned


@dataclass(frozen=True)
class VccsRegions:
    """Over-segments the points that are not ground into supervoxels.

    Args:
        voxel_size: metres; of the thinning before segmentation.
        seed_resolution: metres; edge of the cells with one seed each, about the size of a supervoxel.
        neighbours: number of nearest voxels for growing and for normals.
        spread: weight of the distance against that of the normals.
        iterations: of growing and updating the centres.
        min_points: smaller supervoxels are dropped.
    """

    over_sweeps: ClassVar[bool] = False
    voxel_size: float = 0.03
    seed_resolution: float = 1.0
    neighbours: int = 15
    spread: float = 0.4
    iterations: int = 5
    min_points: int = 5

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Regions [N] of one cloud, see `RegionGenerator`."""
        above = np.flatnonzero(~ground)
        voxel_xyz, voxel_of_point = thinned(xyz[above], self.voxel_size)
        region = np.full(len(xyz), -1, np.int32)
        if len(voxel_xyz):
            owner = self._grow(voxel_xyz)
            region[above] = owner[voxel_of_point]
        return numbered(region, self.min_points)

    def _grow(self, xyz: NDArray[np.float64]) -> NDArray[np.int64]:
        """[V]: the seed of each voxel."""
        distance, row = nearest(xyz, self.neighbours)
        normal = normals_of(xyz, row)
        start, other = _adjacency(row, distance <= self.seed_resolution)
        centre, direction = xyz[_seeds(xyz, self.seed_resolution)], normal[_seeds(xyz, self.seed_resolution)]
        owner = np.empty(0, np.int64)
        for _ in range(self.iterations):
            first = _closest_voxels(xyz, centre)
            owner, seeds = _flow(xyz, normal, start, other, first, centre, direction, self.spread, self.seed_resolution)
            centre, direction = _moved(xyz, normal, owner, seeds)
        return owner


def _adjacency(row: NDArray[np.int64], near: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbours in either direction: those of voxel v are other[start[v]:start[v + 1]]."""
    voxels = len(row)
    first, second = np.nonzero(near)[0], row[near]
    pair = np.unique(np.concatenate([first * voxels + second, second * voxels + first]))
    return np.searchsorted(pair // voxels, np.arange(voxels + 1)), pair % voxels


def _seeds(xyz: NDArray[np.float64], resolution: float) -> NDArray[np.int64]:
    """The voxel closest to the centre of each occupied cell of `resolution` metres."""
    cell = thinned(xyz, resolution)[1]
    off_centre = (xyz / resolution - np.floor(xyz / resolution) - 0.5) ** 2
    order = np.lexsort((off_centre.sum(axis=1), cell))
    return order[np.unique(cell[order], return_index=True)[1]]


def _closest_voxels(xyz: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.spatial import cKDTree

    return cKDTree(xyz).query(centre)[1]


def _moved(
    xyz: NDArray[np.float64], normal: NDArray[np.float64], owner: NDArray[np.int64], seeds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean position and normal of each supervoxel with voxels; normals are oriented consistently first."""
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(seeds))
    kept = np.bincount(owner, minlength=seeds) > 0
    lead = normal[order[np.minimum(first, len(order) - 1)]]
    sign = np.sign((normal * lead[owner]).sum(axis=1))
    total = np.stack([np.bincount(owner, xyz[:, axis], seeds) for axis in range(3)], axis=1)[kept]
    turned = np.stack([np.bincount(owner, sign * normal[:, axis], seeds) for axis in range(3)], axis=1)[kept]
    length = np.linalg.norm(turned, axis=1, keepdims=True)
    return total / np.bincount(owner, minlength=seeds)[kept, None], turned / np.maximum(length, 1e-12)


@njit(cache=True, nogil=True)
def _flow(
    xyz: NDArray,
    normal: NDArray,
    start: NDArray,
    other: NDArray,
    first: NDArray,
    centre: NDArray,
    direction: NDArray,
    spread: float,
    resolution: float,
) -> tuple[NDArray, int]:
    """Grow all supervoxels in parallel, neighbour by neighbour; a voxel is reassigned to a closer supervoxel.

    Returns:
        owner [V]: the supervoxel of each voxel; the number of supervoxels, including added ones.
    """
    voxels, seeds = len(xyz), len(first)
    owner = np.full(voxels, -1, np.int64)
    distance = np.full(voxels, np.inf)
    front = np.empty(voxels, np.int64)
    for seed in range(seeds):
        if owner[first[seed]] < 0:
            owner[first[seed]], distance[first[seed]] = seed, 0.0
    size = 0
    for v in range(voxels):
        if owner[v] >= 0:
            front[size] = v
            size += 1
    following = np.empty(voxels, np.int64)
    waiting = np.zeros(voxels, np.bool_)
    while size > 0:
        found = 0
        for i in range(size):
            v = front[i]
            s = owner[v]
            for u in other[start[v] : start[v + 1]]:
                turn, way = 0.0, 0.0
                for axis in range(3):
                    turn += normal[u, axis] * direction[s, axis]
                    way += (xyz[u, axis] - centre[s, axis]) ** 2
                d = 1 - abs(turn) + spread * np.sqrt(way) / resolution
                if d < distance[u]:
                    owner[u], distance[u] = s, d
                    if not waiting[u]:
                        waiting[u] = True
                        following[found] = u
                        found += 1
        for i in range(found):
            waiting[following[i]] = False
        front, following = following, front
        size = found
    for v in range(voxels):  # each component that no seed reached is an additional supervoxel
        if owner[v] < 0:
            owner[v] = seeds
            front[0] = v
            size = 1
            while size > 0:
                size -= 1
                for u in other[start[front[size]] : start[front[size] + 1]]:
                    if owner[u] < 0:
                        owner[u] = seeds
                        front[size] = u
                        size += 1
            seeds += 1
    return owner, seeds
