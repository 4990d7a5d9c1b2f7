"""Which of several predictions of one object stays."""

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

    Predictions of one group (a number) are seen as rivals; those of different groups never are.
    """

    def __call__(self, box: Tensor, score: Tensor, group: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class RotatedNms:
    """Drops boxes whose overlap with a better one, seen from above, exceeds a threshold.

    Args:
        threshold: intersection over union; 0.2 in CenterPoint's reference code.
    """

    threshold: float = 0.2

    def __call__(self, box: Tensor, score: Tensor, group: Tensor) -> Tensor:
        """box [N, 9], score [N], group [N] int64 -> [n] int64."""
        return rotated_nms(box, score, self.threshold, classes=group, max_kept=MAX_BOXES)


@dataclass(frozen=True)
class CircleNms:
    """Drops boxes whose centre, seen from above, is at most so far from that of a better one.

    Args:
        distance: of each group, metres. CenterPoint's reference code compares squared distances with 4, 12, 10, 1, 0.85
            and 0.175 for its six groups: see `CENTER_POINT_CIRCLES`.
    """

    distance: tuple[float, ...]

    def __call__(self, box: Tensor, score: Tensor, group: Tensor) -> Tensor:
        """box [N, 9], score [N], group [N] int64 -> [n] int64."""
        return circle_nms(box, score, torch.tensor(self.distance), classes=group, max_kept=MAX_BOXES)


@dataclass(frozen=True)
class KeepAll:
    """Drops nothing but what exceeds MAX_BOXES."""

    def __call__(self, box: Tensor, score: Tensor, group: Tensor) -> Tensor:
        """box [N, 9], score [N], group [N] int64 -> [n] int64."""
        return score.argsort(descending=True, stable=True)[:MAX_BOXES]


CENTER_POINT_CIRCLES = CircleNms(tuple(math.sqrt(squared) for squared in (4, 12, 10, 1, 0.85, 0.175)))


def suppressed(
    candidates: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], score_threshold: float, suppression: Suppression
) -> Boxes3D:
    """The predictions of one frame.

    Args:
        candidates: parts of (box [n, 9], score [n], label [n], group [n]).
        score_threshold: candidates with this score or less are left out.
        suppression: chooses among the others.
    """
    box, score, label, group = (torch.cat(values) for values in zip(*candidates, strict=True))
    high = score > score_threshold
    box, score, label, group = box[high], score[high], label[high], group[high]
    kept = suppression(box, score, group)
    return Boxes3D(box[kept], label[kept], score=score[kept])
