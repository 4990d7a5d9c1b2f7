"""Ground by planes fitted to strips of the cloud, as in CALICO's region generator.

Ground plane fitting of Zermas et al., "Fast Segmentation of 3D Point Clouds: A Paradigm on LiDAR Data for Autonomous
Vehicle Applications", ICRA 2017, with the parameters of CALICO's public prototype (ICLR 2024, jiachens/calico). Two
of its properties are kept: a seed removed from a plane is not added again in a later iteration, and points outside the
strips or in a strip with too few points are not ground. One is changed: normals point upwards, where the prototype's
sign is arbitrary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.mount import SensorMount


@dataclass(frozen=True)
class StripPlaneGround:
    """Fit one plane per strip; a point is ground if it is under the plane or at most `thickness` above it.

    Args:
        strip_width: metres across the driving direction; a strip runs along it, as in the prototype on nuScenes.
        reach: metres; strips begin at -reach, the last one before reach.
        below: metres below the expected ground from which seeds are taken; lower points are reflections.
        lowest: number of lowest points whose mean is the strip's initial height; a strip with fewer has no ground.
        seed_thickness: metres above that height up to which points are seeds of the first plane.
        thickness: metres above the plane up to which points are inliers.
        iterations: number of plane fits.
    """

    strip_width: float = 10.0
    reach: float = 54.0
    below: float = 0.5
    lowest: int = 50
    seed_thickness: float = 0.5
    thickness: float = 0.2
    iterations: int = 5

    def __call__(self, xyz: NDArray[np.float32], mount: SensorMount) -> NDArray[np.bool_]:
        """Ground [N] of one cloud, see `Ground`."""
        strips = int(np.ceil(2 * self.reach / self.strip_width))
        strip, seed = _seeds(
            xyz,
            0 if mount.forward == "y" else 1,
            strips,
            self.reach,
            self.strip_width,
            -mount.height_in(xyz) - self.below,
            self.lowest,
            self.seed_thickness,
        )
        normal, height = np.zeros((strips, 3)), np.full(strips, -np.inf)  # height: of a plane along its normal
        for _ in range(self.iterations):
            count, mean, covariance = _moments(xyz, strip, seed, strips)
            fitted = count > 0
            normal[fitted] = np.linalg.eigh(covariance[fitted])[1][:, :, 0]  # direction of the smallest variance
            normal[normal[:, 2] < 0] *= -1
            height[fitted] = (normal[fitted] * mean[fitted]).sum(axis=1)
            below = _below(xyz, strip, normal, height + self.thickness)
            seed &= below
        return below


@njit(cache=True, nogil=True)
def _seeds(
    xyz: NDArray, axis: int, strips: int, reach: float, width: float, floor: float, lowest: int, thickness: float
) -> tuple[NDArray, NDArray]:
    """strip [N] int32 of each point, by coordinate `axis`, -1: none; seed [N] bool: seeds of the first plane."""
    n = len(xyz)
    strip = np.full(n, -1, np.int32)
    size = np.zeros(strips, np.int64)
    low = np.full((strips, lowest), np.inf)  # the lowest heights of each strip, ascending
    for i in range(n):
        across = xyz[i, axis] + reach
        if 0 <= across < strips * width:
            s = min(int(across / width), strips - 1)
            strip[i] = s
            size[s] += 1
            z = xyz[i, 2]
            if z >= floor and z < low[s, -1]:
                place = lowest - 1
                while place > 0 and low[s, place - 1] > z:
                    low[s, place] = low[s, place - 1]
                    place -= 1
                low[s, place] = z
    limit = np.empty(strips)
    for s in range(strips):
        total, count = 0.0, 0
        for z in low[s]:
            if z < np.inf:
                total += z
                count += 1
        limit[s] = total / count + thickness if count > 0 and size[s] >= lowest else -np.inf
    seed = np.zeros(n, np.bool_)
    for i in range(n):
        seed[i] = strip[i] >= 0 and floor <= xyz[i, 2] < limit[strip[i]]
    return strip, seed


@njit(cache=True, nogil=True)
def _moments(xyz: NDArray, strip: NDArray, seed: NDArray, strips: int) -> tuple[NDArray, NDArray, NDArray]:
    """Count [S], mean [S, 3] and covariance [S, 3, 3] of the seeds of each strip."""
    count = np.zeros(strips, np.int64)
    mean = np.zeros((strips, 3))
    product = np.zeros((strips, 3, 3))
    for i in range(len(xyz)):
        if seed[i]:
            s = strip[i]
            count[s] += 1
            for a in range(3):
                mean[s, a] += xyz[i, a]
                for b in range(a + 1):
                    product[s, a, b] += np.float64(xyz[i, a]) * xyz[i, b]
    for s in range(strips):
        if count[s] > 0:
            for a in range(3):
                mean[s, a] /= count[s]
            for a in range(3):
                for b in range(a + 1):
                    product[s, a, b] = product[s, a, b] / count[s] - mean[s, a] * mean[s, b]
                    product[s, b, a] = product[s, a, b]
    return count, mean, product


@njit(cache=True, nogil=True)
def _below(xyz: NDArray, strip: NDArray, normal: NDArray, height: NDArray) -> NDArray:
    """[N] bool: the point's coordinate along `normal` [S, 3] of its strip is below `height` [S]."""
    below = np.zeros(len(xyz), np.bool_)
    for i in range(len(xyz)):
        s = strip[i]
        if s >= 0:
            along = normal[s, 0] * xyz[i, 0] + normal[s, 1] * xyz[i, 1] + normal[s, 2] * xyz[i, 2]
            below[i] = along < height[s]
    return below
