"""Point segmentation on a pretrained backbone: one linear layer, trained end to end.

SLidR (Sautier et al., CVPR 2022) fine-tunes this way: the head is a single linear layer and the loss is
cross-entropy + Lovasz-Softmax with equal weights, points of class `ignore` left out of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from pc_ssl.derived import NumClasses
from pc_ssl.losses.lovasz import lovasz_softmax
from pc_ssl.protocols import Backbone, TaskViews
from pc_ssl.structures import IGNORE, PointBatch, SegmentationBatch


class SegmentationTask(nn.Module):
    """A backbone and a linear head that give each point a class.

    Args:
        backbone: LiDAR backbone with `out_channels`; its features are read at every point of the input.
        view: turns a scene into a training sample; augments, and keeps every point.
        num_classes: number of classes with `ignore` as class 0; the head predicts the other num_classes - 1.
        class_weight: weights of the num_classes - 1 classes in the cross-entropy; None: equal weights.

    Raises:
        ValueError: the number of weights is not num_classes - 1.
    """

    class_weight: Tensor | None
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        view: TaskViews,
        num_classes: NumClasses = 17,
        class_weight: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if class_weight is not None and len(class_weight) != num_classes - 1:
            raise ValueError(f"class_weight must have {num_classes - 1} values, got {len(class_weight)}")
        self.backbone = backbone
        self.head = nn.Linear(backbone.out_channels, num_classes - 1)
        self.views = view
        weight = None if class_weight is None else torch.tensor(class_weight)
        self.register_buffer("class_weight", weight, persistent=False)

    collate = staticmethod(SegmentationBatch.pack)

    def forward(self, batch: SegmentationBatch) -> dict[str, Tensor]:
        """ "loss" = "cross_entropy" + "lovasz" over the labelled points, and their "accuracy"; each a scalar."""
        labelled = batch.label != IGNORE
        logits = self.logits(batch.points)[labelled].float()
        target = batch.label[labelled] - 1
        if len(target) == 0:
            zero = logits.sum() * 0.0
            return {"loss": zero, "cross_entropy": zero.detach(), "lovasz": zero.detach(), "accuracy": zero.detach()}
        cross_entropy = nn.functional.cross_entropy(logits, target, weight=self.class_weight)
        lovasz = lovasz_softmax(logits.softmax(dim=1), target)
        return {
            "loss": cross_entropy + lovasz,
            "cross_entropy": cross_entropy.detach(),
            "lovasz": lovasz.detach(),
            "accuracy": (logits.argmax(dim=1) == target).float().mean(),
        }

    def logits(self, points: PointBatch) -> Tensor:
        """[N, num_classes - 1]: column k is class k + 1."""
        return self.head(self.backbone(points).at_points(points))

    @torch.no_grad()
    def predict(self, batch: SegmentationBatch) -> list[Tensor]:
        """[N_b] int64 of each frame: class 1..num_classes - 1 of every point; call it in eval mode."""
        label = self.logits(batch.points).argmax(dim=1) + 1
        return list(label.split(batch.points.offsets.diff().tolist()))
