"""Two small synthetic keyframes with all that views read: regions, labels, boxes, an image, a map, a neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from pc_ssl.structures import Boxes3D, Camera, Scene

CLASSES = 16  # of points, besides ignore
CAMERA_FROM_LIDAR = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float32)  # looks at +y
INTRINSIC = np.array([[40, 0, 48], [0, 40, 32], [0, 0, 1]], dtype=np.float32)
WIDTH, HEIGHT = 96, 64  # pixels of the image
REACH, CELL = 51.2, 1.6  # metres: the map covers -REACH..REACH
MAP_CLASSES = 6


def scenes() -> list[Scene]:
    """Two keyframes of a street, each with the other as its neighbour, 0.5 m apart."""
    first, second = _scene(0), _scene(1)
    return [replace(first, neighbour=second), replace(second, neighbour=first)]


def _scene(number: int) -> Scene:
    rng = np.random.RandomState(number)  # its stream never changes between versions of numpy
    parts = [(_plate(rng, 600), 11, -1)]
    boxes = []
    for car in range(6):
        centre = np.array([-9.0 + 3.5 * car, 6.0 + 4 * (car % 3) + number * 0.5, -1.0])
        parts.append((centre + rng.uniform(-0.5, 0.5, (80, 3)) * [1.8, 4.2, 1.5], 4 + car % 3, car))
        boxes.append([*centre, 4.2, 1.8, 1.5, np.pi / 2 + 0.1 * car, 0.5, 0.0])
    wall = np.column_stack([rng.normal(13, 0.05, 300), rng.uniform(-20, 20, 300), rng.uniform(-1.8, 3, 300)])
    parts.append((wall, 15, 6))
    xyz = np.concatenate([part for part, _, _ in parts])
    label = np.concatenate([np.full(len(part), kind) for part, kind, _ in parts])
    region = np.concatenate([np.full(len(part), index) for part, _, index in parts])
    points = np.column_stack([xyz, rng.uniform(0, 1, len(xyz))]).astype(np.float32)
    camera = _camera(xyz, rng)
    pose = np.eye(4)
    pose[1, 3] = 0.5 * number
    return Scene(
        token=f"doctor-{number}",
        points=torch.from_numpy(points),
        region=torch.from_numpy(region.astype(np.int32)),
        num_regions=7,
        label=torch.from_numpy(label.astype(np.uint8)),
        boxes=Boxes3D(torch.tensor(np.array(boxes), dtype=torch.float32), torch.arange(6) % 3, torch.zeros(6).long()),
        cameras=(camera,),
        bev_map=_map(),
        bev_map_reach=REACH,
        ground=torch.from_numpy(region < 0),
        global_from_lidar=torch.from_numpy(pose),
        columns=("x", "y", "z", "intensity"),
        visible=(camera.point,),
    )


def _plate(rng: np.random.RandomState, count: int) -> NDArray[np.float64]:
    return np.column_stack([rng.uniform(-12, 12, count), rng.uniform(-20, 20, count), rng.normal(-1.8, 0.02, count)])


def _camera(xyz: NDArray[np.float64], rng: np.random.RandomState) -> Camera:
    seen = xyz @ CAMERA_FROM_LIDAR[:3, :3].T
    with np.errstate(all="ignore"):
        pixel = (seen / seen[:, 2:]) @ INTRINSIC[:2].T
    inside = (seen[:, 2] > 1) & (pixel >= 0).all(axis=1) & (pixel < (WIDTH, HEIGHT)).all(axis=1)
    column, row = np.meshgrid(np.arange(WIDTH) // 8, np.arange(HEIGHT) // 8)
    return Camera(
        name="CAM_FRONT",
        image=torch.from_numpy(rng.randint(0, 256, (3, HEIGHT, WIDTH)).astype(np.uint8)),
        pixel_from_camera=torch.from_numpy(INTRINSIC),
        camera_from_lidar=torch.from_numpy(CAMERA_FROM_LIDAR),
        pixel=torch.from_numpy(pixel[inside].astype(np.float32)),
        point=torch.from_numpy(np.flatnonzero(inside)),
        superpixel=torch.from_numpy((row * (WIDTH // 8) + column).astype(np.int32)),
    )


def _map() -> torch.Tensor:
    """[6, 64, 64]: bands along y, one for each class."""
    cells = round(2 * REACH / CELL)
    band = torch.arange(cells) // (cells // MAP_CLASSES + 1)
    return torch.stack([(band == index).expand(cells, cells) for index in range(MAP_CLASSES)])
