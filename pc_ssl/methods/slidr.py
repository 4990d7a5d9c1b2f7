"""SLidR: superpixel-to-superpoint contrastive distillation.

Sautier et al., "Image-to-Lidar Self-Supervised Distillation for Autonomous Driving Data", CVPR 2022, Sec. 3.

1. View: points and images of a keyframe, augmented independently; pairs of pixel and point; superpixels of each
   image (SLIC, 150 segments).
2. Forward: a frozen image network with a trained 1 x 1 convolution on top, and the LiDAR backbone with a linear layer,
   give unit features g(pixel) and f(point). Over each superpixel s, q_s is the mean of g over its pixels, k_s the mean
   of f over the points that project into it.
3. Loss: -1/S sum_s log[ exp(k_s . q_s / t) / sum_s' exp(k_s . q_s' / t) ] over the S superpixels of the batch that
   contain a point (Eq. 3), t = 0.07.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.ops import region_pool
from pc_ssl.protocols import Backbone, PixelNetwork
from pc_ssl.structures import SensorBatch
from pc_ssl.views.sensors import SensorViews


class SLidR(nn.Module):
    """Pretrains the LiDAR backbone `backbone` with an image network.

    Args:
        backbone: LiDAR backbone with `out_channels`.
        image: image network with `out_channels`, D = 64 in the paper; the image network decides which of its parameters
            are trainable.
        views: gives images, pairs and superpixels.
        temperature: t; 0.07 in the paper.
        objective: instead of InfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: the views give no pairs or no superpixels, or temperature is not positive.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        image: PixelNetwork,
        views: SensorViews,
        temperature: float = 0.07,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if not views.pairs or views.superpixel is None or temperature <= 0:
            raise ValueError(f"SLidR: needs views with pairs and superpixels, and temperature > 0, got {temperature}")
        self.backbone, self.image, self.views, self.temperature = backbone, image, views, temperature
        self.objective = as_objective(objective)
        self.point_layer = nn.Linear(backbone.out_channels, image.out_channels)

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss", its chance level, `collapse_monitors` and `negative_monitors`; each a scalar.

        Without pairs the loss is zero.
        """
        assert batch.cameras is not None
        assert batch.pairs is not None
        assert batch.cameras.superpixel is not None
        superpixel, count = batch.cameras.superpixel.flatten(0, 1), batch.cameras.num_superpixels
        image = self.image(batch.cameras.image.flatten(0, 1)).float()
        image = interpolate(image, superpixel.shape[1:], mode="bilinear", align_corners=False)
        pixel = normalize(image, dim=1).permute(0, 2, 3, 1).flatten(0, 2)
        point = self.point_layer(self.backbone(batch.points).at_points(batch.points, batch.pairs.point))
        point = normalize(point.float(), dim=1)
        column, row = batch.pairs.pixel.long().unbind(dim=1)
        of_point = superpixel[batch.pairs.camera, row, column]
        seen = torch.bincount(of_point[of_point >= 0], minlength=count) > 0
        anchor = region_pool(point, of_point, count)[seen]
        candidate = region_pool(pixel, superpixel.flatten(), count)[seen]
        own, of_image = normalize(anchor, dim=1), normalize(candidate, dim=1)
        return {
            "loss": self.objective(anchor, candidate, temperature=self.temperature),
            "by_chance": torch.tensor(chance_level(len(anchor)), device=anchor.device),
            **collapse_monitors(own, of_image),
            **negative_monitors(own, of_image, self.temperature),
        }
