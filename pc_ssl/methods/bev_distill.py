"""Distillation of BEV maps by L2 on the foreground, CALICO's baseline for RAD.

After Chen et al., "BEVDistill: Cross-Modal BEV Distillation for Multi-View 3D Object Detection", ICLR 2023, Sec. 3.2,
whose dense term is a squared distance between the maps of camera and LiDAR, weighted by Gaussian masks around labelled
boxes. Without labels the foreground consists of the cells of the student's map that hold a point of a region, each
with weight 1: reconstructed, as are the layer that maps the student's channels to the teacher's, and the normalisation
of both to unit length, without which the scale of the teacher's features sets that of the loss. The instance-level and
box terms need labels and are left out.

1. View: one augmented view of the points and of the images.
2. Forward: both networks give a BEV map, read bilinearly at the points of regions, averaged over each cell.
3. Loss: mean over the cells of the squared distance.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.losses.distances import mean_squared_distance
from pc_ssl.losses.monitors import collapse_monitors
from pc_ssl.models.frozen import FrozenParts
from pc_ssl.ops import region_pool
from pc_ssl.protocols import Backbone, CameraBackbone
from pc_ssl.structures import SensorBatch
from pc_ssl.views.drawn import DrawnViews


class BEVDistill(FrozenParts):
    """Pretrains the camera branch `backbone` with the frozen LiDAR backbone `teacher`.

    Args:
        backbone: camera branch with `out_channels` and `grid`.
        teacher: LiDAR backbone; its weights must be given (`pc-ssl pretrain --init teacher=FILE`), and stay frozen.
        views: gives the view and the sampled points, inside the grids of both networks.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ("teacher",)
    networks: ClassVar[tuple[str, ...]] = ("backbone", "teacher")

    def __init__(self, backbone: CameraBackbone, teacher: Backbone, views: DrawnViews) -> None:
        super().__init__()
        self.backbone, self.teacher = backbone, teacher
        self.adapter = nn.Linear(backbone.out_channels, teacher.out_channels)
        self.views = views
        self.freeze("teacher")

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss" and `collapse_monitors` of student and teacher; each a scalar. Without foreground the loss is 0."""
        assert batch.cameras is not None
        assert batch.drawn is not None
        rows = batch.drawn[batch.region[batch.drawn] >= 0]
        student = self.adapter(self.backbone(batch.cameras, batch.points).at_points(batch.points, rows)).float()
        with torch.no_grad():
            teacher = self.teacher(batch.points).at_points(batch.points, rows).float()
        cell, count = self._cells(batch, rows)
        student = normalize(region_pool(student, cell, count), dim=1)
        teacher = normalize(region_pool(teacher, cell, count), dim=1)
        return {"loss": mean_squared_distance(student, teacher), **collapse_monitors(student, teacher)}

    def _cells(self, batch: SensorBatch, rows: Tensor) -> tuple[Tensor, int]:
        """Cell [n] of the student's grid of each point, numbered from 0 without gaps, and the number of cells."""
        index, _ = self.backbone.grid.voxel_of(batch.points.xyz[rows])
        place = torch.cat([batch.points.frame_index()[rows, None], index[:, :2]], dim=1)
        unique, cell = torch.unique(place, dim=0, return_inverse=True)
        return cell, len(unique)
