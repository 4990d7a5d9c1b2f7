"""Random subsets of the sweeps of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Scene


@dataclass(frozen=True)
class DrawnSweeps(SceneTransform):
    """Keeps the keyframe and `count` of the earlier sweeps, sampled for each draw.

    CLIP2Scene's code samples two of ten (runnanchen/CLIP2Scene, `np.random.choice` in its data set).

    Args:
        count: number of earlier sweeps to keep; all of them if there are fewer.

    Raises:
        ValueError: count is negative.
    """

    count: int = 2

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"DrawnSweeps: count {self.count} must not be negative")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The scene with only the points of the drawn sweeps."""
        sweep = scene.sweep()
        earlier = int(sweep.max()) if len(sweep) else 0
        drawn = rng.permutation(earlier)[: self.count] + 1
        return scene.keep(torch.isin(sweep, torch.tensor([0, *drawn.tolist()])))
