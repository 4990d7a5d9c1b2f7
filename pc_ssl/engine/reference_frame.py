"""A fixed synthetic frame, on which networks are counted without a cache.

A street: 32 beams of 1084 directions at 1.84 m above flat ground, between two walls 24 m apart, with 40 boxes of the
size of cars; what is farther than 70 m gives no return. A room: 100,000 points on walls and furniture of 6 x 5 x
2.7 m. Images are empty: the cost of a network does not depend on their content.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pc_ssl.structures import CameraBatch

BEAMS, DIRECTIONS = 32, 1084  # of nuScenes' LiDAR
LOWEST, HIGHEST = math.radians(-30.67), math.radians(10.67)
HEIGHT, RANGE, WALL = 1.84, 70.0, 12.0  # metres
CAR = (4.5, 1.9, 1.7)  # metres
STEP = 0.5  # metres between two sweeps: 36 km/h
CAMERAS, FOCAL, WIDTH = 6, 1266.0, 1600.0  # pixels, of nuScenes' cameras


def street(sweeps: int = 1) -> Tensor:
    """[N, 4] x, y, z (metres, LiDAR frame) and intensity, or, of several sweeps, [N, 5] with the time lag (seconds)."""
    parts = []
    for sweep in range(sweeps):
        points = _sweep(-STEP * sweep)
        lag = np.full((len(points), 1 if sweeps > 1 else 0), 0.05 * sweep)
        parts.append(np.concatenate([points, np.full((len(points), 1), 0.1), lag], axis=1))
    return torch.from_numpy(np.concatenate(parts)).float()


def room() -> Tensor:
    """[N, 9] x, y, z (metres, room frame), colour and normal."""
    rng = np.random.default_rng(0)
    boxes = [
        ((0, 0, 0), (6, 5, 2.7)),
        ((1, 1, 0), (2.4, 1.8, 0.75)),
        ((4, 3, 0), (6, 5, 0.5)),
        ((0, 4.4, 0), (2, 5, 2)),
    ]
    points = []
    for lower, upper in boxes:
        low, high = np.array(lower, float), np.array(upper, float)
        face = rng.integers(0, 6, 25_000)
        place = rng.uniform(low, high, (25_000, 3))
        place[np.arange(len(place)), face % 3] = np.where(face < 3, low[face % 3], high[face % 3])
        points.append(place)
    place = np.concatenate(points)
    return torch.from_numpy(np.concatenate([place, np.full((len(place), 6), 0.5)], axis=1)).float()


def cameras(width: int, height: int) -> CameraBatch:
    """One frame of six images of this size around the sensor, in the LiDAR's frame."""
    focal = FOCAL * width / WIDTH
    pixel_from_camera = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    looks = []
    for number in range(CAMERAS):
        yaw = 2 * math.pi * number / CAMERAS
        forward = [math.cos(yaw), math.sin(yaw), 0.0]
        right = [math.sin(yaw), -math.cos(yaw), 0.0]
        looks.append([[*right, 0.0], [0.0, 0.0, -1.0, 0.0], [*forward, 0.0], [0.0, 0.0, 0.0, 1.0]])
    return CameraBatch(
        image=torch.zeros(1, CAMERAS, 3, height, width),
        pixel_from_camera=pixel_from_camera.expand(1, CAMERAS, 3, 3),
        camera_from_view=torch.tensor(looks)[None],
        present=torch.ones(1, CAMERAS, dtype=torch.bool),
    )


def _sweep(x: float) -> NDArray[np.float64]:
    """[N, 3] returns of one sweep taken at (x, 0), in the frame of the sensor at (0, 0)."""
    elevation, azimuth = np.meshgrid(
        np.linspace(LOWEST, HIGHEST, BEAMS), np.linspace(-math.pi, math.pi, DIRECTIONS, endpoint=False), indexing="ij"
    )
    ray = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    ray = ray.reshape(-1, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(ray[:, 2] < 0, -HEIGHT / ray[:, 2], np.inf)
        wall = np.where(ray[:, 1] != 0, WALL / np.abs(ray[:, 1]), np.inf)
        distance = np.minimum(ground, wall)
        for number in range(40):
            centre = np.array([-60.0 + 6.0 * (number // 2) - x, -6.0 if number % 2 else 6.0, CAR[2] / 2 - HEIGHT])
            near, far = (centre - np.array(CAR) / 2) / ray, (centre + np.array(CAR) / 2) / ray
            enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
            distance = np.where((enter > 0) & (enter < leave), np.minimum(distance, enter), distance)
    hit = distance < RANGE
    return ray[hit] * distance[hit, None] + [x, 0.0, 0.0]
