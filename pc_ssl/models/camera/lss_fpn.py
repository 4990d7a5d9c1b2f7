"""BEVFusion's image neck and its depth from LiDAR (Liu et al., ICRA 2023).

Layers as in mit-han-lab/bevfusion at 326653d,
`necks/generalized_lss.py` and `vtransforms/depth_lss.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pc_ssl.structures import CameraBatch, PointBatch

NEAREST = 1e-5  # metres; points nearer than this to the plane of the camera are not seen
DEPTH_CHANNELS = 64
DEPTH_STRIDE = 8  # of `DepthImage`


def _layer(in_channels: int, out_channels: int, size: int, stride: int = 1, bias: bool = False) -> nn.Sequential:
    """Convolution that keeps the extent but for its stride, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=bias),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class LssNeck(nn.Module):
    """GeneralizedLSSFPN: coarse maps are upsampled and joined to the next finer ones along their channels.

    Args:
        in_channels: of the stages, from fine to coarse, at least two.
        out_channels: of the map.

    Raises:
        ValueError: there are fewer than two stages.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        if len(in_channels) < 2:
            raise ValueError(f"LssNeck: need two or more stages of the image backbone, got {len(in_channels)}")
        coarser = [*[out_channels] * (len(in_channels) - 2), in_channels[-1]]
        self.lateral = nn.ModuleList(
            _layer(own + other, out_channels, 1) for own, other in zip(in_channels[:-1], coarser, strict=True)
        )
        self.smooth = nn.ModuleList(_layer(out_channels, out_channels, 3) for _ in coarser)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [n, in_channels[k], h_k, w_k] -> [n, out_channels, h_0, w_0]."""
        joined = maps[-1]
        for one, lateral, smooth in reversed(list(zip(maps[:-1], self.lateral, self.smooth, strict=True))):
            larger = interpolate(joined, one.shape[2:], mode="bilinear", align_corners=False)
            joined = smooth(lateral(torch.cat([one, larger], dim=1)))
        return joined


class DepthFromLidar(nn.Module):
    """Depth distribution and features of each cell of an image's map, from the map and the points that the image sees.

    DepthLSSTransform: the depths of the points, drawn into an image of zeros, go through three convolutions down to the
    map's resolution and are joined to it.

    Args:
        in_channels: of the image's map, at 1 / 8 of the image's resolution.
        out_channels: of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depth = nn.Sequential(
            *_layer(1, 8, 1, bias=True),
            *_layer(8, 32, 5, stride=4, bias=True),
            *_layer(32, DEPTH_CHANNELS, 5, stride=2, bias=True),
        )
        self.mix = nn.Sequential(
            *_layer(in_channels + DEPTH_CHANNELS, in_channels, 3, bias=True),
            *_layer(in_channels, in_channels, 3, bias=True),
            nn.Conv2d(in_channels, out_channels, 1),
        )

    def forward(self, feature: Tensor, depth: Tensor) -> Tensor:
        """[n, in_channels, h, w] and depths [n, 1, H, W] (metres, 0: no point) -> [n, out_channels, h, w].

        Raises:
            ValueError: the map is not at 1 / 8 of the image's resolution.
        """
        reduced = self.depth(depth.to(feature.dtype))
        if reduced.shape[2:] != feature.shape[2:]:
            raise ValueError(
                f"DepthFromLidar: the image backbone's finest map is {tuple(feature.shape[2:])} cells for images of "
                f"{tuple(depth.shape[2:])} pixels, expected "
                f"{tuple(reduced.shape[2:])}: a stage of stride {DEPTH_STRIDE}"
            )
        return self.mix(torch.cat([reduced, feature], dim=1))


class MapReducer(nn.Sequential):
    """Three convolutions that halve the resolution of a lifted map, as at the end of BEVFusion's view transforms."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            _layer(channels, channels, 3), _layer(channels, channels, 3, stride=2), _layer(channels, channels, 3)
        )


@torch.no_grad()
def depth_images(points: PointBatch, cameras: CameraBatch) -> Tensor:
    """Depths of the points in each image.

    Args:
        points: B frames, in the frame of the view.
        cameras: K cameras for each.

    Returns:
        [B, K, 1, H, W] float32, metres along the camera's axis; the nearest point of a pixel, 0 without a point.
    """
    height, width = cameras.image.shape[-2:]
    frames, count = cameras.present.shape
    frame = points.frame_index()
    ones = points.xyz.new_ones(len(frame), 1)
    in_camera = torch.einsum("nkij,nj->nki", cameras.camera_from_view[frame], torch.cat([points.xyz, ones], dim=1))
    seen = torch.einsum("nkij,nkj->nki", cameras.pixel_from_camera[frame], in_camera[..., :3])
    depth = seen[..., 2]
    pixel = (seen[..., :2] / depth.clamp(min=NEAREST).unsqueeze(-1)).floor().long()
    inside = (depth > NEAREST) & (pixel >= 0).all(-1) & (pixel[..., 0] < width) & (pixel[..., 1] < height)
    inside = inside & cameras.present[frame]
    camera = frame[:, None] * count + torch.arange(count, device=frame.device)
    cell = (camera * height + pixel[..., 1]) * width + pixel[..., 0]
    image = depth.new_full((frames * count * height * width,), torch.inf)
    image.scatter_reduce_(0, cell[inside], depth[inside], "amin")
    return image.where(image.isfinite(), 0.0).reshape(frames, count, 1, height, width)
