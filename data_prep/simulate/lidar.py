"""A spinning LiDAR: ranges, intensities and dropped returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.categories import LABEL
from data_prep.simulate.geometry import Geometry, Moment
from data_prep.simulate.materials import Material, optics_table, window_table
from data_prep.simulate.noise import in_window
from data_prep.simulate.raycast import Hits, nearer
from data_prep.simulate.rig import MAX_RANGE, LidarPattern, ego_from_lidar
from data_prep.simulate.street.paint import CELL, Paint
from pc_ssl.geometry import invert

RANGE_NOISE = 0.02  # metres, standard deviation; HDL-32E manual: accuracy +-2 cm
FAINT = 0.04  # reflectivity that returns with a probability of 1/2 at FAINT_RANGE metres
FAINT_RANGE = 62.0
STRENGTH = 190.0  # intensity of a white surface that faces the sensor
NO_RETURN_LABEL = LABEL["vehicle.ego"]  # nuScenes' label of points at the sensor


@dataclass(frozen=True)
class Sweep:
    """One rotation. All rays are kept in firing order, as in nuScenes: a ray without a return is a point at the sensor.

    Args:
        point: [N, 5] float32: x, y, z (metres, LiDAR frame at the end of the rotation), intensity 0..255, ring.
        label: [N] uint8 lidarseg index; rays without a return have that of the ego vehicle.
        owner: [N] int32 index of the object that was hit, -1 for none.
        returned: [N] bool.
    """

    point: NDArray[np.float32]
    label: NDArray[np.uint8]
    owner: NDArray[np.int32]
    returned: NDArray[np.bool_]


class Lidar:
    """The LiDAR of one scene.

    Args:
        beams: number of beams.
        columns: firings per rotation.
    """

    def __init__(self, geometry: Geometry, paint: Paint, beams: int, columns: int) -> None:
        self.geometry, self.paint = geometry, paint
        self.pattern = LidarPattern.of(beams, columns)
        direction = self.pattern.direction @ ego_from_lidar()[:3, :3].T
        origin = np.broadcast_to(ego_from_lidar()[:3, 3], direction.shape)
        ego = geometry.ego_shell(np.eye(4)).cast(np.concatenate([origin, direction], 1).astype(np.float32))
        self._ego_hits = ego  # the same in every rotation
        skin = geometry.skin
        luminance = skin.color.astype(np.float32) @ np.array([0.3, 0.59, 0.11], np.float32) / 255
        optics = optics_table()[skin.material]
        self._reflectivity = (optics[:, 0] + optics[:, 1] * luminance**2) * skin.brightness

    def sweep(
        self, rng: np.random.Generator, moments: Sequence[Moment], scene_from_ego: NDArray, before: NDArray
    ) -> Sweep:
        """Measure one rotation.

        Args:
            moments: the moving objects when the LiDAR sweeps over each of CAMERAS.
            scene_from_ego: [4, 4] at the end of the rotation.
            before: [4, 4] at the beginning of the rotation; the ego vehicle's velocity is constant between the two.
        """
        ray, start = self._rays(scene_from_ego, before)
        hits = self.geometry.still.cast(ray)
        for sector, moment in enumerate(moments):
            rows = np.flatnonzero(self.pattern.sector == sector)
            nearer(hits, moment.shell.cast(ray[rows]), rows)
        own = self._ego_hits
        ego_first = own.distance < hits.distance
        hits.distance[ego_first] = own.distance[ego_first]
        hits.triangle[ego_first] = own.triangle[ego_first]
        hits.normal[ego_first] = own.normal[ego_first] @ scene_from_ego[:3, :3].T.astype(np.float32)
        return self._measure(rng, ray, start, hits, scene_from_ego)

    def _rays(self, now: NDArray, before: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Rays [N, 6] in the scene frame, each from the sensor's position when it fires, and their origins [N, 3]."""
        share = self.pattern.lag[:, None] / self.pattern.lag.max()
        lidar_now, lidar_before = now @ ego_from_lidar(), before @ ego_from_lidar()
        start = (1 - share) * lidar_now[:3, 3] + share * lidar_before[:3, 3]
        direction = (1 - share) * (self.pattern.direction @ lidar_now[:3, :3].T) + share * (
            self.pattern.direction @ lidar_before[:3, :3].T
        )
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return np.concatenate([start, direction], 1).astype(np.float32), start

    def _measure(
        self, rng: np.random.Generator, ray: NDArray, start: NDArray, hits: Hits, scene_from_ego: NDArray
    ) -> Sweep:
        count = len(ray)
        draw = rng.random((count, 2), dtype=np.float32)
        bell = rng.standard_normal((count, 2), dtype=np.float32)
        skin = self.geometry.skin
        intensity, distance = _returns(
            ray, hits.distance, hits.triangle, hits.normal, draw, bell, skin.material, self._reflectivity,
            optics_table(), window_table(), self.paint.picture, self.paint.origin,
        )  # fmt: skip
        returned = intensity >= 0
        lidar_from_scene = invert(scene_from_ego @ ego_from_lidar())
        end = start + ray[:, 3:] * np.where(returned, distance, 0.0)[:, None]
        point = np.empty((count, 5), np.float32)
        point[:, :3] = end @ lidar_from_scene[:3, :3].T + lidar_from_scene[:3, 3]
        point[:, 3] = np.where(returned, intensity, np.floor(1 + 30 * draw[:, 0] ** 3))
        point[:, 4] = self.pattern.ring
        label = np.where(returned, skin.label[hits.triangle], np.uint8(NO_RETURN_LABEL))
        owner = np.where(returned, skin.owner[hits.triangle], -1).astype(np.int32)
        return Sweep(point, label.astype(np.uint8), owner, returned)


