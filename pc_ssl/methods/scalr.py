"""ScaLR: points regress the features of a strong image network, without contrast.

Puy et al., "Three Pillars improving Vision Foundation Model Distillation for Lidar", CVPR 2024, Sec. 3.

1. View: points and images of a keyframe, augmented independently; pairs of pixel and point.
2. Forward: a frozen image network (DINOv2 in the paper) gives g(pixel), the LiDAR backbone with a linear layer
   f(point), both of unit length.
3. Loss: 1/P sum_i || f_i - g_i ||_2 over the pairs (Eq. 1).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.losses.distances import mean_distance
from pc_ssl.losses.monitors import collapse_monitors
from pc_ssl.models.features import at_pixels
from pc_ssl.models.frozen import FrozenParts
from pc_ssl.protocols import Backbone, PixelNetwork
from pc_ssl.structures import SensorBatch
from pc_ssl.views.sensors import SensorViews


class ScaLR(FrozenParts):
    """Pretrains the LiDAR backbone `backbone` with a frozen image network.

    Args:
        backbone: LiDAR backbone with `out_channels`.
        image: image network with `out_channels`; frozen.
        views: gives images and pairs.

    Raises:
        ValueError: the views give no pairs.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(self, backbone: Backbone, image: PixelNetwork, views: SensorViews) -> None:
        super().__init__()
        if not views.pairs:
            raise ValueError("ScaLR: needs views with pairs")
        self.backbone, self.image, self.views = backbone, image, views
        self.point_layer = nn.Linear(backbone.out_channels, image.out_channels)
        self.freeze("image")

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss" and `collapse_monitors`; each a scalar. Without pairs the loss is zero."""
        assert batch.cameras is not None
        assert batch.pairs is not None
        with torch.no_grad():
            image = self.image(batch.cameras.image.flatten(0, 1)).float()
            pixel = normalize(at_pixels(image, batch.cameras.image.shape[-2:], batch.pairs), dim=1)
        point = self.point_layer(self.backbone(batch.points).at_points(batch.points, batch.pairs.point))
        point = normalize(point.float(), dim=1)
        return {"loss": mean_distance(point, pixel), **collapse_monitors(point, pixel)}
