"""Random reduction of points and images, for methods with image teachers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from pc_ssl.errors import UserError
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Scene


@dataclass(frozen=True)
class DropCuboid(SceneTransform):
    """Removes the points of one cuboid around a random point (SLidR, utils/transforms.py, DropCuboids).

    A scene in which an image would keep fewer than `min_pairs` points is not changed, as in the reference code. The
    cuboid is aligned with the axes of the LiDAR frame; in the reference code the points are rotated first.

    Args:
        largest: the cuboid's edges are the extents of the cloud times a factor that is uniform in 0..largest.
        min_pairs: minimum number of points that each image keeps.

    Raises:
        ValueError: `largest` is not in (0, 1].
    """

    reads: ClassVar[frozenset[str]] = frozenset({"cameras"})
    largest: float = 0.2
    min_pairs: int = 1024

    def __post_init__(self) -> None:
        if not 0 < self.largest <= 1:
            raise ValueError(f"DropCuboid: largest is {self.largest}, expected more than 0 and at most 1")

    def __call__(self, scene: Scene, rng: np.random.Generator, /) -> Scene:
        """The scene without the cuboid's points."""
        xyz = scene.points[:, :3]
        if not len(xyz):
            return scene
        half = (xyz.amax(dim=0) - xyz.amin(dim=0)) * rng.uniform(0, self.largest) / 2
        centre = xyz[rng.integers(len(xyz))]
        kept = ~((xyz - centre).abs() < half).all(dim=1)
        if any(int(kept[camera.point].sum()) < self.min_pairs for camera in scene.cameras):
            return scene
        return scene.keep(kept)


@dataclass(frozen=True)
class PointLimit(SceneTransform):
    """Keeps a uniform random subset of at most `count` points.

    Args:
        count: largest number of points.

    Raises:
        ValueError: it is not positive.
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"PointLimit: count is {self.count}, expected at least 1")

    def __call__(self, scene: Scene, rng: np.random.Generator, /) -> Scene:
        """The scene with at most `count` points, in their order."""
        if len(scene.points) <= self.count:
            return scene
        kept = torch.zeros(len(scene.points), dtype=torch.bool)
        kept[torch.from_numpy(rng.choice(len(kept), self.count, replace=False))] = True
        return scene.keep(kept)


@dataclass(frozen=True)
class OneImage(SceneTransform):
    """Keeps one image, drawn uniformly."""

    reads: ClassVar[frozenset[str]] = frozenset({"cameras"})

    def __call__(self, scene: Scene, rng: np.random.Generator, /) -> Scene:
        """The scene with one camera.

        Raises:
            UserError: the scene has no images.
        """
        if not scene.cameras:
            raise UserError(f"{scene.token}: the frame has no images; it has points only")
        return replace(scene, cameras=(scene.cameras[rng.integers(len(scene.cameras))],))
