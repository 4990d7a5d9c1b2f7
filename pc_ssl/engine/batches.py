"""Batches for evaluation: the same path as in training, without augmentation."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw, TooSmall
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
    quiet: bool = False,
) -> Iterator[tuple[Frame, Any]]:
    """Each frame and its batch of one, without augmentation: the frame of the view is the LiDAR's.

    Args:
        task: a `Task`; its views are used without augmentation (`still`).
        cache: prepared frames.
        rows: of the cache.
        device: of the batches.
        transforms: applied to the evaluated scenes; the annotations in the `Frame` do not change.
        what: label of the progress display.
        quiet: show no progress, as inside the display of a training run.

    A frame without a point inside the network's grid is left out; a line on stderr counts such frames at the end.

    Raises:
        UserError: a frame cannot be read, or all are left out.
    """
    scenes = CacheScenes(cache, rows, None, task.views.still(), transforms, grids_of(task), min_points=1)
    outside: list[str] = []
    for number, row in enumerate(rows if quiet else track(rows, total=len(rows), what=what)):
        try:
            sample = scenes[Draw(number, TRANSFORM_SEED, 0)]
        except TooSmall as error:
            outside.append(str(error))
            continue
        yield cache[row], task.collate([sample]).to(device)
    if len(outside) == len(rows):
        raise UserError(f"{outside[0]}; none of the {len(rows)} frames has any: are these the grid's units?")
    if outside:
        left_out = f"{what}: {len(outside)} of {len(rows)} frames left out, without a point inside the network's grid"
        print(f"{left_out}; the first: {outside[0]}", file=sys.stderr, flush=True)


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
