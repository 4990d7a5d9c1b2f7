"""PRC: point-region contrast, the LiDAR stage of CALICO.

Sun et al., "CALICO: Self-Supervised Camera-LiDAR Contrastive Pre-training for BEV Perception", ICLR 2024, Sec. 2.2. No
public code holds the published losses. `losses/point_region.py` states what is published and what is reconstructed.
Projector and temperature are not published either: the projector is ours, the temperature is that of the authors'
prototype.

1. Views: two augmented views of one cloud; N points inside regions and M outside, sampled among those in both.
2. Forward: a backbone gives a BEV map, read bilinearly at the points (or a feature for each point), and a projector and
   L2 normalisation give p_i in the first view and q_i in the second.
3. Loss: L = alpha * PLRC + (1 - alpha) * RAPC (Eq. 2).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import (
    Negatives,
    chance_level,
    point_level_region_contrast,
    region_aware_point_contrast,
)
from pc_ssl.models.projector import Projector
from pc_ssl.protocols import Backbone
from pc_ssl.structures import PairBatch, PointBatch
from pc_ssl.views.lidar import PairViews


class PRC(nn.Module):
    """Pretrains `backbone` by point-region contrast.

    Args:
        backbone: LiDAR backbone with `out_channels`, from points to BevFeatures or PointFeatures.
        views: gives the two views and the sampled points, inside the backbone's grid.
        hidden_channels: channels of the projector's hidden layer.
        embedding_channels: D, channels of the embeddings; 64 in the prototype.
        temperature: of both losses; 0.1 in the prototype.
        alpha: weight of PLRC, 1 - alpha that of RAPC; 0.5 in the paper.
        negatives: of RAPC, "all_points" or "other_regions".
        objective: of RAPC, instead of InfoNCE (`losses/objectives.py`); PLRC is not affected.

    Raises:
        ValueError: temperature is not positive, alpha is not in 0..1, or negatives is not one of the two.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        views: PairViews,
        hidden_channels: int = 256,
        embedding_channels: int = 64,
        temperature: float = 0.1,
        alpha: float = 0.5,
        negatives: str = Negatives.ALL_POINTS,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise ValueError(f"need temperature > 0 and alpha in 0..1, got {temperature} and {alpha}")
        self.backbone = backbone
        self.projector = Projector(backbone.out_channels, hidden_channels, embedding_channels)
        self.views = views
        self.temperature, self.alpha, self.negatives = temperature, alpha, Negatives(negatives)
        self.objective = as_objective(objective, has_regions=True)

    collate = staticmethod(PairBatch.pack)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """ "loss", its terms "plrc" and "rapc", RAPC's chance level, `collapse_monitors` and `negative_monitors`; each
        a scalar.

        Points are contrasted with the points of all frames of the batch on the same process. With fewer than two points
        the loss and its gradient are zero.
        """
        first = self.embed(batch.first, batch.first_row)
        second = self.embed(batch.second, batch.second_row)
        region = batch.region[: len(first)]  # empty if `embed` returns no rows
        plrc = point_level_region_contrast(first, second, region, self.temperature)
        rapc = region_aware_point_contrast(first, second, region, self.temperature, self.negatives, self.objective)
        return {
            "loss": self.alpha * plrc + (1 - self.alpha) * rapc,
            "plrc": plrc.detach(),
            "rapc": rapc.detach(),
            "rapc_by_chance": torch.tensor(chance_level(len(first)), device=first.device),
            **collapse_monitors(first, second),
            **negative_monitors(first, second, self.temperature),
        }

    def embed(self, points: PointBatch, rows: Tensor) -> Tensor:
        """Embeddings [S, D] of unit length, float32 under autocast too, of the points in `rows` [S]."""
        return self.projector.embeddings(self.backbone(points).at_points(points, rows))
