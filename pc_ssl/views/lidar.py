"""Augmented views of a LiDAR scene. Points keep their order, so that correspondences follow from row numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pc_ssl.geometry import BevGrid, apply, rotation_about_z
from pc_ssl.structures import PairSample, Scene, SegmentationSample
from pc_ssl.views.frame_pairs import FramePairs


@dataclass(frozen=True)
class Augmentation:
    """A random rotation about the vertical axis, scaling, flips and translation of a whole cloud.

    The defaults are CALICO's two-view augmentation: rotation in +-90 degrees and scale in 0.9..1.1 (paper), flips and a
    normal shift of 0.5 m (prototype).

    Args:
        rotation: the angle is uniform in +-rotation, radians.
        scale: the factor is uniform in this range.
        flip: probability of mirroring x, and that of mirroring y.
        shift: standard deviation of the shift along each axis, metres.
        max_shift: shifts are clipped to +-max_shift, metres.
        shift_along: the axes that are shifted, "xyz" or "xy".

    Raises:
        ValueError: an argument is out of range.
    """

    rotation: float = math.pi / 2
    scale: tuple[float, float] = (0.9, 1.1)
    flip: float = 0.5
    shift: float = 0.5
    max_shift: float = math.inf
    shift_along: Literal["xyz", "xy"] = "xyz"

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"Augmentation: scale must be a range of positive numbers, got {self.scale}")
        if not 0 <= self.flip <= 1 or min(self.rotation, self.shift, self.max_shift) < 0:
            raise ValueError(
                f"Augmentation: rotation {self.rotation}, flip {self.flip}, shift {self.shift}, max_shift "
                f"{self.max_shift}: out of range"
            )

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """[4, 4] float64 `view_from_lidar`."""
        view_from_lidar = np.eye(4)
        mirror = np.where(rng.random(2) < self.flip, -1.0, 1.0)
        factor = rng.uniform(*self.scale)
        turn = rotation_about_z(rng.uniform(-self.rotation, self.rotation))
        view_from_lidar[:3, :3] = turn @ np.diag([*mirror, 1.0]) * factor
        axes = len(self.shift_along)
        view_from_lidar[:axes, 3] = rng.normal(0.0, self.shift, axes).clip(-self.max_shift, self.max_shift)
        return view_from_lidar


@dataclass(frozen=True)
class SingleView:
    """One augmented view with the class of each point, for training with labels.

    Args:
        augmentation: drawn for each sample; None: no augmentation.
    """

    augmentation: Augmentation | None
    reads: ClassVar[frozenset[str]] = frozenset({"label"})

    def still(self) -> SingleView:
        """The view without augmentation."""
        return replace(self, augmentation=None)

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> SegmentationSample:
        """A view that holds every point of the scene, in the scene's order.

        Raises:
            ValueError: the scene has no labels.
        """
        if scene.label is None:
            raise ValueError(f"{scene.token}: the scene has no labels")
        points = scene.points if self.augmentation is None else move_points(scene.points, self.augmentation.draw(rng))
        return SegmentationSample(scene.token, points, scene.label)


@dataclass(frozen=True)
class PairViews:
    """Two augmented views of one cloud, and points in both, sampled inside and outside regions.

    CALICO samples 1024 "semantic-rich" points inside regions and 1024 "semantic-less" ones outside. If there are
    fewer, all of them are taken; points are sampled without replacement.

    Args:
        augmentation: drawn independently for each view.
        inside: number of points sampled inside regions.
        outside: number of points sampled outside regions.
        keep: share of the scene's points that each view keeps, drawn independently; 1 keeps all, as CALICO does.
        frames: the views are what two overlapping RGB-D frames see of the scene; None: both are views of all of it.

    Raises:
        ValueError: an argument is out of range.
    """

    augmentation: Augmentation
    inside: int = 1024
    outside: int = 1024
    keep: float = 1.0
    frames: FramePairs | None = None

    def __post_init__(self) -> None:
        if self.inside < 0 or self.outside < 0 or self.inside + self.outside == 0:
            raise ValueError(f"PairViews: cannot draw {self.inside} points inside and {self.outside} outside regions")
        if not 0 < self.keep <= 1:
            raise ValueError(f"PairViews: keep must be in (0, 1], got {self.keep}")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset() if self.frames is None else frozenset({"visible"})

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> PairSample:
        """The views and the sampled points.

        Args:
            scene: N points.
            rng: source of all randomness.
            grids: only points inside all of these boxes, in both views, are sampled.

        Returns:
            Two views of at most N points each, in the scene's order, and up to inside + outside points of the keyframe
            in both (earlier sweeps belong to no region); those inside regions come first.

        Raises:
            TooSmall: no two frames of the scene overlap enough.
        """
        views, drawable = self.two_views(scene, rng, grids)
        inside = draw_rows(drawable & (scene.region >= 0), self.inside, rng)
        outside = draw_rows(drawable & (scene.region < 0), self.outside, rng)
        return views(torch.cat([inside, outside]))

    def two_views(
        self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()
    ) -> tuple[Callable[[Tensor], PairSample], Tensor]:
        """The two views before points are sampled.

        Returns:
            A function from sampled points (rows [S] of the scene) to the sample, and [N] bool: the points that can be
                sampled.

        Raises:
            TooSmall: no two frames of the scene overlap enough.
        """
        views, rows = [], []
        drawable = scene.keyframe
        everything = torch.ones(len(scene.points), dtype=torch.bool)
        for seen in (everything, everything) if self.frames is None else self.frames.draw(scene, rng):
            moved = move_points(scene.points, self.augmentation.draw(rng))
            kept = seen & torch.from_numpy(rng.random(len(moved)) < self.keep)
            drawable = drawable & kept & inside_all(moved, grids)
            views.append(moved[kept])
            rows.append(kept.long().cumsum(0) - 1)

        def sample(drawn: Tensor) -> PairSample:
            return PairSample(
                token=scene.token,
                first=views[0],
                second=views[1],
                first_row=rows[0][drawn],
                second_row=rows[1][drawn],
                region=scene.region[drawn].long(),
                num_regions=scene.num_regions,
            )

        return sample, drawable


def inside_all(points: Tensor, grids: Sequence[BevGrid]) -> Tensor:
    """[N] bool: whether points [N, 3 + F], in the frame of the view, are inside all of the boxes."""
    inside = torch.ones(len(points), dtype=torch.bool)
    for grid in grids:
        inside = inside & grid.voxel_of(points[:, :3])[1]
    return inside


def draw_rows(candidates: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Rows [min(count, number of candidates)] int64 of the mask [N], without replacement, ascending."""
    rows = candidates.nonzero()[:, 0]
    if len(rows) > count:
        rows = rows[torch.from_numpy(np.sort(rng.choice(len(rows), count, replace=False)))]
    return rows


def move_points(points: Tensor, view_from_lidar: NDArray[np.float64]) -> Tensor:
    """Points [N, 3 + F] in the frame of the view; their features do not change."""
    moved = points.clone()
    moved[:, :3] = torch.from_numpy(apply(view_from_lidar, points[:, :3].numpy()))
    return moved
