"""Regions of random membership, the negative control of methods that learn from regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Camera, Scene


@dataclass(frozen=True)
class ShuffledRegions(SceneTransform):
    """Permutes the region numbers over the points of a scene, and the superpixel numbers over the pixels of each image.

    Every region keeps its size, and what remains of a region is a random set of points of the whole frame: which points
    are in a region at all is random too. Points of earlier sweeps are permuted among themselves, so that they stay
    outside of regions where only keyframes have any. The permutation is a function of `seed` and the frame, the same
    in every epoch.

    Args:
        seed: of the permutations.

    Raises:
        UserError: the seed is negative.
    """

    reads: ClassVar[frozenset[str]] = frozenset()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"ShuffledRegions: seed is {self.seed}, expected 0 or more")

    def __call__(self, scene: Scene, rng: np.random.Generator, /) -> Scene:
        """The scene with shuffled regions; `rng` is not used."""
        own = np.random.default_rng([self.seed, *scene.token.encode()])
        region = scene.region.clone()
        for part in (scene.keyframe, ~scene.keyframe):
            region[part] = _shuffled(region[part], own)
        return replace(scene, region=region, cameras=tuple(_shuffled_camera(camera, own) for camera in scene.cameras))


def _shuffled_camera(camera: Camera, rng: np.random.Generator) -> Camera:
    if camera.superpixel is None:
        return camera
    return replace(camera, superpixel=_shuffled(camera.superpixel.flatten(), rng).view_as(camera.superpixel))


def _shuffled(values: Tensor, rng: np.random.Generator) -> Tensor:
    return values[torch.from_numpy(rng.permutation(len(values)))]
