"""Ground as one plane, found by RANSAC.

Fischler and Bolles, "Random Sample Consensus", 1981. Parameters of SegContrast (RA-L 2022): planes through 3 points,
200 trials, 0.25 m. The plane is then refitted to its inliers by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.mount import SensorMount

SCORED = 2048  # points that score the trials, sampled once: enough to distinguish inlier ratios that differ by 2 %


@dataclass(frozen=True)
class RansacGround:
    """The plane with the most points within `thickness`, among nearly level planes.

    Args:
        thickness: metres to either side of the plane.
        trials: number of random planes.
        max_slope: degrees; steeper planes (walls) are not ground.
        seed: of the random trials; the result is deterministic.
    """

    thickness: float = 0.25
    trials: int = 200
    max_slope: float = 20.0
    seed: int = 0

    def __call__(self, xyz: NDArray[np.float32], mount: SensorMount) -> NDArray[np.bool_]:
        """xyz [N, 3] metres, z up -> [N] bool, True for ground; all False without 3 points or a level plane."""
        if len(xyz) < 3:
            return np.zeros(len(xyz), bool)
        rng = np.random.default_rng(self.seed)
        corners = rng.integers(0, len(xyz), (self.trials, 3))
        scored = xyz[rng.integers(0, len(xyz), min(SCORED, len(xyz)))].astype(np.float64)
        steepest = np.cos(np.radians(self.max_slope))
        plane = _best_plane(xyz[corners].astype(np.float64), scored, self.thickness, steepest)
        if not plane[2] > 0:
            return np.zeros(len(xyz), bool)
        points = xyz.astype(np.float64)
        inliers = points[np.abs(points @ plane[:3] + plane[3]) <= self.thickness]
        centre = inliers.mean(axis=0)
        normal = np.linalg.eigh(np.cov(inliers.T, bias=True))[1][:, 0]  # direction of the smallest variance
        return np.abs((points - centre) @ normal) <= self.thickness


@njit(cache=True, nogil=True)
def _best_plane(corners: NDArray, scored: NDArray, thickness: float, least_up: float) -> NDArray:
    """[4]: unit normal (upwards) and offset of the best plane through corners [T, 3, 3]; zeros if none is level."""
    best = np.zeros(4)
    most = -1
    for trial in range(len(corners)):
        a, b, c = corners[trial]
        normal = np.cross(b - a, c - a)
        length = np.sqrt((normal * normal).sum())
        if length == 0 or abs(normal[2]) < least_up * length:
            continue
        normal /= length if normal[2] > 0 else -length
        offset = -(normal * a).sum()
        count = 0
        for i in range(len(scored)):
            height = normal[0] * scored[i, 0] + normal[1] * scored[i, 1] + normal[2] * scored[i, 2] + offset
            count += abs(height) <= thickness
        if count > most:
            most = count
            best[:3] = normal
            best[3] = offset
    return best
