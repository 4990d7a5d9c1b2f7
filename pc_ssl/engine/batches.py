"""Batches for evaluation: the same path as in training, without augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.errors import UserError
from pc_ssl.models.networks import grids_of
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.progress import track
from pc_ssl.protocols import SceneTransform

Transforms = Sequence[SceneTransform]
Batches = Iterable[tuple[Frame, Any]]
TRANSFORM_SEED = 0  # seed of random transforms, such as dropped beams; the same for every evaluation


def evaluation_batches(
    task: Any,
    cache: Cache,
    rows: Sequence[int],
    device: torch.device,
    transforms: Transforms = (),
    what: str = "evaluate",
) -> Iterator[tuple[Frame, Any]]:
    """Each frame and its batch of one, without augmentation: the frame of the view is the LiDAR's.

    Args:
        task: a `Task`; its views are used without augmentation (`still`).
        cache: prepared frames.
        rows: of the cache.
        device: of the batches.
        transforms: applied to the evaluated scenes; the annotations in the `Frame` do not change.
        what: label of the progress display.

    Raises:
        UserError: a frame cannot be read.
    """
    scenes = CacheScenes(cache, rows, None, task.views.still(), transforms, grids_of(task))
    for number, row in enumerate(track(rows, total=len(rows), what=what)):
        sample = scenes[Draw(number, TRANSFORM_SEED, 0)]
        yield cache[row], task.collate([sample]).to(device)


@torch.no_grad()
def predicted(task: Any, frame: Frame, batch: Any) -> Any:
    """The task's prediction for a batch of one frame.

    Raises:
        UserError: the network's grid holds no point of the frame.
    """
    try:
        return task.predict(batch)[0]
    except OutsideGrid as error:
        raise UserError(f"frame {frame.token}: {error}") from error
