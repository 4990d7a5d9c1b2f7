"""Sparse voxel encoder to a BEV map.

The family of VoxelNet (Zhou and Tuzel, CVPR 2018) and SECOND (Yan et al., "SECOND: Sparsely Embedded Convolutional
Detection", Sensors 2018): sparse stages, height folded into channels, and a 2D neck that joins stages of several
strides at the stride of the first. The default widths are those common in nuScenes detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from pc_ssl.derived import FeaturesPerPoint
from pc_ssl.geometry import BevGrid
from pc_ssl.models.bev import BevNeck
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.sparse import DownBlock, HeightBlock, SubmanifoldBlock, fold_height, sparse_tensor
from pc_ssl.models.voxelize import NUM_GEOMETRY_FEATURES, voxelize
from pc_ssl.structures import PointBatch


class SECOND(nn.Module):
    """Points to a BEV map at 1 / 2 ** (S - 1) of the resolution of the grid, for S sparse stages.

    Args:
        grid: range and voxel size; points outside are dropped.
        point_features: F, point features besides x, y, z.
        stage_channels: channels of the S sparse stages; all but the first begin with a strided convolution.
        stage_blocks: submanifold convolutions of each of them.
        neck_channels: channels of the neck's stages; all but the first begin with stride 2.
        neck_layers: 3 x 3 convolutions of each of them.
        upsampled_channels: channels that each stage of the neck gives to the map.

    Raises:
        ValueError: channels and blocks differ in length, or the grid does not divide by the strides.
    """

    uses_cameras: ClassVar[bool] = False

    def __init__(
        self,
        grid: BevGrid,
        point_features: FeaturesPerPoint = 1,
        stage_channels: Sequence[int] = (16, 32, 64, 128),
        stage_blocks: Sequence[int] = (2, 2, 2, 2),
        neck_channels: Sequence[int] = (128, 256),
        neck_layers: Sequence[int] = (5, 5),
        upsampled_channels: int = 256,
    ) -> None:
        super().__init__()
        if len(stage_channels) != len(stage_blocks) or len(neck_channels) != len(neck_layers):
            raise ValueError(
                "SECOND: stage_channels and stage_blocks, neck_channels and neck_layers must agree in length"
            )
        width, height, depth = grid.shape
        stride = 2 ** (len(stage_channels) + len(neck_channels) - 2)
        if width % stride or height % stride:
            raise ValueError(
                f"SECOND: a grid of {width} x {height} voxels does not divide by the total stride {stride}"
            )
        self.grid, self.point_features = grid, point_features
        self.stages = nn.Sequential()
        channels = NUM_GEOMETRY_FEATURES + point_features
        for level, (out_channels, blocks) in enumerate(zip(stage_channels, stage_blocks, strict=True)):
            if level > 0:
                self.stages.append(DownBlock(channels, out_channels, f"down{level}", kernel_size=3))
                channels, depth = out_channels, (depth + 1) // 2
            for _ in range(blocks):
                self.stages.append(SubmanifoldBlock(channels, out_channels, f"level{level}"))
                channels = out_channels
        self.stages.append(HeightBlock(channels, channels))
        self.neck = BevNeck(channels * ((depth + 1) // 2), neck_channels, neck_layers, upsampled_channels)
        self.out_channels = self.neck.out_channels

    def forward(self, points: PointBatch) -> BevFeatures:
        """The map [B, out_channels, H, W].

        Raises:
            OutsideGrid: no point is inside the grid.
        """
        voxels = voxelize(points, self.grid)
        return BevFeatures(self.neck(fold_height(self.stages(sparse_tensor(voxels)))), self.grid)
