"""Sparse residual UNet: a feature for every point.

The family of MinkUNet (Choy et al., "4D Spatio-Temporal ConvNets: Minkowski Convolutional Neural Networks", CVPR 2019).
The defaults are the widths and depths of MinkUNet34, which SLidR and its successors pretrain; its 5 x 5 x 5 stem is
two 3 x 3 x 3 convolutions here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import nn

from pc_ssl.derived import FeaturesPerPoint
from pc_ssl.geometry.grid import Triple
from pc_ssl.models.features import PointFeatures
from pc_ssl.models.norm import set_norm_constants
from pc_ssl.models.sparse import DownBlock, ResidualBlock, SubmanifoldBlock, UpBlock, concatenate, sparse_tensor
from pc_ssl.models.voxelize import VoxelFeatures, covering_grid, cylindrical, voxel_channels, voxelize
from pc_ssl.structures import PointBatch


class SparseUNet(nn.Module):
    """Encoder of L levels, each at half the resolution of the previous one, and a decoder back to the voxels.

    The range is not limited: the grid is laid around the points of each batch, so that every point gets a feature. Its
    voxels are at fixed positions in the frame of the points, whatever else the batch holds. Points of one voxel share
    their feature.

    Args:
        voxel_size: edges along x, y, z, metres; with cylindrical coordinates along distance (metres), azimuth (degrees)
            and z (metres).
        point_features: F, point features besides x, y, z.
        stem_channels: channels at the resolution of the voxels.
        encoder_channels: channels of the L levels, from fine to coarse.
        encoder_blocks: residual blocks of each of them.
        decoder_channels: channels of the L levels, from coarse to fine.
        decoder_blocks: residual blocks of each of them.
        stem_layers: convolutions of the stem; 1 in SLidR's and CLIP2Scene's networks.
        coordinates: of the voxels; "cylindrical" ones, around the sensor, are SLidR's.
        voxel_features: see `voxelize`.
        norm_eps, norm_momentum: constants of all batch norms.

    Raises:
        ValueError: the four sequences differ in length, or an option is out of range.
    """

    uses_cameras: ClassVar[bool] = False
    grid: ClassVar[None] = None  # the range is not limited

    def __init__(
        self,
        voxel_size: Triple = (0.1, 0.1, 0.1),
        point_features: FeaturesPerPoint = 1,
        stem_channels: int = 32,
        encoder_channels: Sequence[int] = (32, 64, 128, 256),
        encoder_blocks: Sequence[int] = (2, 3, 4, 6),
        decoder_channels: Sequence[int] = (256, 128, 96, 96),
        decoder_blocks: Sequence[int] = (2, 2, 2, 2),
        stem_layers: int = 2,
        coordinates: Literal["cartesian", "cylindrical"] = "cartesian",
        voxel_features: VoxelFeatures = "offset",
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        lengths = [len(s) for s in (encoder_channels, encoder_blocks, decoder_channels, decoder_blocks)]
        if len(set(lengths)) != 1:
            raise ValueError(f"SparseUNet: channels and blocks must have one entry per level, got {lengths} entries")
        if stem_layers < 1 or coordinates not in ("cartesian", "cylindrical"):
            raise ValueError(
                f"SparseUNet: need at least one layer in the stem and cartesian or cylindrical coordinates, got "
                f"{stem_layers} and {coordinates!r}"
            )
        levels = lengths[0]
        self.point_features, self.coordinates, self.voxel_features = point_features, coordinates, voxel_features
        self.voxel_size = voxel_size
        self.total_stride = 2**levels
        self.out_channels = decoder_channels[-1]
        widths = [voxel_channels(voxel_features, point_features), *[stem_channels] * (stem_layers - 1)]
        self.stem = nn.Sequential(*(SubmanifoldBlock(width, stem_channels, "level0") for width in widths))
        fine = [stem_channels, *encoder_channels]
        self.down = nn.ModuleList(DownBlock(fine[i], fine[i], f"down{i}") for i in range(levels))
        self.encoder = nn.ModuleList(
            _residual_blocks(fine[i], fine[i + 1], encoder_blocks[i], f"level{i + 1}") for i in range(levels)
        )
        coarse = [encoder_channels[-1], *decoder_channels]
        self.up = nn.ModuleList(UpBlock(coarse[i], coarse[i + 1], f"down{levels - 1 - i}") for i in range(levels))
        self.decoder = nn.ModuleList(
            _residual_blocks(
                coarse[i + 1] + fine[levels - 1 - i], coarse[i + 1], decoder_blocks[i], f"level{levels - 1 - i}"
            )
            for i in range(levels)
        )
        set_norm_constants(self, norm_eps, norm_momentum)

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """Stem, levels of the encoder, levels of the decoder."""
        levels = range(len(self.down))
        down = ((f"down.{i}", f"encoder.{i}") for i in levels)
        return (("stem",), *down, *((f"up.{i}", f"decoder.{i}") for i in levels))

    def forward(self, points: PointBatch) -> PointFeatures:
        """Features [N, out_channels] of the N points.

        Raises:
            ValueError: the batch holds no points, or a coordinate is not finite.
        """
        place = points.xyz if self.coordinates == "cartesian" else cylindrical(points.xyz)
        grid = covering_grid(place, self.voxel_size, self.total_stride)
        voxels = voxelize(points, grid, self.voxel_features, place)
        x = self.stem(sparse_tensor(voxels))
        skips = []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            skips.append(x)
            x = blocks(down(x))
        for up, blocks in zip(self.up, self.decoder, strict=True):
            x = blocks(concatenate(up(x), skips.pop()))
        return PointFeatures(x.features, voxels.voxel_of_point)


def _residual_blocks(in_channels: int, out_channels: int, count: int, key: str) -> nn.Sequential:
    widths = [in_channels, *[out_channels] * count]
    return nn.Sequential(*(ResidualBlock(widths[i], out_channels, key) for i in range(count)))
