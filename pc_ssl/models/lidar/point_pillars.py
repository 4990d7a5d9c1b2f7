"""PointPillars: pillars of points to a BEV map, without 3D convolutions.

Lang et al., "PointPillars: Fast Encoders for Object Detection from Point Clouds", CVPR 2019. The default widths are
those of CenterPoint's and BEVFusion's pillar networks on nuScenes (pillars of 0.2 m over +-51.2 m, map at 1 / 4).
By default pillars are dynamic (Zhou et al., "End-to-End Multi-View Fusion for 3D Object Detection in LiDAR Point
Clouds", CoRL 2019): every point is used; the numbers of points and pillars are not limited.

Layer by layer equal to OpenPCDet's PillarVFE, mmdet3d's PillarFeatureNet and CenterPoint's on nuScenes are
`PointPillars(grid, F, max_points=20, height_offset=True, norm_eps=1e-3, norm_momentum=0.01)`; with `point_layers=2` and
`max_points=None` OpenPCDet's DynamicPillarVFE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from pc_ssl.derived import FeaturesPerPoint
from pc_ssl.geometry import BevGrid
from pc_ssl.models.bev import BevNeck, below
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.norm import RowNorm, set_norm_constants
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.ops import region_gather, region_pool
from pc_ssl.structures import PointBatch


class PointLayer(nn.Module):
    """Linear layer, batch norm, ReLU of rows: [N, in_channels] -> [N, out_channels]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=False)
        self.norm = RowNorm(out_channels)

    def forward(self, rows: Tensor) -> Tensor:
        return self.norm(self.linear(rows)).relu()


