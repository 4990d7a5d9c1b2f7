"""Point segmentation on a pretrained backbone: one linear layer, trained end to end.

SLidR (Sautier et al., CVPR 2022) fine-tunes this way: the head is a single linear layer and the loss is
cross-entropy + Lovasz-Softmax with equal weights, rows of class `ignore` left out of both. Its code computes the loss
on voxels, each with the label of the one point that it keeps (downstream/dataloader_nuscenes.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from pc_ssl.derived import NumClasses
from pc_ssl.errors import UserError
from pc_ssl.losses.lovasz import lovasz_softmax
from pc_ssl.models.features import BevFeatures, PointFeatures
from pc_ssl.models.voxelize import first_of_each
from pc_ssl.protocols import Backbone, TaskViews
from pc_ssl.structures import IGNORE, PointBatch, SegmentationBatch

Supervision = Literal["points", "voxel_majority", "voxel_first"]


class SegmentationTask(nn.Module):
    """A backbone and a linear head that give each point a class.

    Args:
        backbone: LiDAR backbone with `out_channels`; its features are read at every point of the input.
        view: turns a scene into a training sample; augments, and keeps every point.
        num_classes: number of classes with `ignore` as class 0; the head predicts the other num_classes - 1.
        class_weight: weights of the num_classes - 1 classes in the cross-entropy; None: equal weights.
        supervision: what the loss is computed on: "points"; or the backbone's voxels, each with the most frequent class
            of its labelled points ("voxel_majority", the lowest class on ties) or with the label of its first point
            ("voxel_first", as SLidR's code). Predictions are of points in each case.

    Raises:
        ValueError: the number of weights is not num_classes - 1, or supervision is none of the three.
    """

    class_weight: Tensor | None
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        view: TaskViews,
        num_classes: NumClasses = 17,
        class_weight: Sequence[float] | None = None,
        supervision: Supervision = "points",
    ) -> None:
        super().__init__()
        if supervision not in get_args(Supervision):
            raise ValueError(f"supervision is {supervision!r}, expected one of {', '.join(get_args(Supervision))}")
        if class_weight is not None and len(class_weight) != num_classes - 1:
            raise ValueError(f"class_weight must have {num_classes - 1} values, got {len(class_weight)}")
        self.backbone = backbone
        self.head = nn.Linear(backbone.out_channels, num_classes - 1)
        self.views, self.supervision = view, supervision
        weight = None if class_weight is None else torch.tensor(class_weight)
        self.register_buffer("class_weight", weight, persistent=False)

    collate = staticmethod(SegmentationBatch.pack)

    def forward(self, batch: SegmentationBatch) -> dict[str, Tensor]:
        """ "loss" = "cross_entropy" + "lovasz" over the labelled points or voxels, and their "accuracy"; scalars.

        Raises:
            UserError: supervision is by voxels, and the backbone gives a map.
        """
        features = self.backbone(batch.points)
        if self.supervision == "points":
            feature, label = features.at_points(batch.points), batch.label
        else:
            feature, label = self._voxels(features, batch.label)
        labelled = (label != IGNORE).nonzero()[:, 0]
        logits = self.head(feature[labelled]).float()
        target = label[labelled] - 1
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

    def _voxels(self, features: BevFeatures | PointFeatures, label: Tensor) -> tuple[Tensor, Tensor]:
        """Features [V, C] and labels [V] of the voxels."""
        if not isinstance(features, PointFeatures) or features.voxel is None:
            raise UserError(
                f"supervision {self.supervision!r} needs a backbone with a feature for each voxel, such as SparseUNet; "
                f'{type(self.backbone).__name__} has none: use supervision="points"'
            )
        count = len(features.feature)
        if self.supervision == "voxel_first":
            return features.feature, label[first_of_each(features.voxel, count)]
        return features.feature, majority_label(label, features.voxel, count)

    def logits(self, points: PointBatch) -> Tensor:
        """[N, num_classes - 1]: column k is class k + 1."""
        return self.head(self.backbone(points).at_points(points))

    @torch.no_grad()
    def predict(self, batch: SegmentationBatch) -> list[Tensor]:
        """[N_b] int64 of each frame: class 1..num_classes - 1 of every point; call it in eval mode."""
        label = self.logits(batch.points).argmax(dim=1) + 1
        return list(label.split(batch.points.offsets.diff().tolist()))


def majority_label(label: Tensor, voxel: Tensor, num_voxels: int) -> Tensor:
    """The most frequent class of the labelled points of each voxel, the lowest one on ties.

    Args:
        label: [N] int64; 0 means ignore, which is not counted.
        voxel: [N] int64: the voxel of each point; -1: none.
        num_voxels: V.

    Returns:
        [V] int64; 0 where no point is labelled.
    """
    counted = ((label != IGNORE) & (voxel >= 0)).nonzero()[:, 0]
    label, voxel = label[counted], voxel[counted]
    if len(label) == 0:
        return label.new_zeros(num_voxels)
    classes = int(label.max()) + 1
    votes = torch.bincount(voxel * classes + label, minlength=num_voxels * classes).reshape(num_voxels, classes)
    return votes.argmax(dim=1)
