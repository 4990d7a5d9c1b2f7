"""Pairs of camera frames of one room whose visible points overlap: which points each of two partial views holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pc_ssl.data.sampler import TooSmall
from pc_ssl.structures import Scene


@dataclass(frozen=True)
class FramePairs:
    """Draws two RGB-D frames of a room that see enough of the same points.

    PointContrast (Xie et al., ECCV 2020) pairs frames of ScanNet, every 25th of a recording, that overlap by at least
    30 %. Ours: a frame's points are those of the reconstructed room that are visible in it, where PointContrast takes
    the depth image's own; the overlap is the intersection over the smaller of the two sets of points; one frame is
    drawn uniformly of those with a partner, then one of its partners, where PointContrast draws from a list of pairs.

    Args:
        overlap: least overlap of two frames, in (0, 1].
        min_points: frames that see fewer points of the room are not drawn.

    Raises:
        ValueError: a number is out of range.
    """

    overlap: float = 0.3
    min_points: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= 1 or self.min_points < 1:
            raise ValueError(
                f"FramePairs: overlap is {self.overlap}, expected more than 0 and at most 1; min_points is "
                f"{self.min_points}, expected at least 1"
            )

    def draw(self, scene: Scene, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """[N] bool each: whether the first and the second frame see each point of the scene.

        Raises:
            TooSmall: no two frames of the scene overlap enough.
            ValueError: the scene was read without the points that its frames see.
        """
        if scene.visible is None:
            raise ValueError(f"{scene.token}: the scene was read without the points that are visible in its images")
        seen = np.zeros((len(scene.visible), len(scene.points)), dtype=np.bool_)
        for row, points in enumerate(scene.visible):
            seen[row, points.numpy()] = True
        seen = seen[np.count_nonzero(seen, axis=1) >= self.min_points]
        size = np.count_nonzero(seen, axis=1)
        for first in rng.permutation(len(seen)):
            shared = np.count_nonzero(seen & seen[first], axis=1)
            partner = shared / np.minimum(size, size[first]) >= self.overlap
            partner[first] = False
            if partner.any():
                second = rng.choice(np.flatnonzero(partner))
                return torch.from_numpy(seen[first]), torch.from_numpy(seen[second])
        raise TooSmall(
            f"frame {scene.token} has {len(scene.visible)} images, of which {len(seen)} see {self.min_points} points "
            f"or more and no two overlap by {self.overlap:.0%}"
        )
