"""Two augmented views of one scene, with points of foreground segments and of the background, contrasted by FAC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from pc_ssl.geometry import BevGrid
from pc_ssl.ops import region_pool
from pc_ssl.structures import ForegroundSample, Scene
from pc_ssl.views.frame_pairs import FramePairs
from pc_ssl.views.lidar import Augmentation, PairViews, draw_rows

GROUND_SHARE = 0.5  # a segment with a larger share of ground points is ground


class Anchors(StrEnum):
    """Which points are sampled as foreground.

    FOREGROUND: points of segments that are neither ground nor large planes.
    RANDOM: any points, for comparison.
    """

    FOREGROUND = "foreground"
    RANDOM = "random"


@dataclass(frozen=True)
class ForegroundViews:
    """Two views, and foreground and background points sampled among the points in both.

    A point is background if it is in no segment, in a segment that is mostly ground, or in a large plane: a segment
    that is not thicker than `plane_thickness` and at least `plane_area` large. That foreground is neither ground nor
    large plane is reconstructed, as are the numbers. A segment is judged by all of its points, also where views are
    partial: the visible part of a large wall is background.

    Args:
        augmentation: drawn independently for each view.
        foreground: number of sampled foreground points; all of them if there are fewer.
        background: number of sampled background points.
        anchors: which points are sampled as foreground.
        plane_thickness: standard deviation across the plane, metres.
        plane_area: area of a rectangle of the same standard deviations along the plane, square metres.
        keep: share of the scene's points that each view keeps, drawn independently.
        frames: the views are what two overlapping RGB-D frames see of the scene, and points are sampled from their
            overlap; None: both are views of the whole cloud. Pairs of frames on ScanNet are reconstructed.

    Raises:
        ValueError: an argument is out of range.
    """

    augmentation: Augmentation
    foreground: int = 1024
    background: int = 1024
    anchors: str = Anchors.FOREGROUND
    plane_thickness: float = 0.05
    plane_area: float = 4.0
    keep: float = 1.0
    frames: FramePairs | None = None

    def __post_init__(self) -> None:
        Anchors(self.anchors)
        self._pairs()
        if self.plane_thickness < 0 or self.plane_area < 0:
            raise ValueError(
                f"ForegroundViews: plane_thickness {self.plane_thickness} and plane_area {self.plane_area} must not be "
                "negative"
            )

    @property
    def reads(self) -> frozenset[str]:
        return self._pairs().reads | {"ground"}

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> ForegroundSample:
        """The views, and sampled points that are inside all of `grids` in both; foreground points come first.

        Raises:
            TooSmall: no two frames of the scene overlap enough.
            ValueError: the scene was read without its ground, or without the points that its frames see.
        """
        sample, drawable = self._pairs().two_views(scene, rng, grids)
        if self.anchors == Anchors.RANDOM:
            anchors = draw_rows(drawable, self.foreground, rng)
            others = drawable.clone()
            others[anchors] = False
        else:
            inside = self.is_foreground(scene)
            anchors, others = draw_rows(drawable & inside, self.foreground, rng), drawable & ~inside
        rest = draw_rows(others, self.background, rng)
        drawn = torch.cat([anchors, rest])
        return ForegroundSample(sample(drawn), torch.arange(len(drawn)) < len(anchors))

    def is_foreground(self, scene: Scene) -> Tensor:
        """[N] bool.

        Raises:
            ValueError: the scene was read without its ground.
        """
        if scene.ground is None:
            raise ValueError(f"{scene.token}: the scene was read without its ground")
        region, count = scene.region.long(), scene.num_regions
        if count == 0:
            return torch.zeros(len(region), dtype=torch.bool)
        xyz = scene.points[:, :3].double()
        centred = xyz - region_pool(xyz, region, count)[region.clamp(min=0)]
        outer = (centred[:, :, None] * centred[:, None, :]).flatten(1)
        variance = torch.linalg.eigvalsh(region_pool(outer, region, count).reshape(count, 3, 3)).clamp(min=0)
        area = (
            12 * (variance[:, 1] * variance[:, 2]).sqrt()
        )  # a uniform distribution over a side a has variance a^2 / 12
        plane = (variance[:, 0].sqrt() <= self.plane_thickness) & (area >= self.plane_area)
        ground = region_pool(scene.ground[:, None].double(), region, count)[:, 0] > GROUND_SHARE
        return (region >= 0) & ~(plane | ground)[region.clamp(min=0)]

    def _pairs(self) -> PairViews:
        return PairViews(self.augmentation, self.foreground, self.background, self.keep, self.frames)
