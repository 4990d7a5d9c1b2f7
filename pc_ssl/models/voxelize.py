"""Dynamic voxelisation: every point is used; the number of points per voxel is not limited."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pc_ssl.geometry import BevGrid
from pc_ssl.geometry.grid import Triple
from pc_ssl.ops import region_gather, region_pool
from pc_ssl.structures import PointBatch

NUM_GEOMETRY_FEATURES = 4  # offset from the centre of the voxel along x, y, z, and height

# How the features of a voxel follow from its points; see `voxelize`
VoxelFeatures = Literal["offset", "mean", "first", "first_features"]
_COLUMNS: dict[VoxelFeatures, int] = {"offset": NUM_GEOMETRY_FEATURES, "mean": 3, "first": 3, "first_features": 0}


def voxel_channels(features: VoxelFeatures, point_features: int) -> int:
    """Channels of a voxel's features.

    Args:
        features: the kind of features.
        point_features: F, point features besides x, y, z.

    Raises:
        ValueError: the kind is not known, or gives no channel.
    """
    if features not in _COLUMNS:
        raise ValueError(f"voxel_features is {features!r}, expected one of {', '.join(map(repr, _COLUMNS))}")
    channels = _COLUMNS[features] + point_features
    if channels < 1:
        raise ValueError(f"voxel_features {features!r} need points with features besides x, y, z")
    return channels


class OutsideGrid(ValueError):
    """All points of a batch are outside the grid. The caller, which knows the frame tokens, reports which frames."""


@dataclass(frozen=True)
class Voxels:
    """The voxels of a batch that hold a point, by ascending frame, z, y, x.

    Args:
        feature: [V, C]: features of each voxel, see `voxelize`.
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


def voxelize(
    points: PointBatch, grid: BevGrid, features: VoxelFeatures = "offset", position: Tensor | None = None
) -> Voxels:
    """The voxels that hold a point, with their features.

    - "offset" [V, 4 + F]: means over the points of the offset from the centre of the voxel along x, y, z (in voxel
      edges, -0.5..0.5), of z (metres), and of the F features of the point. Position along x and y is left out, so that
      the network is translation-invariant on the ground plane.
    - "mean" [V, 3 + F]: means of x, y, z (metres) and of the F features (OpenPCDet's MeanVFE, mmdet3d's HardSimpleVFE).
    - "first" [V, 3 + F]: x, y, z and the F features of the first point of the voxel (mmdet3d's MinkUNet).
    - "first_features" [V, F]: the F features of that point alone (SLidR).

    Args:
        points: B frames, N points.
        grid: points outside its box belong to no voxel.
        features: see above.
        position: [N, 3] coordinates that `grid` refers to, where these are not x, y, z.

    Raises:
        OutsideGrid: no point is inside the grid.
    """
    place = points.xyz if position is None else position
    position, inside = grid.voxel_of(place)
    if not bool(inside.any()):
        raise OutsideGrid(f"none of {len(inside)} points is inside the grid {grid.lower}..{grid.upper} (metres)")
    frame = points.frame_index()
    x, y, z = grid.shape
    key = ((frame * z + position[:, 2]) * y + position[:, 1]) * x + position[:, 0]
    unique, voxel = torch.unique(key[inside], return_inverse=True)
    voxel_of_point = torch.full_like(frame, -1)
    voxel_of_point[inside] = voxel
    return Voxels(
        feature=_voxel_features(points, place, grid, position, voxel_of_point, len(unique), features),
        index=_unravel(unique, (z, y, x)),
        voxel_of_point=voxel_of_point,
        grid=grid,
        num_frames=points.num_frames,
    )


def cylindrical(xyz: Tensor) -> Tensor:
    """[N, 3]: distance from the z axis (metres), azimuth (degrees, -180..180), z (metres) of points [N, 3]."""
    x, y, z = xyz.unbind(1)
    return torch.stack([(x.square() + y.square()).sqrt(), torch.atan2(y, x) * 180 / math.pi, z], dim=1)


def covering_grid(position: Tensor, voxel_size: Triple, multiple: int) -> BevGrid:
    """The grid around all points whose voxels, and blocks of `multiple` voxels, do not depend on the other points.

    Corners are at whole multiples of `multiple` voxels, at least one voxel beyond the outermost points.

    Args:
        position: [N, 3] coordinates of the points, at least one.
        voxel_size: edges along the three coordinates.
        multiple: the number of voxels along each axis is a multiple of this.

    Raises:
        ValueError: there are no points, or a coordinate is not finite.
    """
    if len(position) == 0 or not bool(position.isfinite().all()):
        raise ValueError(f"cannot lay a grid around {len(position)} points: need one or more, all finite")
    lower, upper = [], []
    for low, high, size in zip(position.amin(0).tolist(), position.amax(0).tolist(), voxel_size, strict=True):
        lower.append((math.floor(low / size) - 1) // multiple * multiple * size)
        upper.append(((math.floor(high / size) + 1) // multiple + 1) * multiple * size)
    return BevGrid((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]), voxel_size)


def _voxel_features(
    points: PointBatch,
    place: Tensor,
    grid: BevGrid,
    index: Tensor,
    voxel: Tensor,
    num_voxels: int,
    features: VoxelFeatures,
) -> Tensor:
    """[V, C] of points at `place` [N, 3], in cells `index` [N, 3] and voxels [N]."""
    if features in ("first", "first_features"):
        first = points.points[first_of_each(voxel, num_voxels)]
        return first[:, 3:] if features == "first_features" else first
    if features == "mean":
        return region_pool(points.points, voxel, num_voxels)
    offset = (place - place.new_tensor(grid.lower)) / place.new_tensor(grid.voxel_size) - index.to(place.dtype) - 0.5
    return region_pool(torch.cat([offset, points.points[:, 2:]], dim=1), voxel, num_voxels)


def first_of_each(voxel: Tensor, num_voxels: int) -> Tensor:
    """[V] int64: the first of the points with voxels [N] in each voxel, N where there is none; -1 belongs to none."""
    rows = (voxel >= 0).nonzero()[:, 0]
    first = voxel.new_full((num_voxels,), len(voxel))
    return first.scatter_reduce_(0, voxel[rows], rows, "amin")


def _unravel(key: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """[V, 4] int32: frame, z, y, x of the flat indices [V]."""
    z, y, x = shape
    rows = [key // (z * y * x), key // (y * x) % z, key // x % y, key % x]
    return torch.stack(rows, dim=1).int()