class PointPillars(nn.Module):
    """Points to a BEV map at 1 / 2 ** (level + 1) of the resolution of the grid.

    Each point within the grid is decorated with x, y, z, its F features, its offset from the mean of its pillar along
    x, y, z and from the centre of the pillar along x, y (metres; Sec. 2.1 of the paper); a linear layer, batch norm
    and ReLU follow, then the maximum over the pillar. With more layers, each but the last gives half the channels, and
    joins to them their maximum over the pillar.

    Args:
        grid: range and size of pillars; points at heights outside are dropped; voxels along z are ignored.
        point_features: F, point features besides x, y, z.
        pillar_channels: channels of a pillar.
        neck_channels: channels of the neck's stages; each begins with stride 2.
        neck_layers: 3 x 3 convolutions of each of them, the strided one included.
        upsampled_channels: channels that each stage of the neck gives to the map.
        level: index, from 0, of the stage whose resolution the map has.
        point_layers: linear layers before the pillars' maximum.
        height_offset: decorate points with their offset from the centre of the grid along z too.
        max_points: P, the number of points of a pillar that are used, the first of the frame. A pillar with fewer also
            holds a point whose decoration is all zeros, as where the points of pillars are padded to P. None: all
            points are used, and nothing is added.
        norm_eps, norm_momentum: constants of all batch norms.

    Raises:
        ValueError: neck_channels and neck_layers differ in length, level is not a stage, the grid does not divide by
            the strides, or an option is out of range.
    """

    uses_cameras: ClassVar[bool] = False

    def __init__(
        self,
        grid: BevGrid,
        point_features: FeaturesPerPoint = 1,
        pillar_channels: int = 64,
        neck_channels: Sequence[int] = (64, 128, 256),
        neck_layers: Sequence[int] = (4, 6, 6),
        upsampled_channels: int = 128,
        level: int = 1,
        point_layers: int = 1,
        height_offset: bool = False,
        max_points: int | None = None,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if len(neck_channels) != len(neck_layers) or not 0 <= level < len(neck_channels):
            raise ValueError(
                f"PointPillars: neck_channels and neck_layers must agree in length, and level {level} be one of them"
            )
        width, height, _ = grid.shape
        stride = 2 ** len(neck_channels)
        if width % stride or height % stride:
            raise ValueError(
                f"PointPillars: a grid of {width} x {height} pillars does not divide by the total stride {stride}"
            )
        if (
            point_layers < 1
            or (point_layers > 1 and pillar_channels % 2)
            or (max_points is not None and max_points < 1)
        ):
            raise ValueError(
                f"PointPillars: need point_layers and max_points of at least 1 and, with several layers, an even "
                f"number of pillar_channels, got {point_layers}, {max_points}, {pillar_channels}"
            )
        self.grid, self.point_features = grid, point_features
        self.max_points, self.height_offset, self.level = max_points, height_offset, level
        width = 3 + point_features + (6 if height_offset else 5)
        self.first_layers = nn.ModuleList()
        for _ in range(point_layers - 1):
            half = pillar_channels // 2
            self.first_layers.append(PointLayer(width, half))
            width = pillar_channels
        self.linear = nn.Linear(width, pillar_channels, bias=False)
        self.norm = RowNorm(pillar_channels)
        self.neck = BevNeck(pillar_channels, neck_channels, neck_layers, upsampled_channels, 2, level)
        self.encoded_channels, self.out_channels = pillar_channels, self.neck.out_channels
        set_norm_constants(self, norm_eps, norm_momentum)

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """The layers of points, then the stages of the neck."""
        first = ((f"first_layers.{i}",) for i in range(len(self.first_layers)))
        return (*first, ("linear", "norm"), *below("neck", self.neck.blocks))

    def forward(self, points: PointBatch) -> BevFeatures:
        """The map [B, out_channels, H, W].

        Raises:
            OutsideGrid: no point is inside the grid.
        """
        return BevFeatures(self.neck(self.encode(points)), self.grid)

    def encode(self, points: PointBatch) -> Tensor:
        """The map [B, encoded_channels, H, W] of the pillars, before the neck.

        Raises:
            OutsideGrid: no point is inside the grid.
        """
        index, inside = self.grid.voxel_of(points.xyz)
        if not bool(inside.any()):
            lower, upper = self.grid.lower, self.grid.upper
            raise OutsideGrid(f"none of {len(inside)} points is inside the grid {lower}..{upper} (metres)")
        width, height, _ = self.grid.shape
        cell = ((points.frame_index() * height + index[:, 1]) * width + index[:, 0])[inside]
        filled, pillar = torch.unique(cell, return_inverse=True)
        feature = self._pillar_features(points.points[inside], index[inside], pillar, len(filled))
        scattered = feature.new_zeros(points.num_frames * height * width, feature.shape[1])
        scattered = scattered.index_copy(0, filled, feature)
        return scattered.unflatten(0, (points.num_frames, height, width)).permute(0, 3, 1, 2).contiguous()

    def _pillar_features(self, points: Tensor, index: Tensor, pillar: Tensor, num_pillars: int) -> Tensor:
        """[V, pillar_channels] of points [N, 3 + F] in voxels [N, 3] and pillars [N]."""
        if self.max_points is not None:
            kept = _rank_in_pillar(pillar) < self.max_points
            points, index, pillar = points[kept], index[kept], pillar[kept]
        xyz = points[:, :3]
        from_mean = xyz - region_gather(region_pool(xyz, pillar, num_pillars), pillar)
        size, lower = xyz.new_tensor(self.grid.voxel_size[:2]), xyz.new_tensor(self.grid.lower[:2])
        from_centre = xyz[:, :2] - (lower + (index[:, :2] + 0.5) * size)
        decorated = torch.cat([points, from_mean, from_centre], dim=1)
        if self.height_offset:
            middle = (self.grid.lower[2] + self.grid.upper[2]) / 2
            decorated = torch.cat([decorated, xyz[:, 2:] - middle], dim=1)
        if self.max_points is not None:
            padded = (torch.bincount(pillar, minlength=num_pillars) < self.max_points).nonzero()[:, 0]
            decorated = torch.cat([decorated, decorated.new_zeros(len(padded), decorated.shape[1])])
            pillar = torch.cat([pillar, padded])
        with torch.autocast(points.device.type, enabled=False):  # half types round 50 m to a quarter of a metre
            for layer in self.first_layers:
                feature = layer(decorated)
                largest = region_pool(feature, pillar, num_pillars, "max")
                decorated = torch.cat([feature, region_gather(largest, pillar)], dim=1)
            return region_pool(self.norm(self.linear(decorated)).relu(), pillar, num_pillars, "max")


def _rank_in_pillar(pillar: Tensor) -> Tensor:
    """[N] int64: how many earlier points are in the same pillar, for pillars [N]."""
    order = pillar.argsort(stable=True)
    counts = torch.bincount(pillar)
    start = counts.cumsum(0) - counts
    rank = torch.empty_like(pillar)
    rank[order] = torch.arange(len(pillar), device=pillar.device) - start[pillar[order]]
    return rank
