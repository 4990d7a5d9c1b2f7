"""Joint pretraining of both branches in BEV, CALICO's baseline for its two stages.

After Li et al., "SimIPU: Simple 2D Image and 3D Point Cloud Unsupervised Pre-Training for Spatial-Aware Visual
Representations", AAAI 2022: an intra-modal term contrasts the same points in two views of the cloud, an inter-modal
term points with the image features that show them. SimIPU reads image features in the image plane; here, as in CALICO's
comparison of joint training, both are read from BEV maps (reconstructed). Temperature 0.07 is SimIPU's; its queue is
left out: all sampled points of the batch are negatives.

1. Views: two augmented views of the cloud, the first with its images; N points inside regions and M outside.
2. Forward: the LiDAR branch on both views, the camera branch on the images; BEV maps read at the points; projectors.
3. Loss: InfoNCE between the LiDAR views + InfoNCE between camera and LiDAR, with equal weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pc_ssl.geometry import BevGrid
from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.models.projector import Projector
from pc_ssl.structures import CameraBatch, PointBatch, Scene, SensorBatch, SensorSample
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.lidar import Augmentation, move_points


@dataclass(frozen=True)
class JointSample:
    """A view of all sensors, and a second view of the points: second [N, 3 + F]."""

    first: SensorSample
    second: Tensor


@dataclass(frozen=True)
class JointBatch:
    """Packed samples; row i of both clouds is the same point."""

    first: SensorBatch
    second: PointBatch

    @classmethod
    def pack(cls, samples: Sequence[JointSample]) -> JointBatch:
        return cls(SensorBatch.pack([s.first for s in samples]), PointBatch.pack([s.second for s in samples]))

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.first.tokens

    @property
    def cameras(self) -> CameraBatch | None:
        return self.first.cameras

    def to(self, device: torch.device | str) -> JointBatch:
        return JointBatch(self.first.to(device), self.second.to(device))


@dataclass(frozen=True)
class JointViews:
    """One view of all sensors, and a second view of the points.

    Args:
        first: the view of all sensors, and the points sampled in it.
        augmentation: of the second view of the points.
    """

    first: DrawnViews
    augmentation: Augmentation

    @property
    def reads(self) -> frozenset[str]:
        return self.first.reads

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> JointSample:
        """Sampled points outside the grid in the second view have zero features there."""
        return JointSample(self.first(scene, rng, grids), move_points(scene.points, self.augmentation.draw(rng)))


class SimIPU(nn.Module):
    """Pretrains both branches of `backbone` jointly.

    Args:
        backbone: a LiDAR and a camera branch; its fuser is not trained.
        views: gives the views and the sampled points.
        hidden_channels: channels of the projectors' hidden layers.
        embedding_channels: D; 128 in SimIPU.
        temperature: 0.07 in SimIPU.
        objective: of both terms, instead of InfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: a branch is missing, or temperature is not positive.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone.lidar", "backbone.camera")

    def __init__(
        self,
        backbone: BevEncoder,
        views: JointViews,
        hidden_channels: int = 256,
        embedding_channels: int = 128,
        temperature: float = 0.07,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if backbone.lidar is None or backbone.camera is None or temperature <= 0:
            raise ValueError(f"SimIPU needs a LiDAR and a camera branch, and temperature > 0, got {temperature}")
        self.backbone, self.temperature, self.objective = backbone, temperature, as_objective(objective)
        if backbone.fuser is not None:
            backbone.fuser.requires_grad_(False)
        self.lidar_projector = Projector(backbone.lidar.out_channels, hidden_channels, embedding_channels)
        self.camera_projector = Projector(backbone.camera.out_channels, hidden_channels, embedding_channels)
        self.views = views

    collate = staticmethod(JointBatch.pack)

    def forward(self, batch: JointBatch) -> dict[str, Tensor]:
        """ "loss" = "intra_modal" + "inter_modal", their chance level, `collapse_monitors` and `negative_monitors`;
        each a scalar."""
        assert batch.first.cameras is not None
        assert batch.first.drawn is not None
        points, rows = batch.first.points, batch.first.drawn
        lidar, camera = self.backbone.lidar, self.backbone.camera
        assert lidar is not None
        assert camera is not None
        first = self.lidar_projector.embeddings(lidar(points).at_points(points, rows))
        second = self.lidar_projector.embeddings(lidar(batch.second).at_points(batch.second, rows))
        image = self.camera_projector.embeddings(camera(batch.first.cameras, points).at_points(points, rows))
        intra = self.objective(first, second, temperature=self.temperature)
        inter = self.objective(image, first, temperature=self.temperature)
        return {
            "loss": intra + inter,
            "intra_modal": intra.detach(),
            "inter_modal": inter.detach(),
            "by_chance": torch.tensor(chance_level(len(first)), device=first.device),
            **collapse_monitors(image, first),
            **negative_monitors(image, first, self.temperature),
        }
