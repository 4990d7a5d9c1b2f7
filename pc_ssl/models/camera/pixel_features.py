"""Feature maps of images, for methods that pair pixels with points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pc_ssl.models.camera.image_backbone import ImageBackbone


class PixelFeatures(nn.Module):
    """The maps of an image backbone, resampled to the size of the finest, joined, and mixed by a 1 x 1 convolution.

    SLidR (Sautier et al., CVPR 2022, Sec. 3.1) reads the last stage of a ResNet-50 with dilated convolutions, and
    upsamples it by 4; the stages joined here reach the same resolution without changing the network.

    Args:
        backbone: image backbone, frozen in SLidR.
        out_channels: of the map; None: the joined maps without a trained layer.
    """

    def __init__(self, backbone: ImageBackbone, out_channels: int | None = 64) -> None:
        super().__init__()
        joined = sum(backbone.channels)
        self.backbone = backbone
        self.layer = nn.Identity() if out_channels is None else nn.Conv2d(joined, out_channels, 1)
        self.out_channels = joined if out_channels is None else out_channels

    def forward(self, image: Tensor) -> Tensor:
        """[n, 3, H, W] -> [n, out_channels, h, w] at the resolution of the finest stage."""
        maps = self.backbone(image)
        size = maps[0].shape[2:]
        return self.layer(torch.cat([_resized(one, size) for one in maps], dim=1))


def _resized(one: Tensor, size: torch.Size) -> Tensor:
    return one if one.shape[2:] == size else interpolate(one, size, mode="bilinear", align_corners=False)
