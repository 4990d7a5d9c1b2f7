"""Regions by DBSCAN on the points that are not ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.grid_dbscan import dbscan
from data_prep.regions.size_filter import SizeFilter


@dataclass(frozen=True)
class DbscanRegions:
    """DBSCAN of the non-ground points and a size filter; `ground` is an input.

    CALICO (ICLR 2024): on x and y, eps 0.75 m, min_points 5, then `SizeFilter`. SegContrast (RA-L 2022): on x, y and z,
    without a filter.

    Args:
        eps: metres.
        min_points: neighbours of a core point, itself included.
        dimensions: 2 clusters in the plan view, 3 in space.
        keep: which clusters become regions; None keeps all.
    """

    over_sweeps: ClassVar[bool] = False
    eps: float
    min_points: int
    dimensions: int
    keep: SizeFilter | None

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Regions [N] of one cloud, see `RegionGenerator`."""
        above = np.flatnonzero(~ground)
        cluster = dbscan(xyz[above, : self.dimensions], self.eps, self.min_points)
        if self.keep is not None:
            kept = self.keep(xyz[above], cluster, height[above])
            number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)  # last entry: for noise
            cluster = number[cluster]
        region = np.full(len(xyz), -1, np.int32)
        region[above] = cluster
        return region
