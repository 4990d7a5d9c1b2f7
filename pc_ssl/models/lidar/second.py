"""Sparse voxel encoder to a BEV map.

The family of VoxelNet (Zhou and Tuzel, CVPR 2018) and SECOND (Yan et al., "SECOND: Sparsely Embedded Convolutional
Detection", Sensors 2018): sparse stages, height folded into channels, and a 2D neck that joins stages of several
strides at the stride of the first. The default widths are those common in nuScenes detection.

Layer by layer equal to the networks of OpenPCDet, CenterPoint, mmdet3d and BEVFusion are
`SECOND(grid, F, voxel_features="mean", block="residual", extra_slice=True, z_paddings=(1, 1, 0, 0),
neck_layers=(6, 6), norm_eps=1e-3, norm_momentum=0.01)`, and with `block="plain", stage_channels=(16, 32, 64, 64),
height_channels=128` OpenPCDet's VoxelBackBone8x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from pc_ssl.derived import FeaturesPerPoint
from pc_ssl.geometry import BevGrid
from pc_ssl.models.bev import BevNeck, below
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.norm import set_norm_constants
from pc_ssl.models.sparse import DownBlock, HeightBlock, ResidualBlock, SubmanifoldBlock, fold_height, sparse_tensor
from pc_ssl.models.voxelize import VoxelFeatures, voxel_channels, voxelize
from pc_ssl.structures import PointBatch


class SECOND(nn.Module):
    """Points to a BEV map at 1 / 2 ** (S - 1) of the resolution of the grid, for S sparse stages.

    Args:
        grid: range and voxel size; points outside are dropped.
        point_features: F, point features besides x, y, z.
        stage_channels: channels of the S sparse stages; all but the first begin with a strided convolution.
        stage_blocks: blocks of each of them after the strided convolution.
        neck_channels: channels of the neck's stages; all but the first begin with stride 2.
        neck_layers: 3 x 3 convolutions of each of them, the strided one included.
        upsampled_channels: channels that each stage of the neck gives to the map.
        voxel_features: see `voxelize`.
        block: "plain": submanifold convolutions; "residual": residual blocks, in the first stage after one submanifold
            convolution.
        extra_slice: add an empty slice of voxels on top, 41 for 40.
        z_paddings: slices of zeros below and above, for the strided convolutions of stages 2 to S and for the one that
            ends the encoder, which has stride 2 along z alone. None: 1 for each.
        height_channels: channels of that last convolution; None: those of the last stage.
        norm_eps, norm_momentum: constants of all batch norms.

    Raises:
        ValueError: channels and blocks differ in length, the grid does not divide by the strides, an option is out of
            range, or no slice is left along z.
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
        voxel_features: VoxelFeatures = "offset",
        block: Literal["plain", "residual"] = "plain",
        extra_slice: bool = False,
        z_paddings: Sequence[int] | None = None,
        height_channels: int | None = None,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if len(stage_channels) != len(stage_blocks) or len(neck_channels) != len(neck_layers):
            raise ValueError(
                "SECOND: stage_channels and stage_blocks, neck_channels and neck_layers must agree in length"
            )
        z_paddings = (1,) * len(stage_channels) if z_paddings is None else tuple(z_paddings)
        if len(z_paddings) != len(stage_channels) or block not in ("plain", "residual"):
            raise ValueError(
                f"SECOND: expected {len(stage_channels)} z_paddings and a plain or residual block, got {z_paddings} "
                f"and {block!r}"
            )
        width, height, depth = grid.shape
        stride = 2 ** (len(stage_channels) + len(neck_channels) - 2)
        if width % stride or height % stride:
            raise ValueError(
                f"SECOND: a grid of {width} x {height} voxels does not divide by the total stride {stride}"
            )
        self.grid, self.point_features, self.voxel_features = grid, point_features, voxel_features
        self.stage_blocks, self.block, self.z_paddings = tuple(stage_blocks), block, z_paddings
        self.extra_slices = int(extra_slice)
        self.stages = _stages(
            voxel_channels(voxel_features, point_features), stage_channels, stage_blocks, block, z_paddings
        )
        height_channels = stage_channels[-1] if height_channels is None else height_channels
        self.stages.append(HeightBlock(stage_channels[-1], height_channels, z_paddings[-1]))
        depth += self.extra_slices
        for padding in z_paddings:
            depth = (depth + 2 * padding - 3) // 2 + 1
        if depth < 1:
            raise ValueError(f"SECOND: a grid of {grid.shape[2]} voxels along z leaves no slice after the strides")
        self.encoded_channels = height_channels * depth
        self.neck = BevNeck(self.encoded_channels, neck_channels, neck_layers, upsampled_channels)
        self.out_channels = self.neck.out_channels
        set_norm_constants(self, norm_eps, norm_momentum)

    def encode(self, points: PointBatch) -> Tensor:
        """The map [B, encoded_channels, H, W] before the neck.

        Raises:
            OutsideGrid: no point is inside the grid.
        """
        voxels = sparse_tensor(voxelize(points, self.grid, self.voxel_features), self.extra_slices)
        return fold_height(self.stages(voxels))

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """Each sparse convolution, then the stages of the neck."""
        return (*((f"stages.{i}",) for i in range(len(self.stages))), *below("neck", self.neck.blocks))

    def forward(self, points: PointBatch) -> BevFeatures:
        """The map [B, out_channels, H, W].

        Raises:
            OutsideGrid: no point is inside the grid.
        """
        return BevFeatures(self.neck(self.encode(points)), self.grid)


def _stages(
    in_channels: int, channels: Sequence[int], blocks: Sequence[int], block: str, z_paddings: Sequence[int]
) -> nn.Sequential:
    """The sparse stages, all but the first with stride 2."""
    stages = nn.Sequential()
    for level, (out_channels, count) in enumerate(zip(channels, blocks, strict=True)):
        if level > 0:
            down = DownBlock(in_channels, out_channels, f"down{level}", kernel_size=3, z_padding=z_paddings[level - 1])
            stages.append(down)
            in_channels = out_channels
        elif block == "residual":
            stages.append(SubmanifoldBlock(in_channels, out_channels, "level0"))
            in_channels = out_channels
        kind = ResidualBlock if block == "residual" else SubmanifoldBlock
        for _ in range(count):
            stages.append(kind(in_channels, out_channels, f"level{level}"))
            in_channels = out_channels
    return stages