_ASPHALT = int(Material.ASPHALT)
_GLASS = int(Material.GLASS)
_RETRO = int(Material.RETRO)


@numba.njit(cache=True)
def _returns(
    ray: NDArray,
    distance: NDArray,
    triangle: NDArray,
    normal: NDArray,
    draw: NDArray,
    bell: NDArray,
    material: NDArray,
    reflectivity: NDArray,
    optics: NDArray,
    windows: NDArray,
    paint: NDArray,
    origin: NDArray,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Intensity [N] (0..255, -1 for no return) and measured distance [N] of each ray."""
    count = len(distance)
    intensity = np.full(count, -1.0, np.float32)
    measured = np.zeros(count, np.float32)
    for i in range(count):
        far = distance[i]
        if triangle[i] < 0 or far > MAX_RANGE:
            continue
        kind = material[triangle[i]]
        bright = reflectivity[triangle[i]]
        facing = abs(normal[i, 0] * ray[i, 3] + normal[i, 1] * ray[i, 4] + normal[i, 2] * ray[i, 5])
        lost, rough, recess = optics[kind, 3], optics[kind, 2], np.float32(0.0)
        x, y, z = ray[i, 0] + far * ray[i, 3], ray[i, 1] + far * ray[i, 4], ray[i, 2] + far * ray[i, 5]
        if windows[kind, 0] > 0:
            if in_window(-normal[i, 1] * x + normal[i, 0] * y, z, windows[kind]):
                bright, lost, recess = (
                    optics[_GLASS, 0],
                    optics[_GLASS, 3],
                    windows[kind, 5] / max(facing, np.float32(0.2)),
                )
        elif kind == _ASPHALT:
            column, row = int((x - origin[0]) / CELL + 0.5), int((y - origin[1]) / CELL + 0.5)
            if 0 <= row < paint.shape[0] and 0 <= column < paint.shape[1]:
                covered = max(paint[row, column, 0], paint[row, column, 1]) / np.float32(255)
                bright += covered * (np.float32(0.42) - bright)
        # a glossy surface reflects the pulse away at grazing incidence
        if draw[i, 0] < lost * (np.float32(1.0) + np.float32(0.6) * (np.float32(1.0) - facing)):
            continue
        echo = bright * facing**0.5 * (FAINT_RANGE / max(far, np.float32(1.0))) ** 2 / FAINT
        if draw[i, 1] > echo**2 / (np.float32(1.0) + echo**2):
            continue
        measured[i] = far + recess + RANGE_NOISE * bell[i, 0] + rough * bell[i, 1] / max(facing, np.float32(0.25))
        value = np.float32(STRENGTH) * bright * (np.float32(0.35) + np.float32(0.65) * facing)
        if kind == _RETRO:
            value *= np.float32(2.2)
        value *= np.exp(np.float32(0.22) * bell[i, 1])
        intensity[i] = min(max(np.floor(value), np.float32(0.0)), np.float32(255.0))
    return intensity, measured
