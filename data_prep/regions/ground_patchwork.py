"""Ground by Patchwork++.

Lee et al., "Patchwork++: Fast and Robust Ground Segmentation Solving Partial Under-Segmentation Using 3D Point Cloud",
IROS 2022, with its authors' library pypatchworkpp: planes in the cells of a polar grid, with adaptive thresholds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.mount import SensorMount
from pc_ssl.extras import extra


@dataclass(frozen=True)
class PatchworkGround:
    """Ground by Patchwork++ with the library's default parameters, except those below.

    Each frame starts with the library's initial thresholds, so that a frame's ground does not depend on the frames
    prepared before it. The removal of reflections from below the ground, which needs intensities, is off.

    Args:
        min_range, max_range: metres; nearer or farther points are not ground.
    """

    min_range: float = 2.7
    max_range: float = 80.0

    def __call__(self, xyz: NDArray[np.float32], mount: SensorMount) -> NDArray[np.bool_]:
        """xyz [N, 3] metres, LiDAR frame, z up -> [N] bool, True for ground."""
        with extra("patchwork", "the ground of patchwork++"):
            from pypatchworkpp import Parameters, patchworkpp

        parameters = Parameters()
        parameters.verbose = False
        parameters.enable_RNR = False
        parameters.sensor_height = mount.height_in(xyz)
        parameters.min_range, parameters.max_range = self.min_range, self.max_range
        ground = np.zeros(len(xyz), bool)
        if len(xyz):
            with _silent():
                segmentation = patchworkpp(parameters)
            segmentation.estimateGround(np.asfortranarray(xyz, np.float32))
            ground[segmentation.getGroundIndices()] = True
        return ground


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress standard output: the library prints a message for each object, even if not `verbose`."""
    output = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(output, 1)
        os.close(nowhere)
        os.close(output)
