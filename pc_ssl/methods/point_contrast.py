"""PointContrast: a point is matched with itself in another view, against all other points.

Xie et al., "PointContrast: Unsupervised Pre-training for 3D Point Cloud Understanding", ECCV 2020, Sec. 3. Published:
both losses, their numbers, the sampled matches and a last layer of 32 channels without a projector. Ours: the two
views are two augmentations of one cloud, each with points left out, where the paper matches two overlapping depth
images of a room (`PairViews(frames=FramePairs())` takes the points of the room that two overlapping images see); the
last layer is discarded after pretraining.

1. Views: two augmented views of one cloud, and matches: points in both.
2. Forward: features of the matches, a linear layer, L2 normalisation.
3. Loss: PointInfoNCE (Eq. 3) or the hardest-contrastive loss (Eq. 2).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.losses.hardest_contrastive import hardest_contrastive
from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.protocols import Backbone
from pc_ssl.structures import PairBatch, PointBatch
from pc_ssl.views.lidar import PairViews


class PointLoss(StrEnum):
    """POINT_INFO_NCE: Eq. 3, with a temperature. HARDEST_CONTRASTIVE: Eq. 2, with margins."""

    POINT_INFO_NCE = "point_info_nce"
    HARDEST_CONTRASTIVE = "hardest_contrastive"


class PointContrast(nn.Module):
    """Pretrains `backbone` on matched points.

    Args:
        backbone: LiDAR backbone with `out_channels`, from points to BevFeatures or PointFeatures.
        views: gives the two views and the matches, 4096 in the paper.
        embedding_channels: D; 32 in the paper.
        loss: "point_info_nce" or "hardest_contrastive".
        temperature: of PointInfoNCE; 0.07 in the paper, 0.4 in the authors' script.
        positive_margin: of the hardest-contrastive loss.
        negative_margin: of the hardest-contrastive loss.
        objective: instead of PointInfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: temperature is not positive, or loss is not one of the two.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        views: PairViews,
        embedding_channels: int = 32,
        loss: str = PointLoss.POINT_INFO_NCE,
        temperature: float = 0.07,
        positive_margin: float = 0.1,
        negative_margin: float = 1.4,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"need temperature > 0, got {temperature}")
        self.backbone = backbone
        self.last = nn.Linear(backbone.out_channels, embedding_channels)
        self.views = views
        self.loss, self.temperature, self.objective = PointLoss(loss), temperature, as_objective(objective)
        self.positive_margin, self.negative_margin = positive_margin, negative_margin

    collate = staticmethod(PairBatch.pack)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """ "loss", the chance level of PointInfoNCE, `collapse_monitors` and `negative_monitors`; each a scalar.

        Points are contrasted with the matches of all frames of the batch on the same process.
        """
        first = self.embed(batch.first, batch.first_row)
        second = self.embed(batch.second, batch.second_row)
        monitors = collapse_monitors(first, second)
        if self.loss is PointLoss.HARDEST_CONTRASTIVE:
            return {"loss": hardest_contrastive(first, second, self.positive_margin, self.negative_margin), **monitors}
        return {
            "loss": self.objective(first, second, temperature=self.temperature),
            "by_chance": torch.tensor(chance_level(len(first)), device=first.device),
            **monitors,
            **negative_monitors(first, second, self.temperature),
        }

    def embed(self, points: PointBatch, rows: Tensor) -> Tensor:
        """Embeddings [S, D] of unit length, float32 under autocast too, of the points in `rows` [S]."""
        return normalize(self.last(self.backbone(points).at_points(points, rows)).float(), dim=1)
