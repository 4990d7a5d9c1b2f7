"""SegContrast: a segment is contrasted with itself in another view, among the segments of many scans.

Nunes et al., "SegContrast: 3D Point Cloud Feature Representation Learning through Self-supervised Segment
Discrimination", RA-L 2022, and its code. Published: segments by ground removal (RANSAC) and DBSCAN in space, a momentum
encoder, a queue of segments, InfoNCE at 0.1; in the code dropout of 0.4 on the features before the maximum, and a
projection of two linear layers without batch norm, so that a segment's embedding does not depend on the others of its
batch. Ours: the segments of the batch are negatives too, in addition to the queue.

1. Views: two augmented views of one cloud, each with points left out, and points of segments in both.
2. Forward: the backbone's features in the first view, a momentum teacher's in the second; pooled over each segment,
   projected, L2 normalised: q and k.
3. Loss: InfoNCE of q against k of all segments of the batch and of the queue; then k is appended to the queue.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from pc_ssl.losses import MemoryQueue, MomentumTeacher
from pc_ssl.losses.monitors import collapse_monitors, negative_monitors
from pc_ssl.losses.objectives import Objective, ObjectiveName, as_objective
from pc_ssl.losses.point_region import chance_level
from pc_ssl.models.projector import Projector
from pc_ssl.ops import region_pool, region_softmax
from pc_ssl.protocols import Backbone
from pc_ssl.structures import PairBatch
from pc_ssl.views.lidar import PairViews


class SegmentPooling(StrEnum):
    """How points are pooled. MAX: maximum of each channel. ATTENTION: mean with learned weights."""

    MAX = "max"
    ATTENTION = "attention"


class SegmentHead(nn.Module):
    """Pools points [N, C] over segments, and projects the segments to unit length."""

    def __init__(
        self, channels: int, hidden_channels: int, embedding_channels: int, pooling: SegmentPooling, dropout: float
    ) -> None:
        super().__init__()
        self.pooling, self.dropout = pooling, nn.Dropout(dropout)
        self.score = nn.Linear(channels, 1) if pooling is SegmentPooling.ATTENTION else None
        self.projector = Projector(channels, hidden_channels, embedding_channels, batch_norm=False)

    def forward(self, feature: Tensor, segment: Tensor, num_segments: int) -> Tensor:
        """[R, D] float32 of feature [N, C], segment [N] in 0..R - 1; [0, D] if R is below 2."""
        feature = self.dropout(feature)
        if self.score is None:
            pooled = region_pool(feature, segment, num_segments, "max")
        else:
            weight = region_softmax(self.score(feature), segment, num_segments)
            pooled = region_pool(feature * weight.to(feature.dtype), segment, num_segments, "sum")
        return self.projector.embeddings(pooled)


class SegContrast(nn.Module):
    """Pretrains `backbone` by discrimination of segments.

    Args:
        backbone: LiDAR backbone with `out_channels`, from points to BevFeatures or PointFeatures.
        views: gives the two views, and points of segments; points outside segments are ignored.
        pooling: "max" or "attention".
        hidden_channels: channels of the projector's hidden layer; 128 in the code.
        embedding_channels: D; 128 in the code.
        dropout: share of the channels of points that are set to zero before pooling; 0.4 in the code.
        temperature: 0.1 in the paper.
        momentum: of the teacher.
        queue_size: segments in the queue.
        objective: instead of InfoNCE (`losses/objectives.py`).

    Raises:
        ValueError: temperature is not positive, momentum not in 0..1, dropout not in 0..1, or pooling is not one of the
            two.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        views: PairViews,
        pooling: str = SegmentPooling.MAX,
        hidden_channels: int = 128,
        embedding_channels: int = 128,
        dropout: float = 0.4,
        temperature: float = 0.1,
        momentum: float = 0.999,
        queue_size: int = 65536,
        objective: ObjectiveName | Objective = "info_nce",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"need temperature > 0, got {temperature}")
        self.backbone = backbone
        self.head = SegmentHead(
            backbone.out_channels, hidden_channels, embedding_channels, SegmentPooling(pooling), dropout
        )
        self.teacher_backbone = MomentumTeacher(cast(nn.Module, backbone), momentum)
        self.teacher_head = MomentumTeacher(self.head, momentum)
        self.queue = MemoryQueue(queue_size, embedding_channels)
        self.views = views
        self.temperature, self.objective = temperature, as_objective(objective)

    collate = staticmethod(PairBatch.pack)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """ "loss", its chance level, the number of segments, `collapse_monitors` and `negative_monitors`; each a
        scalar.

        In training mode the teacher is updated first, and the queue is extended at the end. With fewer than two
        segments the loss and its gradient are zero.
        """
        inside = batch.region >= 0
        ids, segment = batch.region[inside].unique(return_inverse=True)
        if self.training:
            self.teacher_backbone.update(cast(nn.Module, self.backbone))
            self.teacher_head.update(self.head)
        feature = self.backbone(batch.first).at_points(batch.first, batch.first_row[inside])
        query = self.head(feature, segment, len(ids))
        with torch.no_grad():
            feature = self.teacher_backbone(batch.second).at_points(batch.second, batch.second_row[inside])
            key = self.teacher_head(feature, segment, len(ids))
        candidate = torch.cat([key, self.queue()])
        loss = self.objective(query, candidate, temperature=self.temperature)
        if self.training:
            self.queue.push(key)
        return {
            "loss": loss,
            "by_chance": torch.tensor(chance_level(len(candidate)), device=query.device),
            "segments": torch.tensor(float(len(query)), device=query.device),
            **collapse_monitors(query.detach(), key),
            **negative_monitors(query, candidate, self.temperature),
        }
