"""PPKT: pixel-to-point contrastive distillation.

Liu et al., "Learning from 2D: Contrastive Pixel-to-Point Knowledge Transfer for 3D Pretraining", 2021, Sec. 3; for
driving scenes as SLidR (Sautier et al., CVPR 2022) runs it.

1. View: points and images of a keyframe, augmented independently; pairs of pixel and point, of which some are
   sampled.
2. Forward: a frozen image network with a trained layer on top, and the LiDAR backbone with a linear layer, give unit
   features g(pixel) and f(point).
3. Loss: -1/P sum_i log[ exp(f_i . g_i / t) / sum_j exp(f_i . g_j / t) ] over the sampled pairs of the batch, t = 0.07.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.models.features import at_pixels
from pc_ssl.protocols import Backbone, PixelNetwork
from pc_ssl.structures import PixelPairs, SensorBatch
from pc_ssl.views.sensors import SensorViews


class PPKT(nn.Module):
    """Pretrains the LiDAR backbone `backbone` with an image network.

    Args:
        backbone: LiDAR backbone with `out_channels`.
        image: image network with `out_channels`, D = 64 in SLidR; the image network decides which of its parameters are
            trainable.
        views: gives images and pairs.
        num_pairs: sampled from the batch in each step; 4096 in SLidR's code.
        temperature: t; 0.07 in SLidR's code.
        objective: instead of InfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: the views give no pairs, or an argument is not positive.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        image: PixelNetwork,
        views: SensorViews,
        num_pairs: int = 4096,
        temperature: float = 0.07,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if not views.pairs or num_pairs < 1 or temperature <= 0:
            raise ValueError(
                f"PPKT: needs views with pairs, num_pairs > 0 and temperature > 0, got {num_pairs} and {temperature}"
            )
        self.backbone, self.image, self.views = backbone, image, views
        self.num_pairs, self.temperature, self.objective = num_pairs, temperature, as_objective(objective)
        self.point_layer = nn.Linear(backbone.out_channels, image.out_channels)

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss", its chance level, `collapse_monitors` and `negative_monitors`; each a scalar.

        Without pairs the loss is zero.
        """
        assert batch.cameras is not None
        assert batch.pairs is not None
        drawn = torch.randperm(len(batch.pairs), device=batch.pairs.point.device)[: self.num_pairs]
        pairs = PixelPairs(batch.pairs.point[drawn], batch.pairs.camera[drawn], batch.pairs.pixel[drawn])
        image = self.image(batch.cameras.image.flatten(0, 1)).float()
        pixel = normalize(at_pixels(image, batch.cameras.image.shape[-2:], pairs), dim=1)
        point = self.point_layer(self.backbone(batch.points).at_points(batch.points, pairs.point))
        point = normalize(point.float(), dim=1)
        return {
            "loss": self.objective(point, pixel, temperature=self.temperature),
            "by_chance": torch.tensor(chance_level(len(point)), device=point.device),
            **collapse_monitors(point, pixel),
            **negative_monitors(point, pixel, self.temperature),
        }
