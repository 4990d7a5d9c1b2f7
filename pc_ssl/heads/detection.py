"""Detection of boxes on a BEV encoder, trained end to end."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pc_ssl.heads.attributes import attributes_of
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.transfusion import TransFusionHead
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.structures import Boxes3D, SensorBatch
from pc_ssl.views.sensors import SensorViews


class DetectionTask(nn.Module):
    """A BEV encoder and a detection head.

    Args:
        backbone: of LiDAR, cameras or both.
        head: takes the encoder's channels.
        views: training views with boxes; with images where the encoder has a camera branch.
        class_balanced: whether frames are sampled so that the classes occur equally often
            (`data/class_balance.py`); read by the engine.

    Raises:
        ValueError: the head's channels are not the encoder's, or the views lack boxes or images.
    """

    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: BevEncoder,
        head: CenterPointHead | TransFusionHead,
        views: SensorViews,
        class_balanced: bool = False,
    ) -> None:
        super().__init__()
        if head.in_channels != backbone.out_channels:
            raise ValueError(
                f"DetectionTask: head.in_channels is {head.in_channels}, the backbone gives {backbone.out_channels}"
            )
        if not views.boxes or (backbone.uses_cameras and views.images is None):
            raise ValueError("DetectionTask: views must give boxes, and images to an encoder with a camera branch")
        self.backbone, self.head, self.views, self.class_balanced = backbone, head, views, class_balanced
        self.class_names = head.class_names

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss" and the terms of the head; each a scalar."""
        assert batch.boxes is not None
        return self.head.loss(self.head(self.backbone(batch.points, batch.cameras)), batch.boxes)

    @torch.no_grad()
    def predict(self, batch: SensorBatch) -> list[Boxes3D]:
        """The boxes of each frame in the frame of the view, highest score first; call it in eval mode.

        `label` is an index into `class_names`, `attribute` one into `attributes.ATTRIBUTES`.
        """
        found = self.head.decode(self.head(self.backbone(batch.points, batch.cameras)))
        return [
            replace(boxes, attribute=attributes_of(self.class_names, boxes.label, boxes.box[:, 7:9])) for boxes in found
        ]
