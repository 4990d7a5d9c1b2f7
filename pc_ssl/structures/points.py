"""A packed batch of point clouds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PointBatch:
    """Frame b is the rows offsets[b]:offsets[b + 1]; no padding.

    Args:
        points: [N, 3 + F] float32: x, y, z in metres in the frame of the view, then F features (intensity in [0, 1],
            time lag in seconds).
        offsets: [B + 1] int64 on the CPU; offsets[0] == 0 and offsets[-1] == N.

    Raises:
        ValueError: the shapes disagree.
    """

    points: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] < 3:
            raise ValueError(f"PointBatch: points must be [N, 3 + F], got {tuple(self.points.shape)}")
        if self.offsets.device.type != "cpu" or self.offsets.ndim != 1 or len(self.offsets) < 1:
            raise ValueError(f"PointBatch: offsets must be [B + 1] on the CPU, got {tuple(self.offsets.shape)}")
        if int(self.offsets[0]) != 0 or int(self.offsets[-1]) != len(self.points):
            raise ValueError(f"PointBatch: offsets must run from 0 to {len(self.points)}, got {self.offsets.tolist()}")

    @classmethod
    def pack(cls, points: Sequence[Tensor]) -> PointBatch:
        """Pack point clouds [N_b, 3 + F] into one batch."""
        lengths = torch.tensor([0] + [len(cloud) for cloud in points])
        return cls(torch.cat(list(points)), lengths.cumsum(0))

    @property
    def num_frames(self) -> int:
        return len(self.offsets) - 1

    @property
    def xyz(self) -> Tensor:
        """[N, 3] metres."""
        return self.points[:, :3]

    def frame_index(self) -> Tensor:
        """[N] int64 on the device of the points: the frame of each point."""
        lengths = self.offsets.diff().to(self.points.device)
        return torch.repeat_interleave(torch.arange(self.num_frames, device=self.points.device), lengths)

    def to(self, device: torch.device | str) -> PointBatch:
        return PointBatch(self.points.to(device), self.offsets)
