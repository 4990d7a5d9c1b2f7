"""BEVContrast: the BEV features of a place are contrasted across two scans.

Sautier et al., "BEVContrast: Self-Supervision in BEV Space for Automotive Lidar Point Clouds", 3DV 2024, and its code.
Published: two scans of a drive registered by the vehicle's poses, features pooled over cells of the ground plane,
InfoNCE at 0.07 between the two features of each of at most 4096 cells. Ours: a point keeps its cell of the common
frame, so that the mean over a cell's points needs no warping of a map; a projector.

1. Views: a keyframe and a neighbouring one, augmented independently, and cells that both occupy.
2. Forward: the backbone's features of the points, their mean over each cell, a projector, L2 normalisation.
3. Loss: InfoNCE, each cell against the cells of the other scans of all frames of the batch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.models.projector import Projector
from pc_ssl.ops import region_pool
from pc_ssl.protocols import Backbone
from pc_ssl.structures import PointBatch, ScanPairBatch
from pc_ssl.views.scan_pairs import ScanPairViews


class BEVContrast(nn.Module):
    """Pretrains `backbone` on pairs of registered scans.

    Args:
        backbone: LiDAR backbone with `out_channels`, from points to BevFeatures or PointFeatures.
        views: gives the two scans and the sampled cells.
        hidden_channels: channels of the projector's hidden layer.
        embedding_channels: D.
        temperature: 0.07 in the paper.
        objective: instead of InfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: temperature is not positive.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        views: ScanPairViews,
        hidden_channels: int = 256,
        embedding_channels: int = 64,
        temperature: float = 0.07,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"need temperature > 0, got {temperature}")
        self.backbone = backbone
        self.projector = Projector(backbone.out_channels, hidden_channels, embedding_channels)
        self.views = views
        self.temperature, self.objective = temperature, as_objective(objective)

    collate = staticmethod(ScanPairBatch.pack)

    def forward(self, batch: ScanPairBatch) -> dict[str, Tensor]:
        """ "loss", its chance level, `collapse_monitors` and `negative_monitors`; each a scalar.

        Cells are contrasted with the cells of all frames of the batch on the same process. With fewer than two cells
        the loss and its gradient are zero.
        """
        first = self.embed(batch.first, batch.first_cell, batch.num_cells)
        second = self.embed(batch.second, batch.second_cell, batch.num_cells)
        return {
            "loss": self.objective(first, second, temperature=self.temperature),
            "by_chance": torch.tensor(chance_level(len(first)), device=first.device),
            **collapse_monitors(first, second),
            **negative_monitors(first, second, self.temperature),
        }

    def embed(self, points: PointBatch, cell: Tensor, num_cells: int) -> Tensor:
        """Embeddings [C, D] of unit length, float32 under autocast too, of the cells; cell [N] of each point."""
        rows = (cell >= 0).nonzero()[:, 0]
        feature = self.backbone(points).at_points(points, rows)
        return self.projector.embeddings(region_pool(feature, cell[rows], num_cells))
