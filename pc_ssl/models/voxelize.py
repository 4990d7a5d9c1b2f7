"""Dynamic voxelisation: every point is used; the number of points per voxel is not limited."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.geometry import BevGrid
from pc_ssl.geometry.grid import Triple
from pc_ssl.ops import region_gather, region_pool
from pc_ssl.structures import PointBatch

NUM_GEOMETRY_FEATURES = 4  # offset from the centre of the voxel along x, y, z, and height


class OutsideGrid(ValueError):
    """All points of a batch are outside the grid. The caller, which knows the frame tokens, reports which frames."""


@dataclass(frozen=True)
class Voxels:
    """The voxels of a batch that hold a point, by ascending frame, z, y, x.

    Args:
        feature: [V, 4 + F]: means over the points of each voxel, see `voxelize`.
        index: [V, 4] int32: frame, z, y, x.
        voxel_of_point: [N] int64: the voxel of each point; -1 outside the grid.
        grid: the grid that `index` refers to.
        num_frames: B.
    """

    feature: Tensor
    index: Tensor
    voxel_of_point: Tensor
    grid: BevGrid
    num_frames: int

    def at_points(self, feature: Tensor) -> Tensor:
        """Copy features [V, C] of the voxels to their points: [N, C], zeros for points outside the grid."""
        return region_gather(feature, self.voxel_of_point)


def voxelize(points: PointBatch, grid: BevGrid) -> Voxels:
    """Mean features of the points of each voxel.

    The features are the offset of the point from the centre of its voxel along x, y, z (in voxel edges, -0.5..0.5),
    its z (metres), and the F features of the point. Position along x and y is left out, so that the network is
    translation-invariant on the ground plane.

    Args:
        points: B frames, N points.
        grid: points outside its box belong to no voxel.

    Raises:
        OutsideGrid: no point is inside the grid.
    """
    position, inside = grid.voxel_of(points.xyz)
    if not bool(inside.any()):
        raise OutsideGrid(f"none of {len(inside)} points is inside the grid {grid.lower}..{grid.upper} (metres)")
    frame = points.frame_index()
    x, y, z = grid.shape
    key = ((frame * z + position[:, 2]) * y + position[:, 1]) * x + position[:, 0]
    unique, voxel = torch.unique(key[inside], return_inverse=True)
    voxel_of_point = torch.full_like(frame, -1)
    voxel_of_point[inside] = voxel
    return Voxels(
        feature=region_pool(_point_features(points, grid, position), voxel_of_point, len(unique)),
        index=_unravel(unique, (z, y, x)),
        voxel_of_point=voxel_of_point,
        grid=grid,
        num_frames=points.num_frames,
    )


def covering_grid(points: PointBatch, voxel_size: Triple, multiple: int) -> BevGrid:
    """The grid around all points whose voxels, and blocks of `multiple` voxels, do not depend on the other points.

    Corners are at whole multiples of `multiple` voxels, at least one voxel beyond the outermost points.

    Args:
        points: N points, at least one.
        voxel_size: edges along x, y, z, metres.
        multiple: the number of voxels along each axis is a multiple of this.

    Raises:
        ValueError: there are no points, or a coordinate is not finite.
    """
    if len(points.points) == 0 or not bool(points.xyz.isfinite().all()):
        raise ValueError(f"cannot lay a grid around {len(points.points)} points: need one or more, all finite")
    lower, upper = [], []
    for low, high, size in zip(points.xyz.amin(0).tolist(), points.xyz.amax(0).tolist(), voxel_size, strict=True):
        lower.append((math.floor(low / size) - 1) // multiple * multiple * size)
        upper.append(((math.floor(high / size) + 1) // multiple + 1) * multiple * size)
    return BevGrid((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]), voxel_size)


def _point_features(points: PointBatch, grid: BevGrid, position: Tensor) -> Tensor:
    """[N, 4 + F]."""
    xyz = points.xyz
    offset = (xyz - xyz.new_tensor(grid.lower)) / xyz.new_tensor(grid.voxel_size) - position.to(xyz.dtype) - 0.5
    return torch.cat([offset, points.points[:, 2:]], dim=1)


def _unravel(key: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """[V, 4] int32: frame, z, y, x of the flat indices [V]."""
    z, y, x = shape
    rows = [key // (z * y * x), key // (y * x) % z, key // x % y, key % x]
    return torch.stack(rows, dim=1).int()
