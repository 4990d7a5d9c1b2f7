"""Regions by HDBSCAN over merged sweeps, as TARL cuts them.

Campello et al., "Density-Based Clustering Based on Hierarchical Density Estimates", PAKDD 2013, through scikit-learn.
TARL (Nunes et al., CVPR 2023) clusters the merged cloud of 12 sweeps without its ground, with min_cluster_size 20, and
keeps the 50 largest clusters. One thing is added: the cloud is thinned to one point per voxel first, since
scikit-learn's minimum spanning tree takes time with the square of the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.numbering import numbered
from data_prep.regions.voxels import thinned


@dataclass(frozen=True)
class HdbscanRegions:
    """Clusters the points of all merged sweeps that are not ground.

    Args:
        min_cluster_size: voxels; of the smallest cluster, and the neighbour that tells a point's density.
        voxel_size: metres; of the thinning before.
        largest: clusters with the most points that become regions.
    """

    over_sweeps: ClassVar[bool] = True
    min_cluster_size: int = 20
    voxel_size: float = 0.1
    largest: int = 50

    def __call__(self, xyz: NDArray[np.float32], ground: NDArray[np.bool_]) -> NDArray[np.int32]:
        """xyz [N, 3] metres, LiDAR frame; ground [N] -> [N] int32: region 0..R - 1 of each point, -1 for none."""
        from sklearn.cluster import HDBSCAN

        above = np.flatnonzero(~ground)
        voxel_xyz, voxel_of_point = thinned(xyz[above], self.voxel_size)
        region = np.full(len(xyz), -1, np.int32)
        if len(voxel_xyz) >= self.min_cluster_size:
            cluster = HDBSCAN(min_cluster_size=self.min_cluster_size, copy=True).fit_predict(voxel_xyz)
            region[above] = cluster[voxel_of_point]
        return numbered(region, largest=self.largest)
