"""A camera: one ray per pixel, shaded by sun and sky."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.geometry import Geometry, Moment
from data_prep.simulate.materials import optics_table, window_table
from data_prep.simulate.raycast import Hits, Shell, nearer
from data_prep.simulate.rig import Camera
from data_prep.simulate.shading import shade
from data_prep.simulate.street.paint import Paint
from pc_ssl.geometry import invert

SHADOW_REACH = 140.0  # metres; farther surfaces count as lit
NEAREST = 0.3  # metres; nearer points have no bounded projection
_CORNER = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
EGO_SHADOW_REACH = 9.0  # metres; the ego vehicle's shadow reaches no farther


@dataclass(frozen=True)
class Light:
    """Daylight of one scene. Colours are linear; 1 is a white wall in full sun.

    Args:
        towards_sun: [3] unit vector.
        sun, sky: [3] colour of sunlight and of skylight.
        horizon, zenith: [3] colour of the sky at the horizon and at the zenith.
        clouds: share of the sky that is clouded.
        haze: metres after which 63 % of a surface's colour has turned into the horizon's.
        exposure: factor on all light.
    """

    towards_sun: NDArray[np.float32]
    sun: NDArray[np.float32]
    sky: NDArray[np.float32]
    horizon: NDArray[np.float32]
    zenith: NDArray[np.float32]
    clouds: float
    haze: float
    exposure: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw a clear, cloudy or overcast sky, between an hour after sunrise and noon."""
        overcast = float(rng.choice([0.0, 0.35, 0.9], p=[0.5, 0.3, 0.2]))
        height, azimuth = np.deg2rad(rng.uniform(22.0, 75.0)), rng.uniform(0, 2 * np.pi)
        if overcast > 0.8:
            height = np.deg2rad(80.0)  # a bright zenith gives the soft shadow under objects
        towards = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
        warm = np.clip((np.deg2rad(50.0) - height) / np.deg2rad(40.0), 0.0, 1.0)
        sun = (1.0 - 0.72 * overcast) * np.array([1.0, 0.97 - 0.07 * warm, 0.92 - 0.22 * warm])
        sky = np.array([0.34, 0.38, 0.45]) * (1.0 - overcast) + np.array([0.62, 0.63, 0.65]) * overcast
        blue, gray = np.array([0.16, 0.32, 0.66]), np.array([0.62, 0.65, 0.69])
        zenith = blue * (1.0 - overcast) + gray * overcast
        horizon = np.array([0.62, 0.72, 0.84]) * (1.0 - overcast) + np.array([0.80, 0.81, 0.83]) * overcast
        return cls(
            towards.astype(np.float32),
            sun.astype(np.float32),
            sky.astype(np.float32),
            horizon.astype(np.float32),
            zenith.astype(np.float32),
            clouds=overcast if overcast else float(rng.uniform(0.0, 0.35)),
            haze=float(rng.uniform(350.0, 1100.0)),
            exposure=float(rng.uniform(0.85, 1.15)),
        )


