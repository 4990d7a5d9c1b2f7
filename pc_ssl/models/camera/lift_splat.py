"""From images to a BEV map: lift each pixel along its ray by a distribution of depths, splat it onto the ground.

Philion and Fidler, "Lift, Splat, Shoot: Encoding Images from Arbitrary Camera Rigs by Implicitly Unprojecting to 3D",
ECCV 2020, Sec. 3.1-3.2, with the feature pyramid and the BEV encoder that BEVFusion (Liu et al., ICRA 2023) puts around
it. Splatting is a sum over the pixels that fall into a cell: `region_pool`.

With the layers of BEVFusion's camera branch: `LiftSplat(image, grid, depths, neck="lss", lidar_depth=True, halve=True,
encoder_channels=())`. Pixels are lifted from the centres of the map's cells, where BEVFusion takes evenly spaced pixels
from the first to the last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from pc_ssl.geometry import BevGrid
from pc_ssl.models.bev import BevNeck, below
from pc_ssl.models.camera.image_backbone import ImageBackbone
from pc_ssl.models.camera.lss_fpn import DepthFromLidar, LssNeck, MapReducer, depth_images
from pc_ssl.models.features import BevFeatures
from pc_ssl.ops import RegionPlan, region_gather, region_pool
from pc_ssl.structures import CameraBatch, PointBatch

CACHED_PLANS = 4  # calibrations whose plans are kept
LIFTED_ELEMENTS = 2**24  # values that are lifted at once: 64 MiB in float32


@dataclass(frozen=True)
class DepthBins:
    """Depths along a camera's axis, metres: start, start + step, ..., below stop. The defaults are BEVFusion's.

    Raises:
        ValueError: there are no bins, or a depth is not positive.
    """

    start: float = 1.0
    stop: float = 60.0
    step: float = 0.5

    def __post_init__(self) -> None:
        if self.start <= 0 or self.step <= 0 or self.stop <= self.start:
            raise ValueError(f"DepthBins: need 0 < start < stop and step > 0, got {self}")

    def values(self) -> Tensor:
        """[D] float32."""
        return torch.arange(self.start, self.stop, self.step)


@dataclass(frozen=True)
class Splat:
    """Targets of the lifted pixels that fall onto the map.

    Args:
        sample: [L] int64: number of the pixel and depth, counted over [cameras, depths, rows, columns].
        pixel: [L] int64: number of the pixel, counted over [cameras, rows, columns].
        cell: [L] int64: cell of the map, counted over [frames, rows, columns].
        plan: of `cell`; None where it is used once.
    """

    sample: Tensor
    pixel: Tensor
    cell: Tensor
    plan: RegionPlan | None


class ImageNeck(nn.Module):
    """A feature pyramid (Lin et al., CVPR 2017) that ends in one map, at the resolution of the finest stage.

    Args:
        in_channels: of the stages, from fine to coarse.
        out_channels: of the map.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [n, in_channels[k], h_k, w_k] -> [n, out_channels, h_0, w_0]."""
        joined: Tensor | None = None
        for lateral, one in reversed(list(zip(self.lateral, maps, strict=True))):
            here = lateral(one)
            if joined is not None:
                here = here + interpolate(joined, here.shape[2:], mode="bilinear", align_corners=False)
            joined = here
        assert joined is not None
        return self.smooth(joined)


class LiftSplat(nn.Module):
    """The camera branch: images of any cameras to one map of the ground.

    Args:
        image: image backbone.
        grid: the box of the map and, by its voxel_size along x and y, its cells; points at heights outside are dropped.
        depths: the depths that a pixel's distribution covers.
        neck_channels: of the feature pyramid.
        lifted_channels: C of the features that are lifted; 80 in BEVFusion.
        encoder_channels: channels of the stages of the BEV encoder; all but the first have stride 2. None: the lifted
            map is the result.
        encoder_layers: 3 x 3 convolutions of each of them.
        upsampled_channels: channels that each stage gives to the result.
        neck: "sum": a feature pyramid whose maps are added; "lss": BEVFusion's, whose maps are joined.
        lidar_depth: depths follow from the points that the images see too; a stage of `image` must have stride 8.
        halve: three convolutions halve the resolution of the lifted map.

    Raises:
        ValueError: the grid does not divide by the strides of the BEV encoder, or an option is out of range.
    """

    depth: Tensor
    uses_cameras: ClassVar[bool] = True
    point_features: ClassVar[None] = None

    def __init__(
        self,
        image: ImageBackbone,
        grid: BevGrid,
        depths: DepthBins,
        neck_channels: int = 256,
        lifted_channels: int = 80,
        encoder_channels: Sequence[int] = (80, 160),
        encoder_layers: Sequence[int] = (2, 2),
        upsampled_channels: int = 128,
        neck: Literal["sum", "lss"] = "sum",
        lidar_depth: bool = False,
        halve: bool = False,
    ) -> None:
        super().__init__()
        width, height, _ = grid.shape
        stride = 2 ** (max(len(encoder_channels) - 1, 0) + halve)
        if neck not in ("sum", "lss"):
            raise ValueError(f"LiftSplat: neck is {neck!r}, expected 'sum' or 'lss'")
        if width % stride or height % stride:
            raise ValueError(f"LiftSplat: a map of {width} x {height} cells does not divide by the stride {stride}")
        self.image, self.grid = image, grid
        self.register_buffer("depth", depths.values(), persistent=False)
        self.neck = (ImageNeck if neck == "sum" else LssNeck)(image.channels, neck_channels)
        self.lifted_channels, self.lidar_depth = lifted_channels, lidar_depth
        channels = len(self.depth) + lifted_channels
        self.lift = DepthFromLidar(neck_channels, channels) if lidar_depth else nn.Conv2d(neck_channels, channels, 1)
        self.reduce = MapReducer(lifted_channels) if halve else nn.Identity()
        self.encoder: nn.Module = nn.Identity()
        self.out_channels = lifted_channels
        if encoder_channels:
            encoder = BevNeck(lifted_channels, encoder_channels, encoder_layers, upsampled_channels)
            self.encoder, self.out_channels = encoder, encoder.out_channels
        self.stride = 2 if halve else 1
        self._plans: OrderedDict[bytes, Splat] = OrderedDict()

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """The image backbone as one block, its neck, the lift, and the stages of the BEV encoder."""
        encoder = below("encoder", self.encoder.blocks) if isinstance(self.encoder, BevNeck) else ()
        return (("image",), ("neck",), ("lift",), *([("reduce",)] if self.stride > 1 else []), *encoder)

    def forward(self, cameras: CameraBatch, points: PointBatch | None = None) -> BevFeatures:
        """The map [B, out_channels, H, W].

        A missing camera contributes nothing, and its placeholder image does not enter batch statistics; a batch without
        any camera gives a map of zeros.

        Args:
            cameras: of B frames.
            points: of the same frames, in the same frame of reference; needed with `lidar_depth` alone.

        Raises:
            ValueError: there are no points with `lidar_depth`.
        """
        shown = cameras.present.flatten()
        if not bool(shown.any()):
            width, height, _ = self.grid.shape
            nothing = sum(p.sum() * 0 for p in self.parameters() if p.requires_grad)
            size = (height // self.stride, width // self.stride)
            empty = cameras.image.new_zeros(cameras.num_frames, self.out_channels, *size)
            return BevFeatures(empty + nothing, self.grid)
        feature = self.neck(self.image(cameras.image.flatten(0, 1)[shown]))
        if self.lidar_depth:
            if points is None:
                raise ValueError("LiftSplat: depth from LiDAR needs points")
            lifted = self.lift(feature, depth_images(points, cameras).flatten(0, 1)[shown]).float()
        else:
            lifted = self.lift(feature).float()
        lifted = lifted.new_zeros(len(shown), *lifted.shape[1:]).index_put((shown,), lifted)
        depth, context = lifted.split([len(self.depth), self.lifted_channels], dim=1)
        splat = self._splat(cameras, tuple(context.shape[2:]))
        pooled = self._pool(depth.softmax(dim=1), context, splat, cameras.num_frames)
        return BevFeatures(self.encoder(self.reduce(pooled)), self.grid)

    def frustum(self, cameras: CameraBatch, size: tuple[int, int]) -> Tensor:
        """Positions of the centres of the cells of feature maps [h, w] at each depth.

        Returns:
            [B, K, D, h, w, 3] float32, metres, in the frame of the view.
        """
        rows, columns = size
        height, width = cameras.image.shape[-2:]
        device = self.depth.device
        v = (torch.arange(rows, device=device) + 0.5) * height / rows
        u = (torch.arange(columns, device=device) + 0.5) * width / columns
        pixel = torch.stack([*torch.meshgrid(u, v, indexing="xy"), torch.ones(rows, columns, device=device)], dim=-1)
        ray = torch.einsum("bkij,hwj->bkhwi", cameras.pixel_from_camera.double().inverse(), pixel.double())
        in_camera = ray[:, :, None] * self.depth.double()[:, None, None, None]
        view_from_camera = cameras.camera_from_view.double().inverse()
        turned = torch.einsum("bkij,bkdhwj->bkdhwi", view_from_camera[..., :3, :3], in_camera)
        return (turned + view_from_camera[:, :, None, None, None, :3, 3]).float()

    def _splat(self, cameras: CameraBatch, size: tuple[int, int]) -> Splat:
        """Targets of the pixels; without augmentation (eval mode) computed once per calibration."""
        if self.training:
            return self._compute_splat(cameras, size, planned=False)
        parts = (cameras.pixel_from_camera, cameras.camera_from_view, cameras.present)
        key = repr((size, tuple(cameras.image.shape))).encode() + b"".join(
            part.detach().cpu().contiguous().numpy().tobytes() for part in parts
        )
        splat = self._plans.get(key)
        if splat is None or splat.cell.device != self.depth.device:
            splat = self._compute_splat(cameras, size, planned=True)
            self._plans[key] = splat
        self._plans.move_to_end(key)
        while len(self._plans) > CACHED_PLANS:
            self._plans.popitem(last=False)
        return splat

    @torch.no_grad()
    def _compute_splat(self, cameras: CameraBatch, size: tuple[int, int], planned: bool) -> Splat:
        place = self.frustum(cameras, size)
        index, inside = self.grid.voxel_of(place.reshape(-1, 3))
        frames, count = place.shape[0], place[0].numel() // 3
        inside = inside & cameras.present[:, :, None].expand(-1, -1, count // cameras.present.shape[1]).reshape(-1)
        sample = inside.nonzero()[:, 0]
        width, height, _ = self.grid.shape
        cell = (sample // count * height + index[sample, 1]) * width + index[sample, 0]
        area, depths = size[0] * size[1], len(self.depth)
        pixel = sample // (depths * area) * area + sample % area
        return Splat(sample, pixel, cell, RegionPlan.build(cell, frames * height * width) if planned else None)

    def _pool(self, depth: Tensor, context: Tensor, splat: Splat, frames: int) -> Tensor:
        """depth [n, D, h, w], context [n, C, h, w] -> [B, C, H, W]: the sum over the lifted pixels in each cell.

        Lifted features, one row per pixel and depth, are computed in blocks, and recomputed in the backward pass.
        """
        width, height, _ = self.grid.shape
        cells, channels = frames * height * width, context.shape[1]
        per_pixel = context.permute(0, 2, 3, 1).reshape(-1, channels)
        weight = depth.reshape(-1)[splat.sample]

        def block(feature: Tensor, share: Tensor, pixel: Tensor, cell: Tensor, plan: RegionPlan | None) -> Tensor:
            return region_pool(region_gather(feature, pixel) * share[:, None], cell, cells, "sum", plan)

        rows = max(1, LIFTED_ELEMENTS // channels)
        if len(splat.sample) <= rows:
            bev = block(per_pixel, weight, splat.pixel, splat.cell, splat.plan)
        else:
            bev = per_pixel.new_zeros(cells, channels)
            for start in range(0, len(splat.sample), rows):
                part = slice(start, start + rows)
                arguments = (per_pixel, weight[part], splat.pixel[part], splat.cell[part], None)
                bev = bev + checkpoint(block, *arguments, use_reentrant=False)
        return bev.reshape(frames, height, width, channels).permute(0, 3, 1, 2)
