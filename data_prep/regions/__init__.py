"""Region generators: each is a frozen dataclass of its parameters and a function (xyz, ground, height) -> region.

To add a generator, add a file here and an entry in GENERATORS.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.dbscan import DbscanRegions
from data_prep.regions.graph import GraphRegions
from data_prep.regions.ground import StripPlaneGround
from data_prep.regions.ground_floor import FloorGround
from data_prep.regions.ground_height import height_above_ground
from data_prep.regions.ground_patchwork import PatchworkGround
from data_prep.regions.ground_ransac import RansacGround
from data_prep.regions.hdbscan import HdbscanRegions
from data_prep.regions.mount import SensorMount
from data_prep.regions.random_boxes import RandomBoxRegions
from data_prep.regions.range_adaptive import RangeAdaptiveRegions
from data_prep.regions.size_filter import SizeFilter
from data_prep.regions.vccs import VccsRegions
from pc_ssl.protocols import RegionGenerator


class Ground(Protocol):
    """Finds the ground of one cloud; a frozen dataclass, whose fields are recorded in the cache's manifest."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, xyz: NDArray[np.float32], mount: SensorMount) -> NDArray[np.bool_]:
        """xyz [N, 3] metres, LiDAR frame, z up; mount: how the LiDAR is mounted -> [N] bool, True for ground."""
        ...


GROUNDS: dict[str, Ground] = {
    "strips": StripPlaneGround(),  # CALICO
    "patchworkpp": PatchworkGround(),  # as TARL, which uses Patchwork
    "ransac": RansacGround(thickness=0.25, trials=200),  # SegContrast's setting
    "floor": FloorGround(),  # of a room
}

GENERATORS: dict[str, RegionGenerator] = {
    "dbscan": DbscanRegions(eps=0.75, min_points=5, dimensions=2, keep=SizeFilter()),  # CALICO's setting
    "dbscan3d": DbscanRegions(eps=0.5, min_points=5, dimensions=3, keep=None),  # as SegContrast, eps for 32 beams
    "range_adaptive": RangeAdaptiveRegions(),
    "hdbscan": HdbscanRegions(min_cluster_size=20, voxel_size=0.05, largest=50),  # TARL's setting
    "vccs": VccsRegions(voxel_size=0.03, seed_resolution=1.0, neighbours=15, spread=0.4),  # FAC's setting
    "graph": GraphRegions(threshold=0.01, min_points=20),  # ScanNet's setting
    "random_boxes": RandomBoxRegions(),  # a control
}

__all__ = ["GENERATORS", "GROUNDS", "Ground", "RegionGenerator", "SensorMount", "height_above_ground"]
