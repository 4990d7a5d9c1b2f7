"""Frames of a cache as training samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pc_ssl.data.cache import Cache
from pc_ssl.data.sampler import Draw
from pc_ssl.errors import UserError
from pc_ssl.structures import Scene

Views = Callable[[Scene, np.random.Generator], Any]


def check_point_features(cache: Cache, index: int, expected: int) -> None:
    """Whether the points of frame `index` bring as many features beside x, y, z as the backbone expects.

    Raises:
        UserError: they do not.
    """
    frame = cache[index]
    found = frame["points"].shape[1] - 3
    if found != expected:
        raise UserError(
            f"{frame.path}: points have {found} features beside x, y, z, but the backbone's point_features is "
            f"{expected}; a cache prepared with --sweeps above 1 has 2 (intensity, time lag), others have 1"
        )


class CacheScenes(Dataset):
    """Reads a frame, only the tensors that are asked for, and draws views of it.

    `dataset[draw]` depends on the frame and the draw alone; `dataset.scene(row)` is the frame as it was recorded.

    Args:
        cache: where the frames are.
        indices: which frames of the cache, in the order of their rows here.
        region: name of the region generator whose regions to read; None reads none, every point then has region -1.
        views: turns (scene, randomness) into a sample; runs in loader workers, so it can be pickled.
        labels: whether to read the class of each point.

    Raises:
        UserError: there are no frames, or the first frame lacks the regions or the labels.
    """

    def __init__(
        self, cache: Cache, indices: Sequence[int], region: str | None, views: Views, *, labels: bool = False
    ) -> None:
        if not indices:
            raise UserError(f"{cache.path}: no frames to train on")
        self.cache, self.indices, self.views = cache, tuple(indices), views
        self.region_key = None if region is None else f"region/{region}"
        self.labels = labels
        frame = cache[self.indices[0]]
        for key in (self.region_key, "label" if labels else None):
            if key is not None and key not in frame:
                raise UserError(f"{frame.path}: the frame has no {key!r}; it has {', '.join(frame.keys())}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, draw: Draw) -> Any:
        return self.views(self.scene(draw.row), draw.rng())

    def scene(self, row: int) -> Scene:
        """The frame in row `row`.

        Raises:
            UserError: the frame's file is missing or damaged, or lacks a tensor.
        """
        frame = self.cache[self.indices[row]]
        points = frame["points"]
        region = torch.full((len(points),), -1, dtype=torch.int32)
        if self.region_key is not None:
            region = frame[self.region_key]
        return Scene(
            token=frame.token,
            points=points,
            region=region,
            num_regions=int(region.max()) + 1 if len(region) else 0,
            label=frame["label"] if self.labels else None,
        )
