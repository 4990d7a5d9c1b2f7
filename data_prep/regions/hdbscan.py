"""Regions by HDBSCAN over merged sweeps, as in TARL.

Campello et al., "Density-Based Clustering Based on Hierarchical Density Estimates", PAKDD 2013. TARL (Nunes et al.,
CVPR 2023) clusters the merged cloud of 12 sweeps without its ground, with min_cluster_size 20, and keeps the 50 largest
clusters. Here the cloud is first thinned to one point per voxel, of the size of TARL's network, so that the density
does not depend on the number of sweeps that saw a surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.density_clusters import stable_clusters
from data_prep.regions.density_tree import reachability_tree
from data_prep.regions.numbering import numbered
from data_prep.regions.voxels import thinned


@dataclass(frozen=True)
class HdbscanRegions:
    """Clusters the points of all merged sweeps that are not ground.

    Args:
        min_cluster_size: voxels; of the smallest cluster, and of the neighbourhood of the core distance.
        voxel_size: metres; of the thinning before clustering.
        largest: number of clusters, those with the most points, that become regions.
    """

    over_sweeps: ClassVar[bool] = True
    min_cluster_size: int = 20
    voxel_size: float = 0.05
    largest: int = 50

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Regions [N] of one cloud, see `RegionGenerator`."""
        above = np.flatnonzero(~ground)
        voxel_xyz, voxel_of_point = thinned(xyz[above], self.voxel_size)
        region = np.full(len(xyz), -1, np.int32)
        region[above] = hdbscan(voxel_xyz, self.min_cluster_size, self.min_cluster_size)[voxel_of_point]
        return numbered(region, largest=self.largest)


def hdbscan(xyz: NDArray[np.float64], min_cluster_size: int, min_samples: int) -> NDArray[np.int64]:
    """Cluster points.

    Args:
        xyz: [N, 3], in any unit, finite.
        min_cluster_size: points of the smallest cluster, 2 or more.
        min_samples: rank of the neighbour at the core distance, the point itself included, 1 or more (scikit-learn's
            default is min_cluster_size).

    Returns:
        [N]: the cluster of each point, any number from 0; -1 for noise. Equal to scikit-learn's clusters up to ties:
        a point equally far from two clusters may be in either, or in none.

    Raises:
        ValueError: the shape, min_cluster_size or min_samples is wrong.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise ValueError(f"hdbscan: points must be [N, 3], got {xyz.shape}")
    if min_cluster_size < 2 or min_samples < 1:
        raise ValueError(
            f"hdbscan: min_cluster_size must be 2 or more and min_samples 1 or more, got {min_cluster_size} and "
            f"{min_samples}"
        )
    if len(xyz) < max(min_cluster_size, min_samples):
        return np.full(len(xyz), -1)
    return stable_clusters(*reachability_tree(xyz, min_samples), min_cluster_size)
