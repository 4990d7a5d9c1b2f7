"""Two views of each point cloud, with points in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.structures.points import PointBatch


@dataclass(frozen=True)
class PairSample:
    """Two views of one keyframe, and S points sampled in both.

    Args:
        token: the frame's name in its data set.
        first: [N1, 3 + F] float32: x, y, z in metres in the frame of the first view, then features.
        second: [N2, 3 + F] float32, in the frame of the second view.
        first_row: [S] int64: the row of each sampled point in `first`.
        second_row: [S] int64: the row of the same point in `second`.
        region: [S] int64: the region of each sampled point in 0..num_regions - 1; -1 means none.
        num_regions: R.

    Raises:
        ValueError: the lengths disagree, or a row or region is out of range.
    """

    token: str
    first: Tensor
    second: Tensor
    first_row: Tensor
    second_row: Tensor
    region: Tensor
    num_regions: int

    def __post_init__(self) -> None:
        if not self.first_row.shape == self.second_row.shape == self.region.shape == (len(self.region),):
            raise ValueError(
                f"{self.token}: first_row {tuple(self.first_row.shape)}, second_row {tuple(self.second_row.shape)} and "
                f"region {tuple(self.region.shape)} must be vectors of one length"
            )
        _check_range(self.token, "first_row", self.first_row, 0, len(self.first))
        _check_range(self.token, "second_row", self.second_row, 0, len(self.second))
        _check_range(self.token, "region", self.region, -1, self.num_regions)


@dataclass(frozen=True)
class PairBatch:
    """Packed pairs of views: B frames, S sampled points together.

    Args:
        tokens: B names of frames.
        first: B packed clouds, the first views.
        second: B packed clouds, the second views.
        first_row: [S] int64: the row of each sampled point in `first.points`.
        second_row: [S] int64: the row of the same point in `second.points`.
        region: [S] int64: the region of each sampled point, unique over the batch; -1 means none.
        num_regions: number of regions of all frames together.
        frame: [S] int64: the frame of each sampled point, 0..B - 1, ascending.

    Raises:
        ValueError: the lengths disagree.
    """

    tokens: tuple[str, ...]
    first: PointBatch
    second: PointBatch
    first_row: Tensor
    second_row: Tensor
    region: Tensor
    num_regions: int
    frame: Tensor

    def __post_init__(self) -> None:
        if not len(self.tokens) == self.first.num_frames == self.second.num_frames:
            raise ValueError(
                f"PairBatch: {len(self.tokens)} tokens, {self.first.num_frames} first and {self.second.num_frames} "
                "second views"
            )
        shapes = {tuple(value.shape) for value in (self.first_row, self.second_row, self.region, self.frame)}
        if len(shapes) != 1:
            raise ValueError(f"PairBatch: first_row, second_row, region and frame have the shapes {sorted(shapes)}")

    @classmethod
    def pack(cls, samples: Sequence[PairSample]) -> PairBatch:
        """Pack samples into one batch: rows and region ids are offset so that they are unique over the batch."""
        first = PointBatch.pack([sample.first for sample in samples])
        second = PointBatch.pack([sample.second for sample in samples])
        region_offset = torch.tensor([0] + [sample.num_regions for sample in samples]).cumsum(0)
        frame = [torch.full_like(sample.region, b) for b, sample in enumerate(samples)]
        region = [
            torch.where(sample.region < 0, -1, sample.region + start)
            for sample, start in zip(samples, region_offset[:-1], strict=True)
        ]
        return cls(
            tokens=tuple(sample.token for sample in samples),
            first=first,
            second=second,
            first_row=torch.cat([s.first_row + start for s, start in zip(samples, first.offsets[:-1], strict=True)]),
            second_row=torch.cat([s.second_row + start for s, start in zip(samples, second.offsets[:-1], strict=True)]),
            region=torch.cat(region),
            num_regions=int(region_offset[-1]),
            frame=torch.cat(frame),
        )

    def to(self, device: torch.device | str) -> PairBatch:
        return PairBatch(
            tokens=self.tokens,
            first=self.first.to(device),
            second=self.second.to(device),
            first_row=self.first_row.to(device),
            second_row=self.second_row.to(device),
            region=self.region.to(device),
            num_regions=self.num_regions,
            frame=self.frame.to(device),
        )


def _check_range(token: str, name: str, value: Tensor, low: int, high: int) -> None:
    outside = value[(value < low) | (value >= high)]
    if len(outside):
        raise ValueError(f"{token}: {name} holds {int(outside[0])}, expected {low}..{high - 1}")
