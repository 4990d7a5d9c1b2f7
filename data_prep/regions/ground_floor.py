"""The floor of a room: the level plane among the lowest points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.ground_ransac import RansacGround
from data_prep.regions.mount import SensorMount


@dataclass(frozen=True)
class FloorGround:
    """A plane through the lowest points; the largest plane of all points might be a ceiling or a table.

    Args:
        share: percentile of the heights that is used as the floor's height, as VoteNet does for ScanNet (0.99).
        reach: metres above and below that height in which the plane is fitted, for sloping and sagging floors.
        thickness: metres to either side of the plane; twice the deviation of ScanNet's reconstructions.
    """

    share: float = 0.99
    reach: float = 0.2
    thickness: float = 0.05

    def __call__(self, xyz: NDArray[np.float32], mount: SensorMount) -> NDArray[np.bool_]:
        """xyz [N, 3] metres, z up -> [N] bool, True for the floor; all False without a level plane there."""
        ground = np.zeros(len(xyz), bool)
        if len(xyz):
            low = np.flatnonzero(np.abs(xyz[:, 2] - np.percentile(xyz[:, 2], self.share)) <= self.reach)
            ground[low] = RansacGround(self.thickness)(np.ascontiguousarray(xyz[low]), mount)
        return ground
