"""Regions by random boxes, the control of experiments with clustering."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.numbering import numbered


@dataclass(frozen=True)
class RandomBoxRegions:
    """The points above ground in upright boxes of random position and size, in the plan view.

    CALICO's public prototype pads its list of clusters with such boxes; using them as the only regions is our control.
    The boxes are a function of the points and the seed. Where boxes overlap, points belong to the first one.

    Args:
        boxes: number of sampled boxes; those with fewer than `min_points` are dropped. 50 in the prototype.
        min_side, max_side: metres; each side is uniform between them; 0.5 and 5 in the prototype.
        reach: metres; centres are uniform in -reach..reach along x and y. 45 in the prototype.
        min_points: smallest number of points above ground of a region.
        seed: of the random generator.
    """

    over_sweeps: ClassVar[bool] = False
    boxes: int = 50
    min_side: float = 0.5
    max_side: float = 5.0
    reach: float = 45.0
    min_points: int = 5
    seed: int = 0

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Regions [N] of one cloud, see `RegionGenerator`."""
        rng = np.random.default_rng([self.seed, zlib.crc32(np.ascontiguousarray(xyz, "<f4").tobytes())])
        centre = rng.uniform(-self.reach, self.reach, (self.boxes, 2))
        half = rng.uniform(self.min_side, self.max_side, (self.boxes, 2)) / 2
        above = np.flatnonzero(~ground)
        xy = xyz[above, :2]
        region = np.full(len(xyz), -1, np.int32)
        for box in reversed(range(self.boxes)):  # so that the first box wins
            region[above[(np.abs(xy - centre[box]) <= half[box]).all(axis=1)]] = box
        return numbered(region, self.min_points)
