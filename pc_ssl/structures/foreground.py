"""Two views of each point cloud, with foreground and background points in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.structures.pairs import PairBatch, PairSample


@dataclass(frozen=True)
class ForegroundSample:
    """Two views of one keyframe.

    Args:
        pairs: the views, and S points of both with their segments.
        foreground: [S] bool: whether each of these points is foreground.
    """

    pairs: PairSample
    foreground: Tensor


@dataclass(frozen=True)
class ForegroundBatch:
    """Packed samples of B frames.

    Args:
        pairs: the views, and S points of both with their segments.
        foreground: [S] bool: whether each of these points is foreground.

    Raises:
        ValueError: the lengths disagree.
    """

    pairs: PairBatch
    foreground: Tensor

    def __post_init__(self) -> None:
        if self.foreground.shape != self.pairs.region.shape:
            raise ValueError(
                f"ForegroundBatch: foreground {list(self.foreground.shape)} and region "
                f"{list(self.pairs.region.shape)} must be of one shape"
            )

    @property
    def tokens(self) -> tuple[str, ...]:
        """B names of frames."""
        return self.pairs.tokens

    @classmethod
    def pack(cls, samples: Sequence[ForegroundSample]) -> ForegroundBatch:
        """Pack samples into one batch."""
        pairs = PairBatch.pack([sample.pairs for sample in samples])
        return cls(pairs, torch.cat([sample.foreground for sample in samples]))

    def to(self, device: torch.device | str) -> ForegroundBatch:
        return ForegroundBatch(self.pairs.to(device), self.foreground.to(device))
