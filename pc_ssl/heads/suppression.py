"""Suppression of duplicate detections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pc_ssl.ops import circle_nms, rotated_nms
from pc_ssl.structures import Boxes3D

MAX_BOXES = 500  # of one frame; nuScenes' detection task takes no more


class Suppression(Protocol):
    """Rows of the predictions that stay, highest score first, at most MAX_BOXES.

    Predictions suppress only others of the same group (a number).
    """

    def __call__(self, box: Tensor, score: Tensor, group: Tensor, label: Tensor) -> Tensor:
        """box [N, 9], score [N], group and label [N] int64 -> [n] int64."""
        ...


@dataclass(frozen=True)
class RotatedNms:
    """Drops boxes whose overlap with a box of higher score, seen from above, exceeds a threshold.

    Args:
        threshold: intersection over union; 0.2 in CenterPoint's reference code.
    """

    threshold: float = 0.2

    def __call__(self, box: Tensor, score: Tensor, group: Tensor, label: Tensor) -> Tensor:
        """box [N, 9], score [N], group and label [N] int64 -> [n] int64."""
        return rotated_nms(box, score, self.threshold, classes=group, max_kept=MAX_BOXES)


@dataclass(frozen=True)
class CircleNms:
    """Drops boxes whose centre, seen from above, is within a distance of that of a box of higher score.

    Args:
        distance: of each group, metres. CenterPoint's reference code compares squared distances with 4, 12, 10, 1, 0.85
            and 0.175 for its six groups: see `CENTER_POINT_CIRCLES`.
    """

    distance: tuple[float, ...]

    def __call__(self, box: Tensor, score: Tensor, group: Tensor, label: Tensor) -> Tensor:
        """box [N, 9], score [N], group and label [N] int64 -> [n] int64."""
        return circle_nms(box, score, torch.tensor(self.distance), classes=group, max_kept=MAX_BOXES)


@dataclass(frozen=True)
class MixedNms:
    """Circles in some groups and rotated boxes in the others, as BEVFusion suppresses camera-only detections.

    (mit-han-lab/bevfusion, configs/nuscenes/det/centerhead/lssfpn/camera, nms_type and nms_scale.) Boxes of small
    objects detected twice hardly overlap, so length and width are scaled first.

    Args:
        distance: of each group, metres, as in CircleNms; None: rotated boxes.
        threshold: intersection over union of rotated boxes, as in RotatedNms.
        scale: factor of each class on length and width of rotated boxes.

    Raises:
        ValueError: a distance or a scale is not positive.
    """

    distance: tuple[float | None, ...]
    threshold: float
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if min(*self.scale, *(distance for distance in self.distance if distance is not None)) <= 0:
            raise ValueError(f"MixedNms: distance {self.distance} and scale {self.scale} must be positive")

    def __call__(self, box: Tensor, score: Tensor, group: Tensor, label: Tensor) -> Tensor:
        """box [N, 9], score [N], group and label [N] int64 -> [n] int64."""
        by_circle = torch.tensor([distance is not None for distance in self.distance], device=box.device)[group]
        enlarged = box.clone()
        enlarged[:, 3:5] *= box.new_tensor(self.scale)[label, None]
        circles = CircleNms(tuple(distance or 0.0 for distance in self.distance))
        kept = [
            rows[rule(boxes[rows], score[rows], group[rows], label[rows])]
            for rows, rule, boxes in (
                (by_circle.nonzero()[:, 0], circles, box),
                ((~by_circle).nonzero()[:, 0], RotatedNms(self.threshold), enlarged),
            )
        ]
        both = torch.cat(kept)
        return both[score[both].argsort(descending=True, stable=True)[:MAX_BOXES]]


@dataclass(frozen=True)
class KeepAll:
    """Drops only the boxes beyond MAX_BOXES."""

    def __call__(self, box: Tensor, score: Tensor, group: Tensor, label: Tensor) -> Tensor:
        """box [N, 9], score [N], group and label [N] int64 -> [n] int64."""
        return score.argsort(descending=True, stable=True)[:MAX_BOXES]


CENTER_POINT_CIRCLES = CircleNms(tuple(math.sqrt(squared) for squared in (4, 12, 10, 1, 0.85, 0.175)))


def suppressed(
    candidates: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], score_threshold: float, suppression: Suppression
) -> Boxes3D:
    """The predictions of one frame after suppression.

    Args:
        candidates: parts of (box [n, 9], score [n], label [n], group [n]).
        score_threshold: candidates with this score or less are left out.
        suppression: applied to the others.
    """
    box, score, label, group = (torch.cat(values) for values in zip(*candidates, strict=True))
    high = score > score_threshold
    box, score, label, group = box[high], score[high], label[high], group[high]
    kept = suppression(box, score, group, label)
    return Boxes3D(box[kept], label[kept], score=score[kept])
