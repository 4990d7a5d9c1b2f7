"""Point clouds with a class per point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.structures.points import PointBatch

IGNORE = 0  # the class of points that are neither trained on nor counted


@dataclass(frozen=True)
class SegmentationSample:
    """One view of one keyframe.

    Args:
        token: the frame's name in its data set.
        points: [N, 3 + F] float32: x, y, z in metres in the frame of the view, then features.
        label: [N] uint8 class of each point, 0 means ignore.

    Raises:
        ValueError: lengths disagree.
    """

    token: str
    points: Tensor
    label: Tensor

    def __post_init__(self) -> None:
        if self.label.shape != (len(self.points),):
            raise ValueError(f"{self.token}: label must be [{len(self.points)}], got {tuple(self.label.shape)}")


@dataclass(frozen=True)
class SegmentationBatch:
    """Packed samples.

    Args:
        tokens: B names of frames.
        points: B packed clouds of N points together.
        label: [N] int64 class of each point, 0 means ignore.

    Raises:
        ValueError: lengths disagree.
    """

    tokens: tuple[str, ...]
    points: PointBatch
    label: Tensor

    def __post_init__(self) -> None:
        if len(self.tokens) != self.points.num_frames or self.label.shape != (len(self.points.points),):
            raise ValueError(
                f"SegmentationBatch: {len(self.tokens)} tokens and labels {tuple(self.label.shape)} do not fit "
                f"{self.points.num_frames} frames with {len(self.points.points)} points"
            )

    @classmethod
    def pack(cls, samples: Sequence[SegmentationSample]) -> SegmentationBatch:
        """Pack samples into one batch."""
        return cls(
            tokens=tuple(sample.token for sample in samples),
            points=PointBatch.pack([sample.points for sample in samples]),
            label=torch.cat([sample.label for sample in samples]).long(),
        )

    def to(self, device: torch.device | str) -> SegmentationBatch:
        return SegmentationBatch(self.tokens, self.points.to(device), self.label.to(device))
