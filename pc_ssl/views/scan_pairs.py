"""Two scans of one place at different times, registered by the poses of the vehicle, contrasted by BEVContrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pc_ssl.geometry import BevGrid, apply
from pc_ssl.structures import ScanPairSample, Scene
from pc_ssl.views.lidar import Augmentation, draw_rows, inside_all, move_points


@dataclass(frozen=True)
class ScanPairViews:
    """Two views from a keyframe and a neighbouring keyframe of the same scene, and sampled cells that both occupy.

    A cell is a square of the ground plane of the first keyframe; points of the second are transformed to it by
    `global_from_lidar` of both. Each scan is augmented independently afterwards.

    Args:
        augmentation: drawn independently for each scan.
        cell_size: side of a cell, metres.
        cells: number of sampled cells; all of them if both scans occupy fewer.
        keyframes_apart: the neighbour is the keyframe this many later; at the end of a scene, this many earlier. 2 in
            the code, which is 1.0 s in nuScenes.

    Raises:
        ValueError: an argument is out of range.
    """

    augmentation: Augmentation
    cell_size: float = 0.6
    cells: int = 4096
    keyframes_apart: int = 2

    def __post_init__(self) -> None:
        if self.cell_size <= 0 or self.cells < 1 or self.keyframes_apart < 1:
            raise ValueError(
                f"ScanPairViews: cell_size {self.cell_size}, cells {self.cells}, keyframes_apart "
                f"{self.keyframes_apart}: out of range"
            )

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({f"neighbour/{self.keyframes_apart}"})

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> ScanPairSample:
        """The views; points outside one of `grids`, in their view, occupy no cell.

        A keyframe without a neighbour is paired with itself, and no cell is sampled.

        Raises:
            ValueError: the scene or its neighbour was read without its pose.
        """
        other = scene if scene.neighbour is None else scene.neighbour
        if scene.global_from_lidar is None or other.global_from_lidar is None:
            raise ValueError(f"{scene.token}: the scene was read without global_from_lidar")
        first_from_second = np.linalg.solve(scene.global_from_lidar.numpy(), other.global_from_lidar.numpy())
        registered = torch.from_numpy(apply(first_from_second, other.points[:, :3].numpy()))
        views, places = [], []
        for points, xyz in ((scene.points, scene.points[:, :3]), (other.points, registered)):
            moved = move_points(points, self.augmentation.draw(rng))
            views.append(moved)
            places.append(_keys(xyz, self.cell_size, inside_all(moved, grids)))
        most = 0 if scene.neighbour is None else self.cells
        first_cell, second_cell, count = _shared(places[0], places[1], most, rng)
        return ScanPairSample(scene.token, views[0], views[1], first_cell, second_cell, count)


NOWHERE = -1
_REACH = 2**20  # cells to each side of the sensor, far beyond any LiDAR


def _keys(xyz: Tensor, cell_size: float, inside: Tensor) -> Tensor:
    """[N] int64: a number >= 0 for each cell of the ground plane, NOWHERE for points that are not `inside` [N]."""
    cell = (xyz[:, :2].double() / cell_size).floor().long().clamp(-_REACH, _REACH - 1) + _REACH
    return torch.where(inside, cell[:, 0] * (2 * _REACH) + cell[:, 1], NOWHERE)


def _shared(first: Tensor, second: Tensor, most: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, int]:
    """Numbers 0..C - 1, -1 elsewhere, of at most `most` of the keys in both [N1] and [N2], and C."""
    both = torch.from_numpy(np.intersect1d(first.numpy(), second.numpy()))
    both = both[both != NOWHERE]
    both = both[draw_rows(torch.ones(len(both), dtype=torch.bool), most, rng)]

    def numbered(key: Tensor) -> Tensor:
        if len(both) == 0:
            return torch.full_like(key, -1)
        at = torch.searchsorted(both, key).clamp(max=len(both) - 1)
        return torch.where(both[at] == key, at, -1)

    return numbered(first), numbered(second), len(both)