class CameraView:
    """One camera of a scene's rig at a given image size (width, height)."""

    def __init__(self, camera: Camera, image_size: tuple[int, int]) -> None:
        self.camera = camera
        self.width, self.height = image_size
        self.intrinsic = camera.intrinsic(image_size)
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        pixel = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], 1)
        direction = pixel @ np.linalg.inv(self.intrinsic).T
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        self._direction = direction.astype(np.float32)

    def render(
        self, geometry: Geometry, moment: Moment, paint: Paint, light: Light, scene_from_ego: NDArray, key: int
    ) -> NDArray[np.uint8]:
        """[H, W, 3] uint8 red, green, blue.

        Args:
            moment: the moving objects.
            scene_from_ego: [4, 4] at that moment.
            key: seed of the sensor noise.
        """
        scene_from_camera = scene_from_ego @ self.camera.ego_from_camera
        ray = _rays(self._direction, scene_from_camera.astype(np.float32))
        hits = geometry.still.cast(ray)
        rows = self._near_movers(geometry, moment, scene_from_camera)
        nearer(hits, moment.shell.cast(ray[rows]), rows)
        lit = self._lit(geometry, moment.shell, light, ray, hits, scene_from_ego)
        picture = shade(
            ray, hits.distance, hits.triangle, hits.normal, lit, geometry.skin.material, geometry.skin.color,
            optics_table(), window_table(), paint.picture, paint.origin.astype(np.float32), light.towards_sun,
            light.sun, light.sky, light.horizon, light.zenith, np.float32(light.clouds), np.float32(light.haze),
            np.float32(light.exposure), key,
        )  # fmt: skip
        return picture.reshape(self.height, self.width, 3)

    def _near_movers(self, geometry: Geometry, moment: Moment, scene_from_camera: NDArray) -> NDArray[np.int64]:
        """Pixels covered by the bounding box of any moving object."""
        if not moment.thing:
            return np.zeros(0, np.int64)
        center = np.array([geometry.things[index].center for index in moment.thing])
        size = np.array([geometry.things[index].size for index in moment.thing]) + 0.02
        local = np.concatenate([center[:, None] + _CORNER * size[:, None], np.ones((len(center), 8, 1))], 2)
        camera_from_thing = invert(scene_from_camera) @ moment.scene_from_thing
        seen = np.einsum("kij,kcj->kci", camera_from_thing[:, :3], local)
        mask = np.zeros((self.height, self.width), bool)
        for corner in seen[(seen[:, :, 2] > NEAREST).any(1)]:
            if (corner[:, 2] < NEAREST).any():
                mask[:] = True  # a box that extends behind the camera has no bounding rectangle
                break
            pixel = corner[:, :2] / corner[:, 2:] * self.intrinsic[[0, 1], [0, 1]] + self.intrinsic[:2, 2]
            low, high = np.floor(pixel.min(0)).astype(int) - 1, np.ceil(pixel.max(0)).astype(int) + 2
            mask[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)] = True
        return np.flatnonzero(mask)

    def _lit(
        self, geometry: Geometry, movers: Shell, light: Light, ray: NDArray, hits: Hits, scene_from_ego: NDArray
    ) -> NDArray[np.bool_]:
        """Whether the sun reaches each hit."""
        lit, rows, shadow = _shadow_rays(ray, hits.distance, hits.normal, light.towards_sun)
        dark = geometry.still.blocks(shadow)
        open_rows = np.flatnonzero(~dark)
        dark[open_rows] = movers.blocks(shadow[open_rows])
        near = np.flatnonzero(~dark & (hits.distance[rows] < EGO_SHADOW_REACH))
        dark[near] = geometry.ego_shell(scene_from_ego).blocks(shadow[near])
        lit[rows[dark]] = False
        return lit


@numba.njit(cache=True)
def _rays(direction: NDArray, scene_from_camera: NDArray) -> NDArray:
    """Rays [N, 6] float32 in the scene frame from directions [N, 3] in the camera frame."""
    ray = np.empty((len(direction), 6), np.float32)
    for i in range(len(direction)):
        x, y, z = direction[i]
        for k in range(3):
            ray[i, k] = scene_from_camera[k, 3]
            ray[i, 3 + k] = scene_from_camera[k, 0] * x + scene_from_camera[k, 1] * y + scene_from_camera[k, 2] * z
    return ray


@numba.njit(cache=True)
def _shadow_rays(
    ray: NDArray, distance: NDArray, normal: NDArray, towards_sun: NDArray
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float32]]:
    """Hits that face the sun [N], rows [K] of those that may be shadowed, and their rays to the sun [K, 6]."""
    lit = np.zeros(len(distance), np.bool_)
    rows = np.empty(len(distance), np.int64)
    shadow = np.empty((len(distance), 6), np.float32)
    count = 0
    for i in range(len(distance)):
        n = normal[i]
        if n[0] * towards_sun[0] + n[1] * towards_sun[1] + n[2] * towards_sun[2] > 0:
            lit[i] = True
            away = distance[i]
            if away < SHADOW_REACH:
                lift = np.float32(0.004) + np.float32(0.0006) * away  # offset from the surface, to avoid self-shadowing
                for k in range(3):
                    shadow[count, k] = ray[i, k] + away * ray[i, 3 + k] + lift * n[k]
                    shadow[count, 3 + k] = towards_sun[k]
                rows[count] = i
                count += 1
    return lit, rows[:count], shadow[:count]
