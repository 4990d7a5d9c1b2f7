"""Evaluation against the sensors of another scene: what a network scores by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CAMERAS, CacheScenes
from pc_ssl.errors import UserError
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Scene


@dataclass(frozen=True)
class SwappedSensors(SceneTransform):
    """Gives each scene the points and the images of a frame of another recording; boxes and maps stay.

    Under `evaluation_transforms` a trained detector or map network thus predicts without seeing the frame: its score is
    what the places and sizes common to all streets give, the floor of chance of a task. Labels of points are removed.

    Args:
        partners: token of each frame -> its source; set by `over`.
    """

    partners: Mapping[str, _Source] = field(default_factory=dict)

    def over(self, cache: Cache, rows: Sequence[int]) -> SwappedSensors:
        """The transform for these frames: each gets the sensors of the one that is half of the list later.

        Raises:
            UserError: a frame's partner would be of the same scene.
        """
        frames = sorted(set(rows), key=lambda row: (cache.frames[row].scene, cache.frames[row].timestamp_us))
        partners = {}
        for place, row in enumerate(frames):
            other = frames[(place + len(frames) // 2) % len(frames)]
            own = cache.frames[row]
            if cache.frames[other].scene == own.scene:
                raise UserError(
                    f"{cache.path}: SwappedSensors needs frames of at least two scenes, none of them with more than "
                    f"half of the frames; {own.scene} has more"
                )
            partners[own.token] = _Source(cache, other)
        return SwappedSensors(partners)

    def __call__(self, scene: Scene, rng: np.random.Generator, /) -> Scene:
        """The scene with the other frame's points, regions and images."""
        other = self.partners[scene.token].read(bool(scene.cameras))
        return replace(
            scene,
            points=other.points,
            region=other.region,
            num_regions=other.num_regions,
            label=None,
            cameras=other.cameras,
            ground=None,
            keyframe=other.keyframe,
            visible=None,
        )


@dataclass(frozen=True)
class _Source:
    """A frame of a cache, read when it is needed."""

    cache: Cache
    row: int

    def read(self, cameras: bool) -> Scene:
        return CacheScenes(self.cache, [self.row], None, _Reads(frozenset({CAMERAS} if cameras else ()))).scene(0)


@dataclass(frozen=True)
class _Reads:
    """Views that request these tensors and give the scene itself."""

    reads: frozenset[str]

    def __call__(self, scene: Scene, *_: Any) -> Scene:
        return scene
