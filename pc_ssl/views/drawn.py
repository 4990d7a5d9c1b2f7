"""One view of all sensors, and points sampled inside and outside regions, as PRC samples them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pc_ssl.geometry import BevGrid
from pc_ssl.structures import Scene, SensorSample
from pc_ssl.views.lidar import draw_rows, inside_all
from pc_ssl.views.sensors import SensorViews


@dataclass(frozen=True)
class DrawnViews:
    """A view of points and images, and points inside and outside regions to compare features at.

    Args:
        sensors: gives the view; it reads images.
        inside: number of points sampled inside regions; all of them if there are fewer.
        outside: number of points sampled outside regions; all of them if there are fewer.

    Raises:
        ValueError: an argument is out of range, or `sensors` reads no images.
    """

    sensors: SensorViews
    inside: int = 1024
    outside: int = 1024

    def __post_init__(self) -> None:
        if self.inside < 0 or self.outside < 0 or self.inside + self.outside == 0:
            raise ValueError(f"DrawnViews: cannot draw {self.inside} points inside and {self.outside} outside regions")
        if self.sensors.images is None:
            raise ValueError("DrawnViews: `sensors` must read images")

    @property
    def reads(self) -> frozenset[str]:
        return self.sensors.reads

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> SensorSample:
        """The view, and points of the keyframe inside all of `grids`; the sampled points inside regions come first."""
        sample = self.sensors(scene, rng)
        drawable = scene.keyframe & inside_all(sample.points, grids)
        inside = draw_rows(drawable & (sample.region >= 0), self.inside, rng)
        outside = draw_rows(drawable & (sample.region < 0), self.outside, rng)
        return replace(sample, drawn=torch.cat([inside, outside]))
