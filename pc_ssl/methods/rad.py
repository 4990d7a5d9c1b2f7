"""RAD: region-aware distillation, the camera stage of CALICO.

Sun et al., "CALICO: Self-Supervised Camera-LiDAR Contrastive Pre-training for BEV Perception", ICLR 2024, Sec. 2.3. No
public code holds the published loss. Published: a frozen teacher, the LiDAR backbone that PRC pretrained; the
camera's BEV map is matched to its map at the points that PRC samples; each region has the same weight, by 1 / N_S (Eq.
3), and so have all points of a region. Reconstructed: the rest of the formula (`losses/distillation.py`), the
temperature, and in which space student and teacher are compared (`TeacherSpace`).

1. View: one augmented view of the points and of the images; N points inside regions and M outside.
2. Forward: both networks give a BEV map, read bilinearly at the points; the maps may differ in resolution.
3. Loss: InfoNCE from each point of the student to the same point of the teacher, each region with the same weight.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.losses.distillation import region_aware_distillation, region_weight
from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.models.frozen import FrozenParts
from pc_ssl.models.projector import Projector
from pc_ssl.protocols import Backbone, CameraBackbone
from pc_ssl.structures import SensorBatch
from pc_ssl.views.drawn import DrawnViews


class TeacherSpace(StrEnum):
    """Feature space in which student and teacher are compared.

    FEATURE: the teacher's channels, centred over the sampled points; no layer on the teacher is trained.
    LEARNED: channels of a trained linear layer on the frozen features, as in the prototype.
    """

    FEATURE = "feature"
    LEARNED = "learned"


class Weighting(StrEnum):
    """REGION: each region has the same weight (published). POINT: each point inside a region has (for comparison)."""

    REGION = "region"
    POINT = "point"


class RAD(FrozenParts):
    """Pretrains the camera branch `backbone` with the frozen LiDAR backbone `teacher`.

    Args:
        backbone: camera branch with `out_channels` and `grid`, from images to BevFeatures.
        teacher: LiDAR backbone; its weights must be given (`pc-ssl pretrain --init teacher=FILE`), and stay frozen.
        views: gives the view and the sampled points, inside the grids of both networks.
        hidden_channels: channels of the student's projector.
        embedding_channels: D of `TeacherSpace.LEARNED`; 64 in the prototype.
        temperature: 0.1 in the prototype.
        teacher_space: see `TeacherSpace`; reconstructed.
        weighting: see `Weighting`.
        objective: instead of InfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: temperature is not positive, or a name is unknown.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ("teacher",)
    networks: ClassVar[tuple[str, ...]] = ("backbone", "teacher")

    def __init__(
        self,
        backbone: CameraBackbone,
        teacher: Backbone,
        views: DrawnViews,
        hidden_channels: int = 256,
        embedding_channels: int = 64,
        temperature: float = 0.1,
        teacher_space: str = TeacherSpace.LEARNED,
        weighting: str = Weighting.REGION,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"need temperature > 0, got {temperature}")
        self.backbone, self.teacher = backbone, teacher
        self.temperature, self.objective = temperature, as_objective(objective)
        self.teacher_space, self.weighting = TeacherSpace(teacher_space), Weighting(weighting)
        learned = self.teacher_space is TeacherSpace.LEARNED
        channels = embedding_channels if learned else teacher.out_channels
        self.projector = Projector(backbone.out_channels, hidden_channels, channels)
        self.teacher_projector = nn.Linear(teacher.out_channels, channels) if learned else nn.Identity()
        self.views = views
        self.freeze("teacher")

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss", its chance level, `collapse_monitors` and `negative_monitors`; each a scalar.

        With fewer than two sampled points the loss and its gradient are zero.
        """
        assert batch.cameras is not None
        assert batch.drawn is not None
        feature = self.backbone(batch.cameras, batch.points).at_points(batch.points, batch.drawn)
        with torch.no_grad():
            target = self.teacher(batch.points).at_points(batch.points, batch.drawn).float()
        student = self.projector.embeddings(feature)
        rows = batch.drawn[: len(student)]  # empty if `embeddings` returns no rows
        if self.teacher_space is TeacherSpace.FEATURE:
            target = target - target.mean(dim=0)
        teacher = normalize(self.teacher_projector(target[: len(rows)]).float(), dim=1)
        region = batch.region[rows]
        weight = region_weight(region) if self.weighting is Weighting.REGION else (region >= 0).float()
        loss = region_aware_distillation(student, teacher, region, self.temperature, weight, self.objective)
        return {
            "loss": loss,
            "by_chance": torch.tensor(chance_level(len(student)), device=student.device),
            **collapse_monitors(student, teacher),
            **negative_monitors(student, teacher, self.temperature),
        }
